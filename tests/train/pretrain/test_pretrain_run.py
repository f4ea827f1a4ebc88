"""Whole runs: what they leave, that a seed decides all, resuming anywhere, and what becomes of the result."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import cv2
import pytest
import torch
from safetensors.torch import load_file

import train.pretrain.loop
from edge_runtime.errors import DipsEdgeError, ModelError, TrainingError, UsageError
from tests.train import tiny
from tests.train.photos import write_photo
from train.checkpoint import load_tensors
from train.pretrain.config import PretrainConfig
from train.pretrain.run import pretrain_run
from train.run import train_run
from train.settings import read_config_of

from .tiny_pretrain import tiny_config, write_clip

if TYPE_CHECKING:
    from pathlib import Path

RESULTS = ("last.safetensors", "sst.safetensors")
WHOLE = "whole"


def _pretrain(source: Path, out: Path, *, resume: bool = False, workers: int = 1, **changes: Any) -> Path:
    torch.manual_seed(hash(out) % 1000)  # whatever this process did before must not matter
    config = read_config_of(out, PretrainConfig(), "") if resume else tiny_config(**changes)
    pretrain_run(source, out, config, resume=resume, device="cpu", threads=1, workers=workers)
    return out


def _metrics(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "metrics.json").read_text())
    return found


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_tiny_set(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _pretrain(data, tmp_path_factory.mktemp("finished"))


def _same(a: Path, b: Path) -> list[str]:
    """Names of the results that differ."""
    return [name for name in RESULTS if (a / name).read_bytes() != (b / name).read_bytes()]


def test_a_run_leaves_all_it_promises(finished: Path) -> None:
    names = {p.name for p in finished.iterdir()}
    assert {*RESULTS, "config.toml", "metrics.json", "events", "attention"} == names
    assert [p.name for p in sorted((finished / "attention").iterdir())] == [
        "0000.png",
        "0001.png",
        "0002.png",
    ]
    metrics = _metrics(finished)
    assert (metrics["photos"], metrics["val_photos"], metrics["skipped"]) == (12, 8, [])
    assert (metrics["knn"], metrics["knn_chance"]) == ("val asks train", 50.0)
    assert [entry["epoch"] for entry in metrics["history"]] == [0, 1, 2]
    for entry in metrics["history"]:
        assert 0 <= entry["knn"] <= 100
        assert 0 <= entry["twins"] <= 100
    assert {"loss", "entropy", "used", "lr", "momentum", "teacher_temp"} <= set(metrics["history"][1])
    assert "loss" not in metrics["history"][0]  # the network before any step


def test_the_picture_shows_photo_mean_and_heads(finished: Path) -> None:
    rows, columns, step = 2, 1 + 1 + 2, 164  # test_vit has two heads
    picture = cv2.imread(str(finished / "attention" / "0002.png"))
    assert picture.shape == (rows * step - 4, columns * step - 4, 3)


def test_the_result_is_the_teacher_of_the_last_state(finished: Path) -> None:
    state, _ = load_tensors(finished / "last.safetensors")
    result = load_file(finished / "sst.safetensors")
    assert all(torch.equal(v, state[f"teacher.backbone.{k}"]) for k, v in result.items())
    assert not torch.equal(result["pos_embed"], state["student.backbone.pos_embed"])


@pytest.mark.usefixtures("no_figures")
def test_training_takes_the_result_as_it_is(data: Path, finished: Path, tmp_path: Path) -> None:
    """At another input size, and what it finds is not what random weights find."""
    attention = []
    for weights in (finished / "sst.safetensors", finished / "sst.safetensors", "none"):
        out = tmp_path / f"run{len(attention)}"
        config = tiny.tiny_config(sst__weights=str(weights), sst__size=64, optim__epochs=1)
        train_run(data, out, config, device="cpu", threads=1, workers=1)
        attention.append((out / "attention.f16").read_bytes())
        assert (out / "localizer.safetensors").exists()
    assert attention[0] == attention[1] != attention[2]


def test_the_same_seed_gives_the_same_bytes_whatever_the_number_of_decoders(
    data: Path, finished: Path, tmp_path: Path
) -> None:
    again = _pretrain(data, tmp_path / "again", workers=3)
    assert _same(finished, again) == []
    assert _metrics(finished) == _metrics(again)


def test_labels_teach_nothing(finished: Path, tmp_path: Path) -> None:
    """The same photos with classes named the other way round: the same network, other answers."""
    data = tiny.write_tiny_set(tmp_path / "set")
    flat = tmp_path / "flat"
    for k, path in enumerate(sorted((data / "train").rglob("*.png"))):
        flat.mkdir(exist_ok=True)
        (flat / f"{k:02}.png").write_bytes(path.read_bytes())
    out = _pretrain(flat, tmp_path / "run")
    assert _same(finished, out) == ["last.safetensors"]  # its header names the photos
    metrics = _metrics(out)
    assert "knn" not in metrics
    assert "knn" not in metrics["history"][-1]
    assert metrics["twin_photos"] == 12


def test_another_seed_gives_another_network(data: Path, finished: Path, tmp_path: Path) -> None:
    assert set(_same(finished, _pretrain(data, tmp_path / "other", seed=1))) == set(RESULTS)


@pytest.mark.parametrize("stop_at", [0, 1, 3, 5])
def test_a_run_stopped_anywhere_ends_with_the_same_bytes(
    stop_at: int, data: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train.pretrain.loop, "SAVE_EVERY_S", -1.0)
    step, calls = train.pretrain.loop.Distiller.step, 0

    def stopped(self: Any, *args: Any) -> dict[str, float]:
        nonlocal calls
        calls += 1
        if calls == stop_at + 1:
            raise KeyboardInterrupt
        return step(self, *args)

    monkeypatch.setattr(train.pretrain.loop.Distiller, "step", stopped)
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        _pretrain(data, out)
    calls = -100
    _pretrain(data, out, resume=True)
    assert _same(finished, out) == []
    assert _metrics(finished) == _metrics(out)


def test_training_begins_with_weights_of_ones_own(data: Path, finished: Path, tmp_path: Path) -> None:
    weights = finished / "sst.safetensors"
    out = _pretrain(data, tmp_path / "run", sst__init=str(weights), optim__epochs=1)
    assert _metrics(out)["history"][0]["knn"] == _metrics(finished)["history"][-1]["knn"]


def test_a_video_is_sampled_into_the_run_and_learned_from(tmp_path: Path) -> None:
    out = _pretrain(write_clip(tmp_path / "flight.avi"), tmp_path / "run", frames__every=3)
    assert _metrics(out)["photos"] == 7
    assert len(list((out / "frames" / "flight").glob("*.jpg"))) == 7
    assert (out / "sst.safetensors").exists()


def test_without_val_the_photos_of_train_ask_each_other(tmp_path: Path) -> None:
    for k, name in enumerate(("a", "b", "a", "b")):
        write_photo(tmp_path / "set" / "train" / name / f"{k}.png", seed=k)
    metrics = _metrics(_pretrain(tmp_path / "set", tmp_path / "run", optim__epochs=1))
    assert metrics["knn"] == "train asks itself, leaving one out"


def test_a_photo_that_cannot_be_decoded_is_left_out_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for k in range(6):
        write_photo(tmp_path / "set" / f"{k}.jpg", seed=k)
    bad = tmp_path / "set" / "3.jpg"
    bad.write_bytes(bad.read_bytes()[:-20])
    with caplog.at_level(logging.WARNING):
        out = _pretrain(tmp_path / "set", tmp_path / "run")
    assert _metrics(out)["skipped"] == ["3.jpg"]
    assert any("1 photos could not be read, the first is 3.jpg" in r.getMessage() for r in caplog.records)


@pytest.mark.parametrize("poison", ["loss", "gradient"])
def test_a_bad_number_stops_the_run_names_its_batch_and_spares_the_checkpoint(
    poison: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, calls = train.pretrain.loop.Distiller.step, 0

    def poisoned(self: Any, *args: Any) -> dict[str, float]:
        nonlocal calls
        calls += 1
        if calls == 5 and poison == "loss":
            self._center[0] = torch.nan
        if calls == 5 and poison == "gradient":
            self._student.head.mlp[0].weight.register_hook(lambda grad: grad * torch.inf)
        return step(self, *args)

    monkeypatch.setattr(train.pretrain.loop.Distiller, "step", poisoned)
    out = tmp_path / "run"
    with pytest.raises(TrainingError, match=rf"the {poison} is not a number at epoch 2, step 1") as caught:
        _pretrain(data, out)
    said = str(caught.value)
    assert f"last good state: {out / 'last.safetensors'} (epoch 2, step 0)" in said
    assert said.count(".png") == 4
    tensors, meta = load_tensors(out / "last.safetensors")
    assert (meta["epoch"], meta["step"]) == (1, 0)
    assert all(torch.isfinite(v).all() for v in tensors.values())


def test_other_photos_are_refused_on_resume(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for k in range(4):
        write_photo(root / f"{k}.png", seed=k)
    out = _pretrain(root, tmp_path / "run")
    write_photo(root / "9.png")
    with pytest.raises(ModelError, match="the photos are not those it began with"):
        _pretrain(root, out, resume=True)


@pytest.mark.parametrize(
    ("entropy", "used", "said"),
    [
        pytest.param(0.999, 16.0, "the teacher says nothing", id="uniform"),
        pytest.param(0.001, 1.1, "the teacher says the same of every photo", id="one prototype"),
        pytest.param(0.5, 9.0, None, id="healthy"),
    ],
)
def test_a_collapse_is_said(
    entropy: float,
    used: float,
    said: str | None,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    values = {"loss": 1.0, "entropy": entropy, "used": used}
    monkeypatch.setattr(train.pretrain.loop.Distiller, "step", lambda *_: values)
    with caplog.at_level(logging.WARNING):
        _pretrain(data, tmp_path / "run", optim__epochs=1)
    warned = [r.getMessage() for r in caplog.records if "teacher says" in r.getMessage()]
    assert len(warned) == (said is not None)
    assert said is None or said in warned[0]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        pytest.param({"sst__name": "vit_none"}, UsageError, "is not a timm model", id="unknown network"),
        pytest.param({"sst__name": "test_resnet"}, UsageError, "no vision transformer", id="no transformer"),
        pytest.param({"sst__init": "/nowhere.safetensors"}, UsageError, "no such file", id="no weights"),
        pytest.param({"crops__global_size": 40}, UsageError, "multiple of 16", id="size"),
        pytest.param({"optim__lr": -1}, UsageError, "optim.lr = -1.0: expected not negative", id="rate"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_written(
    changes: dict[str, Any], error: type[DipsEdgeError], message: str, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        _pretrain(data, tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_weights_of_another_network_are_refused(data: Path, finished: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="made for another architecture"):
        _pretrain(
            data,
            tmp_path / "run",
            sst__name="tiny_vit_six_heads",
            sst__init=str(finished / "sst.safetensors"),
        )


def test_a_single_frame_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="1 photos to learn from; give more"):
        _pretrain(write_clip(tmp_path / "flight.avi", 5), tmp_path / "run", frames__every=99)
