"""Whole runs on tiny networks: what they leave, that a seed decides all, faulty photos."""

from __future__ import annotations

import logging
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import torch

import train.loop
import train.run
from edge_runtime.errors import DipsEdgeError, ModelError, TrainingError, UsageError
from train.checkpoint import load_tensors
from train.data.quarantine import read_quarantine
from train.localizer import load_localizer
from train.selection import FEWEST
from train.settings import to_toml
from train.validate import Glance

from .shards import folders_to_shards
from .tiny import tiny_config, write_tiny_set
from .whole_run import DECIDED, RESULTS, differing, metrics_of, train_tiny

if TYPE_CHECKING:
    from pathlib import Path


def test_a_run_leaves_all_it_promises(finished: Path) -> None:
    names = {p.name for p in finished.iterdir()}
    assert {*DECIDED, "config.toml", "metrics.json", "seconds.json", "events", "attention.json"} <= names
    assert not [name for name in names if name.endswith(".part")]
    metrics = metrics_of(finished)
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
    again = train_tiny(data, tmp_path / "again", workers=3)
    assert differing(finished, again) == []
    first, second = metrics_of(finished), metrics_of(again)
    changed = {key for key in first if first[key] != second[key]}
    assert changed <= {"run_id", "seconds"}


@pytest.mark.usefixtures("no_figures")
def test_another_seed_gives_another_network(data: Path, finished: Path, tmp_path: Path) -> None:
    assert "last.safetensors" in differing(finished, train_tiny(data, tmp_path / "other", seed=1))


@pytest.mark.usefixtures("no_figures")
def test_training_never_reads_a_box_of_train(finished: Path, tmp_path: Path) -> None:
    poisoned = write_tiny_set(tmp_path / "set")
    (poisoned / "train" / "boxes.csv").write_text("path,x0,y0,x1,y1\nthing/0.png,this,is,no,box\n")
    assert differing(finished, train_tiny(poisoned, tmp_path / "run")) == []


@pytest.mark.usefixtures("no_figures")
def test_boxes_of_val_choose_the_epoch_but_teach_nothing(finished: Path, tmp_path: Path) -> None:
    """Without any box in the set every trained weight is the same; here proposals choose the epoch."""
    out = train_tiny(write_tiny_set(tmp_path / "set", boxes=False), tmp_path / "run", select="proposals")
    assert differing(finished, out, RESULTS[:-1]) == []
    with_boxes, without = (load_tensors(run / "last.safetensors")[0] for run in (finished, out))
    assert all(torch.equal(v, without[k]) for k, v in with_boxes.items())
    metrics = metrics_of(out)
    assert metrics["selection"] == "proposal agreement"
    agreement = [epoch["val_agreement"] for epoch in metrics["history"]]
    latest_of_best = max(range(2), key=lambda e: (agreement[e], e))
    assert metrics["best_epoch"] == 1 + latest_of_best
    assert [epoch["val_boxes"] for epoch in metrics["history"]] == [None, None]


@pytest.mark.usefixtures("no_figures")
def test_without_boxes_and_with_few_photos_the_last_epoch_is_taken(tmp_path: Path) -> None:
    out = train_tiny(write_tiny_set(tmp_path / "set", boxes=False), tmp_path / "run")
    metrics = metrics_of(out)
    assert (metrics["selection"], metrics["best_epoch"]) == ("none (last epoch)", 2)
    best, last = (load_tensors(out / f"{name}.safetensors")[0] for name in ("localizer", "last"))
    assert all(torch.equal(v, last[k]) for k, v in best.items())


@pytest.mark.usefixtures("no_figures")
def test_with_nothing_to_choose_by_the_last_epoch_is_taken(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blank = Glance(boxes=None, steady=None, agreement=None, class_acc=50.0, separation=None)
    monkeypatch.setattr(train.loop, "glance", lambda *_: blank)
    assert metrics_of(train_tiny(data, tmp_path / "run"))["best_epoch"] == 2


@pytest.mark.usefixtures("no_figures")
def test_of_equally_good_epochs_the_latest_is_taken(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alike = Glance(boxes=70.0, steady=65.0, agreement=None, class_acc=50.0, separation=None)
    monkeypatch.setattr(train.loop, "glance", lambda *_: alike)
    assert metrics_of(train_tiny(data, tmp_path / "run"))["best_epoch"] == 2


@pytest.mark.parametrize(
    ("told_apart", "best_epoch"),
    [
        pytest.param((1.0, 0.9992, 0.9985), 2, id="all but as good, then clearly worse"),
        pytest.param((0.9985, 0.9992, 0.998), 2, id="alike to an earlier one only, not to the highest"),
        pytest.param((0.9, 1.0, 0.998), 2, id="the highest", marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("no_figures")
def test_of_epochs_that_tell_photos_apart_all_but_equally_well_the_latest_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told_apart: tuple[float, ...], best_epoch: int
) -> None:
    looks = iter([Glance(None, None, agreement=None, class_acc=50.0, separation=v) for v in told_apart])
    monkeypatch.setattr(train.loop, "glance", lambda *_: next(looks))
    photos = write_tiny_set(tmp_path / "set", val=FEWEST)
    run = train_tiny(photos, tmp_path / "run", select="separation", optim__epochs=3)
    metrics = metrics_of(run)
    assert metrics["best_epoch"] == best_epoch
    assert load_tensors(run / "localizer.safetensors")[1]["epoch"] == best_epoch


@pytest.mark.usefixtures("no_figures")
def test_a_photo_that_is_corrupt_from_the_start_is_left_out_named_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_tiny_set(tmp_path / "set", train=8)
    bad = root / "train" / "thing" / "3.png"
    whole = bad.read_bytes()
    bad.write_bytes(whole[: len(whole) // 2])
    with caplog.at_level(logging.INFO):
        out = train_tiny(root, tmp_path / "run", polish__epochs=1, selftrain__from_epoch=2)
    named = [r.getMessage() for r in caplog.records if "3.png" in r.getMessage()]
    assert named[0].startswith("skipped: ")
    assert "cut short" in named[0]
    assert named[-1] == "1 photos could not be read, the first is train/thing/3.png"
    assert len(named) == 2  # not once per epoch
    assert metrics_of(out)["skipped"] == ["train/thing/3.png"]
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
    out = train_tiny(shards, tmp_path / "run")
    listed = read_quarantine(out / "quarantine.jsonl")
    assert {entry["stage"] for entry in listed.values()} == {"data set"}
    assert "cut short" in listed["train/train-002.tar"]["reason"]
    before = (out / "quarantine.jsonl").read_bytes()
    train_tiny(shards, out, resume=True)
    assert (out / "quarantine.jsonl").read_bytes() == before


def test_shards_give_the_bytes_that_the_folders_gave(data: Path, finished: Path, tmp_path: Path) -> None:
    shards = folders_to_shards(data, tmp_path / "shards")
    assert differing(finished, train_tiny(shards, tmp_path / "run")) == []


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
    out = train_tiny(root, tmp_path / "run")
    assert sum("3.png" in r.getMessage() for r in caplog.records) == 2  # when met, and at the end
    assert metrics_of(out)["skipped"] == ["train/thing/3.png"]


@pytest.mark.usefixtures("no_figures")
def test_a_linear_classifier_serves_the_whole_run(data: Path, tmp_path: Path) -> None:
    out = train_tiny(data, tmp_path / "run", classifier__kind="linear", losses__cls_from_epoch=0)
    assert all("cls" in epoch for epoch in metrics_of(out)["history"])


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
    assert metrics_of(train_tiny(data, tmp_path / "run", **papers))["best_epoch"] in (1, 2)


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
        train_tiny(data, tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_boxes_cannot_choose_where_there_are_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--select boxes: val of .* has no boxes"):
        train_tiny(write_tiny_set(tmp_path / "set", boxes=False), tmp_path / "run", select="boxes")
    with pytest.raises(UsageError, match=r"--select protocol: val of .* has no boxes; use auto"):
        train_tiny(tmp_path / "set", tmp_path / "run", select="protocol")
    with pytest.raises(UsageError, match=r"--select separation: val of .* has fewer than 10 photos"):
        train_tiny(tmp_path / "set", tmp_path / "run", select="separation")


def test_nothing_readable_is_said(tmp_path: Path) -> None:
    root = write_tiny_set(tmp_path / "set")
    for path in (root / "train").rglob("*.png"):
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(TrainingError, match="not one train photo could be read"):
        train_tiny(root, tmp_path / "run")


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
        train_tiny(data, tmp_path / "run")
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
            train_tiny(data, tmp_path / "run")
    train_tiny(data, tmp_path / "run", resume=True)


def test_a_checkpoint_of_another_network_is_refused(data: Path, finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    other = tiny_config(localizer__encoder="test_resnet", classifier__encoder="test_efficientnet")
    (out / "config.toml").write_text(to_toml(other))
    with pytest.raises(ModelError, match=r"last\.safetensors: does not fit the run's config\.toml"):
        train_tiny(data, out, resume=True)
