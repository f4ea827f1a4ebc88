"""Each precision against the trained network by `check_parity`: onnxruntime, and an engine where it runs."""

from __future__ import annotations

import dataclasses
import importlib.util
from typing import TYPE_CHECKING

import onnx
import pytest

from calibration import placement, qdq
from calibration.contracts import sealed_bytes
from calibration.fp16 import to_fp16
from calibration.quantize import observe
from calibration.ranges import tensor_range
from edge_runtime.backends import open_backend
from edge_runtime.backends.onnx_cpu import OnnxCpu
from edge_runtime.errors import ModelError
from edge_runtime.nvidia import open_driver
from edge_runtime.onnxfile import read_contract
from edge_runtime.preprocess import resize_frame
from export.parity import check_parity, torch_reference
from tests.export.runs import photos
from train.localizer import load_localizer

if TYPE_CHECKING:
    from pathlib import Path

FRAMES = [resize_frame(photo, 96, 96) for photo in photos()]
# Largest difference of a probability from the trained network's, which is random here and has soft maps.
TOLERANCE = {"fp32": 1e-5, "fp16": 5e-3, "int8": 0.2}
TARGETS = {"fp32": "any", "fp16": "any", "int8": "tensorrt10"}
CAN_FLY = open_driver() is not None and all(map(importlib.util.find_spec, ("tensorrt", "pycuda")))


@pytest.fixture(scope="module")
def files(model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A file per precision, int8 with ranges of the very frames."""
    fp32 = onnx.load(model)
    plan = placement.plan(fp32)
    histograms = observe(fp32, plan.tensors, FRAMES, 1)
    ranges = {name: tensor_range(found, "percentile").amax for name, found in histograms.items()}
    typed = to_fp16(qdq.quantize(fp32, plan, ranges, weights="int8"))
    folder, contract = tmp_path_factory.mktemp("files"), read_contract(model)
    for precision, made in {"fp32": fp32, "fp16": to_fp16(fp32), "int8": typed}.items():
        named = dataclasses.replace(contract, precision=precision, target=TARGETS[precision])
        (folder / f"{precision}.onnx").write_bytes(sealed_bytes(made, named))
    return {precision: folder / f"{precision}.onnx" for precision in TOLERANCE}


@pytest.mark.parametrize("precision", TOLERANCE)
def test_each_precision_stays_within_its_tolerance_of_the_trained_network(
    run: Path, files: dict[str, Path], precision: str
) -> None:
    asked = OnnxCpu(files[precision], 1, optimize=False)
    reference = torch_reference(load_localizer(run))
    found = check_parity(reference, asked.infer, FRAMES, TOLERANCE[precision])
    tighter = {"fp32": 0.0, "fp16": TOLERANCE["fp32"], "int8": TOLERANCE["fp16"]}[precision]
    assert found.map_max > tighter  # else the file is not of this precision
    with pytest.raises(ModelError, match="differs from the trained network"):
        check_parity(reference, asked.infer, FRAMES, tighter)


@pytest.mark.skipif(not CAN_FLY, reason="needs an NVIDIA GPU, tensorrt and pycuda")
@pytest.mark.parametrize("precision", TOLERANCE)
def test_the_engine_stays_within_the_same_tolerance(
    run: Path, files: dict[str, Path], tmp_path: Path, precision: str
) -> None:
    engine = open_backend(files[precision], "tensorrt", engine_dir=tmp_path)
    try:
        reference = torch_reference(load_localizer(run))
        check_parity(reference, engine.infer, FRAMES, max(1e-3, TOLERANCE[precision]))
    finally:
        engine.close()
