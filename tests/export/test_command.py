"""`dips-edge export`: what it writes, prints and refuses."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import cv2
import pytest
from click.testing import CliRunner

from edge_runtime.backends import open_backend
from edge_runtime.errors import SourceError, UsageError
from export.commands.export import export as export_command
from tests.export.runs import photos

if TYPE_CHECKING:
    from pathlib import Path


def invoke(*args: object) -> Any:
    return CliRunner().invoke(export_command, [str(arg) for arg in args])


def test_the_command_writes_the_file_into_the_run_and_prints_its_path(tmp_path: Path, run: Path) -> None:
    run = shutil.copytree(run, tmp_path / "tower", ignore=shutil.ignore_patterns("model"))
    cv2.imwrite(str(tmp_path / "photo.png"), photos(1)[0])
    done = invoke(run, "--frames", tmp_path / "photo.png", "--json", "--quiet")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["models"]["any"] == str(run / "model" / "tower-fp32.onnx")
    assert said["parity"]["frames"] == 1
    assert open_backend(run / "model").contract.run_id == "abc123"  # the directory is enough
    again = invoke(run, "--frames", tmp_path / "photo.png")
    assert isinstance(again.exception, UsageError)
    assert "exists; pass --force" in str(again.exception)
    assert invoke(run, "--frames", tmp_path / "photo.png", "--force").exit_code == 0


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        pytest.param(["--precision", "fp16"], UsageError, "name the data set", id="no photos to judge on"),
        pytest.param(["--size", "224"], UsageError, "expected HEIGHTxWIDTH", id="size"),
        pytest.param(["--out", "metrics.json"], UsageError, "expected a directory", id="out is a file"),
        pytest.param(["--frames", "gone.mp4"], SourceError, "gone.mp4: no such file", id="frames"),
    ],
)
def test_a_wrong_flag_is_named(
    run: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], error: type[Exception], message: str
) -> None:
    monkeypatch.chdir(run)
    done = invoke(run, "--out", run / "other", *args)
    assert isinstance(done.exception, error)
    assert message in str(done.exception)
    assert not (run / "other").exists()


def test_another_size_than_the_measured_one_is_mentioned(tmp_path: Path, run: Path) -> None:
    cv2.imwrite(str(tmp_path / "photo.png"), photos(1)[0])
    done = invoke(run, "--size", "64x96", "--out", tmp_path / "wide", "--frames", tmp_path / "photo.png")
    assert done.exit_code == 0, done.output
    contract = open_backend(tmp_path / "wide").contract
    assert (contract.input_height, contract.input_width) == (64, 96)
    assert "measured at 96x96, not at 64x96" in done.stderr
