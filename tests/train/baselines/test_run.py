"""Whole runs of baselines: what they leave, that a seed decides all, resuming, evaluation, refusals."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch

import train.baselines.learn
import train.baselines.run
from edge_runtime.errors import DatasetError, ModelError, TrainingError, UsageError
from tests.train.tiny import write_tiny_set
from train.baselines.config import BASELINE_RULES
from train.baselines.explain import load_baseline
from train.baselines.learn import BaselineLearner
from train.baselines.methods import METHODS, method_class
from train.baselines.presets import check_baseline, default_config, read_baseline_config, resolve_baseline
from train.baselines.run import train_baseline
from train.checkpoint import load_tensors
from train.config_limits import OBEYS
from train.data.dataset import load_dataset
from train.data.quarantine import read_quarantine
from train.evaluation.evaluate import evaluate_split
from train.evaluation.split_scores import PresenceRule
from train.evaluation.subject import open_run
from train.localizer import load_localizer
from train.selection import BY_PROTOCOL
from train.settings import flatten, to_toml

from .tiny import LEARNING, tiny_baseline

if TYPE_CHECKING:
    from pathlib import Path

DECIDED = ("last.safetensors", "localizer.safetensors")


def _train(data: Path, out: Path, method: str = "cam", *, resume: bool = False, **changes: Any) -> Path:
    torch.manual_seed(hash(out) % 1000)  # whatever this process did before must not matter
    config = tiny_baseline(method, **changes)
    train_baseline(data, out, config, resume=resume, device="cpu", threads=1, workers=1)
    return out


def _same(a: Path, b: Path) -> bool:
    return all((a / name).read_bytes() == (b / name).read_bytes() for name in DECIDED)


def _metrics(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "metrics.json").read_text())
    return found


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_set(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _train(data, tmp_path_factory.mktemp("finished"))


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the exact evaluation: what training itself found out."""

    def write_results(run: Any, outcome: Any, *_: object) -> None:
        (run.out / "metrics.json").write_text(json.dumps({"history": outcome.history}))

    monkeypatch.setattr(train.baselines.run, "_judge", lambda *_: {})
    monkeypatch.setattr(train.baselines.run, "write_results", write_results)


def test_a_run_leaves_what_a_run_of_dips_leaves(finished: Path) -> None:
    names = {p.name for p in finished.iterdir()}
    assert {*DECIDED, "config.toml", "metrics.json", "report.html", "seconds.json", "events"} <= names
    metrics = _metrics(finished)
    assert metrics["method"] == "cam"
    assert metrics["selection"] == BY_PROTOCOL.words
    assert metrics["input_size"] == [64, 64]
    assert [epoch["epoch"] for epoch in metrics["history"]] == [1, 2]
    assert metrics["best"]["test"]["localized_photos"] == 4
    assert metrics["best"]["test"]["negative_photos"] == 4
    assert "Method: cam, a baseline" in (finished / "report.html").read_text()


@pytest.mark.parametrize("method", ["sst", "center"])
def test_what_learns_nothing_leaves_the_same_files(method: str, data: Path, tmp_path: Path) -> None:
    out = _train(data, tmp_path / "run", method)
    assert _metrics(out)["selection"] == BY_PROTOCOL.words
    last, best = (load_tensors(out / name)[0] for name in DECIDED)
    if method == "sst":
        assert last["model.head"].item() == 0  # the mean of all heads
        assert 0 <= best["model.head"].item() <= 4
    else:
        assert last["model.shape"].tolist() == [1, 1]  # the photo's own shape
        assert (best["model.shape"] < 0.7).all()  # the object has a third by 44 % of it
    assert _same(out, _train(data, tmp_path / "again", method))


def test_the_head_is_the_one_that_fits_val_best(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = iter([10.0, 30.0, 40.0, 20.0])  # the mean of all heads, then three heads of the test network
    glance = train.baselines.learn.Glance

    def judged(predictions: Any, *_: object) -> Any:
        assert len(list(predictions)) == 8
        return glance(boxes=next(fits), steady=None, agreement=None, class_acc=50.0, separation=None)

    monkeypatch.setattr("train.baselines.sst.judge_predictions", judged)
    monkeypatch.setattr(train.baselines.run, "_judge", lambda *_: {})
    monkeypatch.setattr(train.baselines.run, "write_results", lambda *_: None)
    out = _train(data, tmp_path / "run", "sst")
    assert load_tensors(out / "localizer.safetensors")[0]["model.head"].item() == 2


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(
    "method", [pytest.param(m, marks=pytest.mark.slow) for m in LEARNING if m != "cutmix"] + ["cutmix"]
)
def test_a_run_stopped_anywhere_ends_as_if_it_had_not_been(
    method: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _train(data, tmp_path / "whole", method)
    monkeypatch.setattr("train.epochs.SAVE_EVERY_S", -1.0)  # a checkpoint after every step
    step, calls = BaselineLearner.step, iter(range(100))

    def interrupted(self: BaselineLearner, *args: Any) -> dict[str, float]:
        if next(calls) == 4:
            raise KeyboardInterrupt
        return step(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(BaselineLearner, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _train(data, tmp_path / "run", method)
    _train(data, tmp_path / "run", method, resume=True)
    assert _same(whole, tmp_path / "run")
    assert _metrics(whole) == _metrics(tmp_path / "run")


@pytest.mark.usefixtures("no_figures")
def test_another_seed_gives_another_network(data: Path, finished: Path, tmp_path: Path) -> None:
    assert not _same(finished, _train(data, tmp_path / "other", seed=1))


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("name", ["tiny_vgg16", "test_resnet"])
def test_other_backbones_serve_a_whole_run(name: str, data: Path, tmp_path: Path) -> None:
    out = _train(data, tmp_path / "run", "adl", backbone__name=name)
    assert load_baseline(out, "best").config.backbone.name == name


@pytest.mark.usefixtures("no_figures")
def test_training_never_reads_a_box_of_train(finished: Path, tmp_path: Path) -> None:
    poisoned = write_tiny_set(tmp_path / "set")
    (poisoned / "train" / "boxes.csv").write_text("path,x0,y0,x1,y1\nthing/0.png,this,is,no,box\n")
    assert _same(finished, _train(poisoned, tmp_path / "run"))


def test_without_boxes_the_class_chooses_the_epoch(finished: Path, tmp_path: Path) -> None:
    out = _train(write_tiny_set(tmp_path / "set", boxes=False), tmp_path / "run")
    with_boxes, without = (load_tensors(run / "last.safetensors")[0] for run in (finished, out))
    assert all(torch.equal(v, without[k]) for k, v in with_boxes.items())  # boxes of val teach nothing
    metrics = _metrics(out)
    assert metrics["selection"] == "class accuracy"
    accuracy = [epoch["val_class_acc"] for epoch in metrics["history"]]
    latest_of_best = max(range(len(accuracy)), key=lambda e: (accuracy[e], e))
    assert metrics["best_epoch"] == 1 + latest_of_best
    assert "chosen without any box, by its class accuracy" in (out / "report.html").read_text()


@pytest.mark.parametrize("which", ["best", "last"])
def test_an_opened_run_gives_the_figures_it_was_finished_with(finished: Path, data: Path, which: str) -> None:
    subject = open_run(finished, which)
    assert subject.presence is PresenceRule.CLASS
    assert subject.origin["method"] == "cam"
    images = subject.relabel(load_dataset(data), "test")
    found = evaluate_split(subject.predict(images, 1), subject.negative, subject.thresholds, subject.presence)
    kept = _metrics(finished)[which]["test"]
    assert {key: kept[key] for key in found if key != "decision_curve"} == {
        key: value for key, value in found.items() if key != "decision_curve"
    }


def test_presence_is_the_probability_of_an_object(finished: Path, data: Path) -> None:
    """Stretched maps are as warm on empty photos: only the class can say that nothing is there."""
    subject = open_run(finished, "best")
    for image, score_map, probs in subject.predict(subject.relabel(load_dataset(data), "test"), 1):
        assert image.width == 72
        assert score_map.shape == (224, 224)
        assert score_map.max() == 1
        assert subject.presence.score(score_map, probs, subject.negative) == pytest.approx(1 - probs[0])


def test_a_baseline_is_no_localizer(finished: Path) -> None:
    with pytest.raises(UsageError, match="a run of the baseline 'cam'; a run of DiPS is needed here"):
        load_localizer(finished)


def test_a_loss_that_is_not_a_number_stops_the_run_and_spares_the_checkpoint(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.epochs.SAVE_EVERY_S", -1.0)
    step, calls = BaselineLearner.step, iter(range(100))

    def poisoned(self: BaselineLearner, *args: Any) -> dict[str, float]:
        values = step(self, *args)
        return values | {"class": float("nan")} if next(calls) == 1 else values

    monkeypatch.setattr(BaselineLearner, "step", poisoned)
    with pytest.raises(
        TrainingError, match=r"not a number at epoch 1, step 1: class; .*\(epoch 1, step 1\)"
    ) as told:
        _train(data, tmp_path / "run")
    assert str(told.value).count("train/") == 4  # the whole batch by name
    assert load_tensors(tmp_path / "run" / "last.safetensors")[1]["position"]["step"] == 1


def test_a_process_stops_where_the_loss_of_another_is_not_a_number(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = iter([0.0, 0.5])  # losses that are no numbers, mean of two processes; step by step
    monkeypatch.setattr("train.distributed.World.mean", lambda *_: torch.tensor(next(bad)))
    with pytest.raises(TrainingError, match=r"at epoch 1, step 1: in another process; no state was kept"):
        _train(data, tmp_path / "run")


@pytest.mark.usefixtures("no_figures")
def test_a_run_does_not_go_on_with_other_photos(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="the data set changed since this run began"):
        _train(write_tiny_set(tmp_path / "set", train=5), finished, resume=True)


def test_a_class_without_a_photo_is_told(tmp_path: Path) -> None:
    root = write_tiny_set(tmp_path / "set")
    for path in (root / "train" / "thing").iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match="train/thing: class folder without a readable image"):
        _train(root, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        pytest.param("cam", {"backbone__name": "test_vit"}, "cam with the encoder 'test_vit'", id="backbone"),
        pytest.param("cam", {"optim__lr": -1}, "optim.lr = -1.0: expected above 0", id="learning rate"),
        pytest.param("cam", {"backbone__stride": 8}, "backbone.stride = 8: expected 16 or 32", id="stride"),
        pytest.param(
            "has", {"baseline__drop": 2}, "baseline.drop = 2.0: expected from 0 to 1", id="own setting"
        ),
        pytest.param("adl", {"photos__crop": (0.9, 0.5)}, "expected smallest and largest share", id="crop"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_written(
    method: str, changes: dict[str, Any], message: str, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        _train(data, tmp_path / "run", method, **changes)
    assert not (tmp_path / "run").exists()


def test_boxes_cannot_choose_where_there_are_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--select boxes: val of .* has no boxes; use auto or accuracy"):
        _train(write_tiny_set(tmp_path / "set", boxes=False), tmp_path / "run", select="boxes")


@pytest.mark.parametrize("preset", ["edge", "paper"])
@pytest.mark.parametrize("method", list(METHODS))
def test_presets_are_complete_valid_and_survive_the_file(method: str, preset: str, tmp_path: Path) -> None:
    config = default_config(method, preset)
    check_baseline(config)
    (tmp_path / "config.toml").write_text(to_toml(config))
    assert read_baseline_config(tmp_path / "config.toml") == config


@pytest.mark.parametrize("method", list(METHODS))
def test_every_number_has_a_limit(method: str) -> None:
    own = {f"baseline.{name}": rule for name, rule in method_class(method).RULES.items()}
    rules = {**BASELINE_RULES, **own}
    numbers = {k for k, v in flatten(default_config(method)).items() if isinstance(v, int | float | tuple)}
    assert numbers - {"backbone.stride"} == set(rules)
    assert set(rules.values()) <= set(OBEYS)


def test_the_protocols_rates_belong_to_its_backbone() -> None:
    resnet, vgg = (default_config("cam", "paper", encoder) for encoder in ("", "vgg16"))
    assert (resnet.backbone.name, resnet.optim.encoder_lr, resnet.optim.lr) == ("resnet50", 2.25e-3, 2.25e-2)
    assert (vgg.optim.encoder_lr, vgg.optim.weight_decay) == (1.27e-5, 5e-4)
    assert default_config("has", "paper").optim.encoder_lr == 3.62e-3


def test_epochs_follow_the_number_of_photos(data: Path) -> None:
    dataset = load_dataset(data)  # 12 train photos: one batch of 12 at most
    few = resolve_baseline(default_config("cam"), dataset)
    assert few.optim.epochs == 200
    assert resolve_baseline(tiny_baseline("cam"), dataset).optim.epochs == 2


@pytest.mark.parametrize("method", ["cam", "sst"])
def test_a_photo_that_cannot_be_decoded_is_quarantined_by_every_method(tmp_path: Path, method: str) -> None:
    data = write_tiny_set(tmp_path / "set")
    image = load_dataset(data).splits["train"][0]
    photo = data / image.image_id
    photo.write_bytes(photo.read_bytes()[:-20] if photo.suffix == ".png" else photo.read_bytes()[:200])
    out = _train(data, tmp_path / "run", method, optim__epochs=1)
    assert image.image_id in read_quarantine(out / "quarantine.jsonl")
    assert read_quarantine(out / "quarantine.jsonl")[image.image_id]["stage"] == "localizer"
