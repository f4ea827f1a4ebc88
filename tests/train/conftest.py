"""A tiny data set and a finished run on it, once for each file of tests that asks."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest

from .tiny import write_tiny_set
from .whole_run import train_tiny

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_set(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny(data, tmp_path_factory.mktemp("finished"))


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the exact evaluation, which has tests of its own: what training itself found out."""

    def evaluate_run(run: Any, outcome: Any, _: object) -> None:
        (run.out / "metrics.json").write_text(
            json.dumps(dataclasses.asdict(outcome) | {"seconds": run.seconds})
        )

    monkeypatch.setattr("train.run.evaluate_run", evaluate_run)
