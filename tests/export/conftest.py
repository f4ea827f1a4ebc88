"""One exported run for all tests of this room."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from export.fp32 import export_fp32
from tests.export.runs import photos, write_run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "tower")


@pytest.fixture(scope="session")
def model(run: Path) -> Path:
    path = run / "model" / "tower-fp32.onnx"
    export_fp32(run, path, photos())
    return path
