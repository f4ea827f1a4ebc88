"""Whole runs that are stopped, anywhere, and go on: they end as if they had not been."""

from __future__ import annotations

import importlib
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import torch

from edge_runtime.errors import ModelError, TrainingError
from train.distributed import World
from train.shared import Run, read_seconds

from .tiny import tiny_config, write_tiny_set
from .whole_run import BEST, DECIDED, differing, metrics_of, train_tiny

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from train.config import TrainConfig


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
            train_tiny(data, tmp_path / "run")
    train_tiny(data, tmp_path / "run", resume=True)
    assert differing(finished, tmp_path / "run") == []
    whole, resumed = metrics_of(finished), metrics_of(tmp_path / "run")
    assert all(whole[k] == resumed[k] for k in ("history", "best_epoch", "selection", "skipped"))


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(
    ("place", "call"),
    [
        pytest.param("train.prototypes.kmeans", 1, id="among the background prototypes", marks=slow),
        pytest.param("train.ownmaps.predict_maps", 1, id="while own maps are made", marks=slow),
        pytest.param("train.loop.Fitter.step", 6, id="in an epoch that learns from own maps"),
    ],
)
def test_prototypes_and_own_maps_are_the_same_after_a_stop(
    place: str, call: int, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"sst__maps": "both", **OWN_MAPS}
    whole = train_tiny(data, tmp_path / "whole", **settings)
    run = _stopped_and_resumed(place, call, data, tmp_path / "run", monkeypatch, settings)
    assert differing(whole, run, (*DECIDED, "prototypes.safetensors", "own.f16")) == []


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(
    ("place", "call"),
    [
        pytest.param("train.ownmaps.predict_maps", 2, id="while maps at a second size are made"),
        pytest.param("train.loop.Fitter.step", 9, id="in an epoch that polishes", marks=slow),
    ],
)
def test_polishing_is_the_same_after_a_stop(
    place: str, call: int, data: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"polish__epochs": 2, "polish__batch_size": 2, "optim__epochs": 1}
    whole = train_tiny(data, tmp_path / "whole", **settings)
    assert len(metrics_of(whole)["history"]) == 3
    assert differing(finished, whole) == ["last.safetensors", BEST]
    run = _stopped_and_resumed(place, call, data, tmp_path / "run", monkeypatch, settings)
    assert differing(whole, run, (*DECIDED, "polish.f16")) == []


def test_own_maps_change_what_is_learned(data: Path, finished: Path, tmp_path: Path) -> None:
    taught = train_tiny(data, tmp_path / "run", **OWN_MAPS)
    assert differing(finished, taught) == ["last.safetensors", BEST]


def _stopped_and_resumed(
    place: str, call: int, data: Path, out: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> Path:
    """`out` of a run that was stopped in the n-th call of `place`, then went on to its end."""
    monkeypatch.setattr("train.epochs.SAVE_EVERY_S", -1.0)
    with monkeypatch.context() as patch:
        patch.setattr(place, _patched(place, call, STOP))
        with pytest.raises(KeyboardInterrupt):
            train_tiny(data, out, **settings)
    return train_tiny(data, out, resume=True)


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
    train_tiny(data, tmp_path / "run", resume=True)
    assert differing(finished, tmp_path / "run") == []


def test_a_run_does_not_go_on_with_other_photos(finished: Path, tmp_path: Path) -> None:
    fewer = write_tiny_set(tmp_path / "set", train=5)
    with pytest.raises(ModelError, match="the data set changed"):
        train_tiny(fewer, finished, resume=True)


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
