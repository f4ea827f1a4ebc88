"""Whole runs on tiny networks: what they leave, that a seed decides all, resuming anywhere, faulty photos."""

from __future__ import annotations

import dataclasses
import importlib
import json
import logging
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import train.loop
import train.run
from edge_runtime.errors import DipsEdgeError, ModelError, TrainingError, UsageError
from train.checkpoint import load_tensors
from train.distributed import World
from train.localizer import load_localizer
from train.quarantine import read_quarantine
from train.run import train_run
from train.settings import to_toml
from train.shared import Run, read_seconds
from train.validate import Glance

from .shards import folders_to_shards
from .tiny import tiny_config, write_tiny_set

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from train.config import TrainConfig

RESULTS = ("attention.f16", "features.f16", "classifier.safetensors", "proposals.jsonl", "last.safetensors")
BEST = "localizer.safetensors"
DECIDED = (*RESULTS, BEST)


def _train(data: Path, out: Path, *, resume: bool = False, workers: int = 1, **changes: Any) -> Path:
    torch.manual_seed(hash(out) % 1000)  # whatever this process did before must not matter
    train_run(data, out, tiny_config(**changes), resume=resume, device="cpu", threads=1, workers=workers)
    return out


def _same(a: Path, b: Path, names: tuple[str, ...] = DECIDED) -> list[str]:
    """Names of the files that differ."""
    return [name for name in names if (a / name).read_bytes() != (b / name).read_bytes()]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_set(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _train(data, tmp_path_factory.mktemp("finished"))


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the exact evaluation, which has tests of its own: what training itself found out."""

    def evaluate_run(run: Any, outcome: Any, _: object) -> None:
        (run.out / "metrics.json").write_text(
            json.dumps(dataclasses.asdict(outcome) | {"seconds": run.seconds})
        )

    monkeypatch.setattr(train.run, "evaluate_run", evaluate_run)


def _metrics(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "metrics.json").read_text())
    return found


def test_a_run_leaves_all_it_promises(finished: Path) -> None:
    names = {p.name for p in finished.iterdir()}
    assert {*DECIDED, "config.toml", "metrics.json", "seconds.json", "events", "attention.json"} <= names
    assert not [name for name in names if name.endswith(".part")]
    metrics = _metrics(finished)
    assert metrics["classes"] == ["background", "thing"]
    assert metrics["negative_class"] == "background"
    assert metrics["selection"] == "val boxes"
    assert metrics["skipped"] == []
    assert len(metrics["history"]) == 2
    assert {"val", "test"} <= set(metrics["best"])
    stages = {"attention", "classifier", "proposals", "localizer", "localizer/backward", "class head"}
    assert stages <= set(metrics["seconds"])


@pytest.mark.parametrize("which", ["best", "last"])
def test_both_checkpoints_can_be_read_back(finished: Path, which: str) -> None:
    with torch.no_grad():
        map_logits, class_logits = load_localizer(finished, which)(torch.zeros(1, 3, 64, 64))
    assert map_logits.shape == (1, 2, 64, 64)
    assert class_logits.shape == (1, 2)


def test_the_same_seed_gives_the_same_bytes_whatever_the_number_of_decoders(
    data: Path, finished: Path, tmp_path: Path
) -> None:
    again = _train(data, tmp_path / "again", workers=3)
    assert _same(finished, again) == []
    first, second = _metrics(finished), _metrics(again)
    differing = {key for key in first if first[key] != second[key]}
    assert differing <= {"run_id", "seconds"}


@pytest.mark.usefixtures("no_figures")
def test_another_seed_gives_another_network(data: Path, finished: Path, tmp_path: Path) -> None:
    assert "last.safetensors" in _same(finished, _train(data, tmp_path / "other", seed=1))


@pytest.mark.usefixtures("no_figures")
def test_training_never_reads_a_box_of_train(finished: Path, tmp_path: Path) -> None:
    poisoned = write_tiny_set(tmp_path / "set")
    (poisoned / "train" / "boxes.csv").write_text("path,x0,y0,x1,y1\nthing/0.png,this,is,no,box\n")
    assert _same(finished, _train(poisoned, tmp_path / "run")) == []


@pytest.mark.usefixtures("no_figures")
def test_boxes_of_val_choose_the_epoch_but_teach_nothing(finished: Path, tmp_path: Path) -> None:
    """Without any box in the set every trained weight is the same, and proposals choose the epoch."""
    out = _train(write_tiny_set(tmp_path / "set", boxes=False), tmp_path / "run")
    assert _same(finished, out, RESULTS[:-1]) == []
    with_boxes, without = (load_tensors(run / "last.safetensors")[0] for run in (finished, out))
    assert all(torch.equal(v, without[k]) for k, v in with_boxes.items())
    metrics = _metrics(out)
    assert metrics["selection"] == "proposal agreement"
    agreement = [epoch["val_agreement"] for epoch in metrics["history"]]
    assert metrics["best_epoch"] == 1 + int(np.argmax(agreement))
    assert [epoch["val_boxes"] for epoch in metrics["history"]] == [None, None]


@pytest.mark.usefixtures("no_figures")
def test_with_nothing_to_choose_by_the_last_epoch_is_taken(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blank = Glance(boxes=None, agreement=None, class_acc=50.0, separation=None)
    monkeypatch.setattr(train.loop, "glance", lambda *_: blank)
    assert _metrics(_train(data, tmp_path / "run"))["best_epoch"] == 2


class _Interrupt:
    """Calls through, until the n-th call raises."""

    def __init__(self, function: Callable[..., Any], call: int, error: BaseException) -> None:
        self._function, self._left, self._error = function, call, error

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._left -= 1
        if self._left == 0:
            raise self._error
        return self._function(*args, **kwargs)


slow = pytest.mark.slow
OWN_MAPS = {"selftrain__from_epoch": 2, "selftrain__sure_fg": 0, "selftrain__sure_bg": 0}  # all are sure
STOP = KeyboardInterrupt()
FULL = TrainingError("last.safetensors: cannot be written (No space left on device)")


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(
    ("place", "call", "error"),
    [
        pytest.param("train.harvest.AttentionStore.put", 7, STOP, id="in a batch of attention"),
        pytest.param("train.teach._teach", 2, STOP, id="while the classifier learns", marks=slow),
        pytest.param("train.run.save_classifier", 1, FULL, id="disk full for the classifier", marks=slow),
        pytest.param("train.harvest._score", 4, STOP, id="among the proposals", marks=slow),
        pytest.param("train.loop.Fitter.step", 1, STOP, id="before the first step", marks=slow),
        pytest.param("train.loop.Fitter.step", 2, STOP, id="after one step", marks=slow),
        pytest.param("train.loop.Fitter.step", 5, STOP, id="in the second epoch"),
        pytest.param("train.loop.glance", 1, STOP, id="while looking at val", marks=slow),
        pytest.param(
            "train.epochs.save_tensors", 3, FULL, id="disk full in the middle of an epoch", marks=slow
        ),
        pytest.param("train.epochs.save_tensors", 5, FULL, id="between best and last of an epoch"),
        pytest.param("train.class_head.save_tensors", 2, FULL, id="between the class heads", marks=slow),
        pytest.param("train.run.evaluate_run", 1, STOP, id="before the final figures", marks=slow),
    ],
)
def test_a_run_stopped_anywhere_ends_as_if_it_had_not_been(
    place: str, call: int, error: BaseException, data: Path, finished: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("train.epochs.SAVE_EVERY_S", -1.0)  # a checkpoint after every step
    with monkeypatch.context() as patch:
        patch.setattr(place, _patched(place, call, error))
        with pytest.raises(type(error)):
            _train(data, tmp_path / "run")
    _train(data, tmp_path / "run", resume=True)
    assert _same(finished, tmp_path / "run") == []
    whole, resumed = _metrics(finished), _metrics(tmp_path / "run")
    assert all(whole[k] == resumed[k] for k in ("history", "best_epoch", "selection", "skipped"))


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(
    ("place", "call"),
    [
        pytest.param("train.prototypes.kmeans", 1, id="among the background prototypes"),
        pytest.param("train.selftrain.predict_maps", 1, id="while own maps are made"),
        pytest.param("train.loop.Fitter.step", 6, id="in an epoch that learns from own maps"),
    ],
)
def test_prototypes_and_own_maps_are_the_same_after_a_stop(
    place: str, call: int, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"sst__maps": "both", **OWN_MAPS}
    whole = _train(data, tmp_path / "whole", **settings)
    monkeypatch.setattr("train.epochs.SAVE_EVERY_S", -1.0)
    with monkeypatch.context() as patch:
        patch.setattr(place, _patched(place, call, STOP))
        with pytest.raises(KeyboardInterrupt):
            _train(data, tmp_path / "run", **settings)
    _train(data, tmp_path / "run", resume=True)
    assert _same(whole, tmp_path / "run", (*DECIDED, "prototypes.safetensors", "own.f16")) == []


def test_own_maps_change_what_is_learned(data: Path, finished: Path, tmp_path: Path) -> None:
    taught = _train(data, tmp_path / "run", **OWN_MAPS)
    assert _same(finished, taught) == ["last.safetensors", BEST]


def _patched(place: str, call: int, error: BaseException) -> Any:
    parts = place.split(".")
    owner: Any = importlib.import_module(".".join(parts[:2]))
    for part in parts[2:-1]:
        owner = getattr(owner, part)
    interrupt = _Interrupt(getattr(owner, parts[-1]), call, error)
    return lambda *args, **kwargs: interrupt(*args, **kwargs)  # a plain function binds as a method


@pytest.mark.usefixtures("no_figures")
def test_a_finished_run_can_be_resumed_and_stays_as_it_is(data: Path, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    _train(data, tmp_path / "run", resume=True)
    assert _same(finished, tmp_path / "run") == []


def test_a_run_does_not_go_on_with_other_photos(finished: Path, tmp_path: Path) -> None:
    fewer = write_tiny_set(tmp_path / "set", train=5)
    with pytest.raises(ModelError, match="the data set changed"):
        _train(fewer, finished, resume=True)


def test_times_add_up_over_sessions(tmp_path: Path) -> None:
    def session() -> Run[TrainConfig]:
        config: Any = tiny_config()
        run: Run[TrainConfig] = Run(
            tmp_path, config, None, torch.device("cpu"), World(), 1, read_seconds(tmp_path)
        )  # type: ignore[arg-type]
        run.spent({"localizer": 2.0, "localizer/crf": 0.5})
        return run

    assert session().seconds == {"localizer": 2.0, "localizer/crf": 0.5}
    assert session().seconds == {"localizer": 4.0, "localizer/crf": 1.0}
    (tmp_path / "seconds.json").write_text("{")  # damaged: only times are lost
    assert session().seconds["localizer"] == 2.0


@pytest.mark.usefixtures("no_figures")
def test_a_photo_that_is_corrupt_from_the_start_is_left_out_named_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_tiny_set(tmp_path / "set", train=8)
    bad = root / "train" / "thing" / "3.png"
    whole = bad.read_bytes()
    bad.write_bytes(whole[: len(whole) // 2])
    with caplog.at_level(logging.INFO):
        out = _train(root, tmp_path / "run")
    named = [r.getMessage() for r in caplog.records if "3.png" in r.getMessage()]
    assert named[0].startswith("skipped: ")
    assert "cut short" in named[0]
    assert named[-1] == "1 photos could not be read, the first is train/thing/3.png"
    assert len(named) == 2  # not once per epoch
    assert _metrics(out)["skipped"] == ["train/thing/3.png"]
    listed = read_quarantine(out / "quarantine.jsonl")
    assert [(entry["id"], entry["stage"]) for entry in listed.values()] == [
        ("train/thing/3.png", "attention")
    ]
    assert "cut short" in listed["train/thing/3.png"]["reason"]


@pytest.mark.usefixtures("no_figures")
def test_what_the_data_set_cannot_give_is_listed_too_and_the_run_goes_on(tmp_path: Path) -> None:
    shards = folders_to_shards(write_tiny_set(tmp_path / "set", train=8), tmp_path / "shards")
    tar = shards / "train-002.tar"
    tar.write_bytes(tar.read_bytes().rstrip(b"\0")[:-600])
    out = _train(shards, tmp_path / "run")
    listed = read_quarantine(out / "quarantine.jsonl")
    assert {entry["stage"] for entry in listed.values()} == {"data set"}
    assert "cut short" in listed["train/train-002.tar"]["reason"]
    before = (out / "quarantine.jsonl").read_bytes()
    _train(shards, out, resume=True)
    assert (out / "quarantine.jsonl").read_bytes() == before


def test_shards_give_the_bytes_that_the_folders_gave(data: Path, finished: Path, tmp_path: Path) -> None:
    shards = folders_to_shards(data, tmp_path / "shards")
    assert _same(finished, _train(shards, tmp_path / "run")) == []


@pytest.mark.usefixtures("no_figures")
def test_a_photo_that_goes_bad_in_the_middle_is_skipped_named_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_tiny_set(tmp_path / "set")
    bad = root / "train" / "thing" / "3.png"

    def spoil_then_fit(*args: Any) -> Any:
        bad.write_bytes(b"\x89PNG")
        return train.loop.fit_localizer(*args)

    monkeypatch.setattr(train.run, "fit_localizer", spoil_then_fit)
    out = _train(root, tmp_path / "run")
    assert sum("3.png" in r.getMessage() for r in caplog.records) == 2  # when met, and at the end
    assert _metrics(out)["skipped"] == ["train/thing/3.png"]


@pytest.mark.usefixtures("no_figures")
def test_a_linear_classifier_serves_the_whole_run(data: Path, tmp_path: Path) -> None:
    out = _train(data, tmp_path / "run", classifier__kind="linear", losses__cls_from_epoch=0)
    assert all("cls" in epoch for epoch in _metrics(out)["history"])


@pytest.mark.slow
@pytest.mark.usefixtures("no_figures")
def test_the_papers_settings_run_too(data: Path, tmp_path: Path) -> None:
    papers: dict[str, Any] = {
        "sst__heads": "first4",
        "sst__clip_quantile": 1.0,
        "proposals__min_area": 0.5,
        "sampling__bg_pool": "none",
        "losses__crf_scale": 1.0,
        "losses__cls_source": "attention",
        "optim__name": "sgd",
        "optim__schedule": "step",
        "optim__ema": 0.9,
    }
    assert _metrics(_train(data, tmp_path / "run", **papers))["best_epoch"] in (1, 2)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        pytest.param({"sst__name": "vit_none"}, UsageError, "SST 'vit_none' is not a timm model", id="SST"),
        pytest.param({"localizer__encoder": "net"}, UsageError, "encoder 'net' is not a timm", id="encoder"),
        pytest.param(
            {"classifier__encoder": "net"}, UsageError, "encoder 'net' is not a timm", id="classifier"
        ),
        pytest.param({"localizer__size": 33}, UsageError, "localizer.size = 33", id="size"),
        pytest.param({"negative_class": "sky"}, DipsEdgeError, "no class 'sky'", id="negative class"),
        pytest.param({"optim__lr": -1}, UsageError, "optim.lr = -1.0: expected above 0", id="learning rate"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_written(
    changes: dict[str, Any], error: type[Exception], message: str, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        _train(data, tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_boxes_cannot_choose_where_there_are_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--select boxes: val of .* has no boxes"):
        _train(write_tiny_set(tmp_path / "set", boxes=False), tmp_path / "run", select="boxes")


def test_nothing_readable_is_said(tmp_path: Path) -> None:
    root = write_tiny_set(tmp_path / "set")
    for path in (root / "train").rglob("*.png"):
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(TrainingError, match="not one train photo could be read"):
        _train(root, tmp_path / "run")


@pytest.mark.usefixtures("no_figures")
def test_a_loss_that_is_not_a_number_stops_the_run_and_spares_the_checkpoint(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.epochs.SAVE_EVERY_S", -1.0)
    step = train.loop.Fitter.step
    calls = 0

    def poisoned(self: Any, *args: Any) -> dict[str, float]:
        nonlocal calls
        calls += 1
        values = step(self, *args)
        return values | {"total": float("nan")} if calls == 5 else values

    monkeypatch.setattr(train.loop.Fitter, "step", poisoned)
    with pytest.raises(TrainingError, match=r"not a number at epoch 2, step 1: total; the last good") as told:
        _train(data, tmp_path / "run")
    assert "state (epoch 2, step 1) is in" in str(told.value)
    assert "optim.lr" in str(told.value)
    assert str(told.value).count("train/") == 4  # the whole batch by name
    assert load_tensors(tmp_path / "run" / "last.safetensors")[1]["position"]["step"] == 1


@pytest.mark.slow
@pytest.mark.usefixtures("no_figures")
def test_a_disk_that_is_full_for_the_events_is_one_line(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("torch.utils.tensorboard.SummaryWriter.close", no_space)
        with pytest.raises(TrainingError, match=r"events: cannot be written .*make room and --resume"):
            _train(data, tmp_path / "run")
    _train(data, tmp_path / "run", resume=True)


def test_a_checkpoint_of_another_network_is_refused(data: Path, finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    other = tiny_config(localizer__encoder="test_resnet", classifier__encoder="test_efficientnet")
    (out / "config.toml").write_text(to_toml(other))
    with pytest.raises(ModelError, match=r"last\.safetensors: does not fit the run's config\.toml"):
        _train(data, out, resume=True)
