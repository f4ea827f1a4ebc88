"""`export --precision fp16|int8`: files that agree with fp32 are placed with their figures, no others."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import cv2
import onnx
import pytest
from click.testing import CliRunner
from onnx import numpy_helper

from calibration.fitting import Int8Settings
from edge_runtime.errors import EngineError, ModelError, UsageError
from edge_runtime.modelfile import find_model, sha256_of
from edge_runtime.nvidia import open_driver
from edge_runtime.onnxfile import read_contract
from export import flow, precisions
from export.commands.export import export as export_command
from tests.export.runs import photos

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of smooth pictures: 8 photos per class in train and val, boxes in val."""
    root = tmp_path_factory.mktemp("data")
    pictures = iter(photos(32))
    rows = ["path,x0,y0,x1,y1"]
    for split in ("train", "val"):
        for name in ("background", "tower"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(8):
                cv2.imwrite(str(folder / f"{number}.png"), next(pictures))
                if (split, name) == ("val", "tower"):
                    rows.append(f"tower/{number}.png,0,0,199,149")
    (root / "val" / "boxes.csv").write_text("\n".join(rows) + "\n")
    return root


def invoke(*args: object) -> Any:
    return CliRunner().invoke(export_command, [str(arg) for arg in args])


def test_fp16_file_says_what_it_was_made_from_and_how_it_did(run: Path, data: Path, tmp_path: Path) -> None:
    done = invoke(run, "--precision", "fp16", "--frames", data, "--out", tmp_path, "--json", "--quiet")
    assert done.exit_code == 0, (done.output, done.exception)
    fp32, fp16 = tmp_path / "tower-fp32.onnx", tmp_path / "tower-fp16.onnx"
    contract = read_contract(fp16)
    assert (contract.precision, contract.fp32_sha256) == ("fp16", sha256_of(fp32))
    assert contract.metrics["val"]["photos"] == 16
    assert contract.metrics["versus_fp32"]["mean_iou"] >= 0.97
    assert "test" not in contract.metrics  # those are figures of fp32
    assert fp16.stat().st_size <= 0.55 * fp32.stat().st_size
    rows = json.loads(done.stdout)["rows"]
    assert [row["precision"] for row in rows] == ["fp32", "fp16"]
    assert [row["photos"] for row in rows] == [16, 16]


@pytest.mark.parametrize(
    "aim",
    [
        pytest.param(0.01, id="met"),
        pytest.param(Int8Settings.aim_map_mean, id="missed whatever is float", marks=pytest.mark.slow),
    ],
)
def test_int8_writes_three_files_from_one_table(
    run: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aim: float
) -> None:
    """An untrained network misses the product's own aim, and looks for the cost of every layer first."""
    monkeypatch.setattr(flow, "Int8Settings", partial(Int8Settings, aim_map_mean=aim))
    done = invoke(run, "--precision", "int8", "--frames", data, "--calib", data, "--out", tmp_path)
    assert done.exit_code == 0, (done.output, done.exception)
    table = json.loads((tmp_path / "tower-calibration.json").read_text())
    assert table["fp32_sha256"] == sha256_of(tmp_path / "tower-fp32.onnx")
    for target, suffix in (("tensorrt10", "int8"), ("tensorrt8", "int8-trt8"), ("cpu", "int8-cpu")):
        contract = read_contract(tmp_path / f"tower-{suffix}.onnx")
        assert (contract.precision, contract.target) == ("int8", target)
        assert contract.calibration_method == table["method"]
        assert contract.metrics["versus_fp32"]["mean_iou"] >= 0.97
    assert find_model(tmp_path, "int8").name == "tower-int8-cpu.onnx"  # what a CPU takes
    assert "box IoU" in done.stderr


def test_a_file_that_localizes_worse_is_not_written(
    run: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blind(model: onnx.ModelProto) -> onnx.ModelProto:
        """The last convolution's bias far below zero: the map stays black."""
        spoiled = onnx.ModelProto()
        spoiled.CopyFrom(model)
        producers = {node.output[0]: node for node in spoiled.graph.node}
        head = producers[producers["prob"].input[0]]
        bias = next(t for t in spoiled.graph.initializer if t.name == head.input[2])
        bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) * 0 - 20.0, bias.name))
        return spoiled

    monkeypatch.setattr(precisions, "to_fp16", blind)
    done = invoke(run, "--precision", "fp16", "--frames", data, "--out", tmp_path)
    assert isinstance(done.exception, ModelError)
    assert "tower-fp16.onnx is refused: " in str(done.exception)
    assert "mean box IoU with fp32 is" in str(done.exception)
    assert "No fp16 file was written" in str(done.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["tower-fp32.onnx"]


def test_a_foreign_fp32_file_is_not_taken_for_the_source(run: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "tower-fp32.onnx").write_bytes(b"another")
    done = invoke(run, "--precision", "fp16", "--frames", data, "--out", tmp_path)
    assert isinstance(done.exception, UsageError)
    assert "comes from another training" in str(done.exception)
    assert (tmp_path / "tower-fp32.onnx").read_bytes() == b"another"


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        pytest.param(
            ["--precision", "fp16", "--engine"],
            EngineError,
            "no NVIDIA driver",
            id="no GPU here",
            marks=pytest.mark.skipif(open_driver() is not None, reason="this machine has an NVIDIA driver"),
        ),
        pytest.param(
            ["--dla", "0"], UsageError, "--dla 0 runs fp16, not fp32", id="DLA of another precision"
        ),
        pytest.param(
            ["--precision", "int8", "--calib", "gone"], Exception, "gone", id="no photos to calibrate on"
        ),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_written(
    run: Path, data: Path, tmp_path: Path, args: list[str], error: type[Exception], message: str
) -> None:
    out = tmp_path / "out"
    done = invoke(run, *args, "--frames", data, "--out", out)
    assert isinstance(done.exception, error)
    assert message in str(done.exception)
    assert not list(out.glob("*int8*")) + list(out.glob("*fp16*"))
