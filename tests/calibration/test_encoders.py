"""All files of several encoders: valid, and TensorRT computes every layer in the precision it should."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest

from calibration.cpu_int8 import cpu_tensors, quantize_cpu
from calibration.fp16 import to_fp16
from calibration.histograms import collect
from calibration.placement import plan
from calibration.qdq import quantize
from calibration.ranges import tensor_range
from tests.calibration import rtx
from tests.calibration.encoders import export_encoder, frames
from tests.calibration.graphs import maps

if TYPE_CHECKING:
    from onnx import ModelProto

ENCODERS = [
    pytest.param("tf_efficientnet_lite0", (59, 1)),
    pytest.param("mobilenetv4_conv_small", (56, 1), marks=pytest.mark.slow),
    pytest.param("resnet18", (31, 1), marks=pytest.mark.slow),
    pytest.param("resnet50", (64, 1), marks=pytest.mark.slow),
    pytest.param("mobilenetv3_small_050", (63, 19), marks=pytest.mark.slow),
]
MEAN_TOLERANCE = {"fp16": 2e-3, "int8": 0.03, "typed": 0.03, "cpu": 0.03}  # of a probability, untrained


@pytest.mark.parametrize(("encoder", "count"), ENCODERS)
def test_every_file_is_valid_and_computed_in_its_precision(
    encoder: str, count: tuple[int, int], request: pytest.FixtureRequest
) -> None:
    if encoder == "tf_efficientnet_lite0":
        fp32: ModelProto = request.getfixturevalue("edge")
    else:
        fp32 = export_encoder(request.getfixturevalue("tmp_path"), encoder)
    placement = plan(fp32)
    convs = [n.name for n in fp32.graph.node if n.op_type == "Conv"]
    assert (len(convs), len(placement.float_layers)) == count
    made = files(fp32)
    expected = maps(fp32, frames())
    for kind, model in made.items():
        onnx.checker.check_model(model, full_check=True)
        assert 0 < np.abs(maps(model, frames()) - expected).mean() <= MEAN_TOLERANCE[kind], kind
    for kind in ("fp16", "int8", "typed"):
        built = rtx.build(made[kind].SerializeToString())
        assert built.complaints == [], kind
        body = "Float" if kind == "int8" else "Half"
        for name in convs:
            wanted = "Int8" if kind != "fp16" and name in placement.layers else body
            assert built.input_types(name) == (wanted, wanted), (kind, name)


def files(fp32: ModelProto) -> dict[str, ModelProto]:
    placement = plan(fp32)
    names = {*placement.tensors, *cpu_tensors(fp32)}
    ranges = {n: tensor_range(h, "max") for n, h in collect(fp32, names, frames(), threads=1).items()}
    amax = {name: found.amax for name, found in ranges.items()}
    return {
        "fp16": to_fp16(fp32),
        "int8": quantize(fp32, placement, amax, weights="fp32"),
        "typed": to_fp16(quantize(fp32, placement, amax, weights="int8")),
        "cpu": quantize_cpu(fp32, ranges),
    }
