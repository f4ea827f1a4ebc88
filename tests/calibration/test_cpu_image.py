"""The mean taken off whole rows gives the very same numbers; other beginnings of a graph are left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from calibration.cpu_image import subtract_rows
from tests.calibration.graphs import conv, graph, node, session, weight

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

CAST = node("Cast", "image", "f", to=1)
TRANSPOSE = node("Transpose", "f", "t", perm=[0, 3, 1, 2])
MEAN = np.array([103.53, 116.28, 123.675], np.float32).reshape(1, 3, 1, 1)


def started(*nodes: NodeProto, shape: tuple[int, ...] = (2, 5, 7, 3)) -> ModelProto:
    """Nodes that read the uint8 `image` and end in "y"."""
    constants = {"mean": MEAN, "one": MEAN[:, :1], "w": weight(4, 3)}
    model = graph(nodes, constants, outputs=["y"], shape=shape)
    model.graph.input[0].name = "image"
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    return onnx.shape_inference.infer_shapes(model)


def test_every_value_is_the_same_bit_for_bit() -> None:
    model = started(CAST, TRANSPOSE, node("Sub", "t mean", "y"))
    changed = onnx.ModelProto.FromString(model.SerializeToString())
    assert subtract_rows(changed)
    onnx.checker.check_model(changed, full_check=True)
    assert [n.op_type for n in changed.graph.node] == ["Cast", "Reshape", "Sub", "Reshape", "Transpose"]
    image = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), dtype=np.uint8)
    expected, found = (session(m).run(None, {"image": image})[0] for m in (model, changed))
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    "nodes",
    [
        pytest.param([CAST, TRANSPOSE, node("Sub", "t one", "y")], id="one mean for all channels"),
        pytest.param([CAST, TRANSPOSE, node("Sub", "mean t", "y")], id="the other way round"),
        pytest.param([CAST, TRANSPOSE, conv("t", "y")], id="no mean"),
        pytest.param(
            [CAST, TRANSPOSE, node("Sub", "t mean", "s"), node("Concat", "s t", "y", axis=1)],
            id="the image is needed elsewhere",
        ),
        pytest.param(
            [CAST, node("Transpose", "f", "t", perm=[0, 3, 2, 1]), node("Sub", "t mean", "y")],
            id="another order of axes",
        ),
        pytest.param([CAST, node("Relu", "f", "y")], id="no transposition"),
    ],
)
def test_another_beginning_is_left_as_it_is(nodes: list[NodeProto]) -> None:
    model = started(*nodes)
    before = model.SerializeToString()
    assert not subtract_rows(model)
    assert model.SerializeToString() == before
