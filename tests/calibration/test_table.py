"""The calibration table as a file: all of it comes back, nothing else is taken for one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from calibration.histograms import GrowingHistogram
from calibration.ranges import TensorRange
from calibration.table import CalibrationTable
from edge_runtime.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

FP32 = b"the fp32 file"


def table() -> CalibrationTable:
    histograms = {}
    for name, values in {"a": [-1.5, 6.0], "b": [0.0, 0.1]}.items():
        growing = GrowingHistogram()
        growing.add(np.array(values, np.float32))
        histograms[name] = growing.frozen()
    return CalibrationTable.of(
        histograms, "max", frames=256, seed=7, fp32=FP32, float_layers=["stem"], cpu_float_layers=["last"]
    )


def test_it_holds_what_the_method_found() -> None:
    made = table()
    assert made.ranges["a"] == TensorRange(6, -1.5, 6)
    assert made.amax == {"a": 6, "b": pytest.approx(0.1)}
    assert (made.method, made.frames, made.seed) == ("max", 256, 7)
    assert (made.float_layers, made.cpu_float_layers) == (("stem",), ("last",))


def test_it_makes_the_round_trip_through_its_file(tmp_path: Path) -> None:
    path = tmp_path / "tower-calibration.json"
    table().write(path)
    assert CalibrationTable.read(path) == table()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_it_knows_its_fp32_file() -> None:
    table().require(FP32, "tower-fp32.onnx")
    with pytest.raises(ModelError, match=r"tower-fp32\.onnx: sha256 .* calibrate it anew"):
        table().require(FP32 + b"!", "tower-fp32.onnx")


def changed(**values: Any) -> str:
    return json.dumps(json.loads(table().to_json()) | values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("{", "JSONDecodeError", id="cut"),
        pytest.param("[]", "TypeError", id="a list"),
        pytest.param("{}", "KeyError: 'schema'", id="empty"),
        pytest.param(changed(schema=2), "schema 2, this version reads 1", id="newer"),
        pytest.param(changed(frames="many"), "ValueError", id="frames"),
        pytest.param(changed(ranges={"a": {"amax": 1}}), "KeyError: 'low'", id="half a range"),
        pytest.param(
            changed(ranges={"a": {"amax": 1, "low": -2, "high": 1}}), "not within its amax", id="wide range"
        ),
        pytest.param(
            changed(ranges={"a": {"amax": float("nan"), "low": 0, "high": 0}}),
            "not within",
            id="not a number",
        ),
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "t.json"
    path.write_text(text)
    with pytest.raises(ModelError, match=message) as caught:
        CalibrationTable.read(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.json: cannot be read"):
        CalibrationTable.read(tmp_path / "gone.json")


def test_a_folder_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be written"):
        table().write(tmp_path / "gone" / "t.json")
    assert list(tmp_path.iterdir()) == []
