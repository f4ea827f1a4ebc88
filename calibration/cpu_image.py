"""The mean of the image taken off whole rows: the same numbers, several times faster on a CPU.

Cast ─ Transpose ─ Sub (3 values)  ▶  Cast ─ Reshape (N, H, W*3) ─ Sub (W*3 values) ─ Reshape ─ Transpose
ONNX Runtime moves the transposition behind the first convolution, and then subtracts three values at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import helper, numpy_helper

from calibration.graph import GraphIndex

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

NHWC_TO_NCHW = [0, 3, 1, 2]


def subtract_rows(model: ModelProto) -> bool:
    """Rewrite the start of a graph in place; False, with nothing changed, where it starts in another way."""
    index = GraphIndex.of(model)
    image = model.graph.input[0]
    shape = [dimension.dim_value for dimension in image.type.tensor_type.shape.dim]
    cast = index.only_reader(image.name)
    if cast is None or cast.op_type != "Cast" or len(shape) != 4:
        return False
    transpose = index.only_reader(cast.output[0])
    if transpose is None or not _is_to_nchw(transpose):
        return False
    subtract = index.only_reader(transpose.output[0])
    mean = index.constants.get(subtract.input[1]) if subtract is not None else None
    if (
        subtract is None
        or subtract.op_type != "Sub"
        or mean is None
        or list(mean.dims) != [1, shape[3], 1, 1]
    ):
        return False
    batch, height, width, channels = shape
    name, result = subtract.name, subtract.output[0]
    tiled = np.tile(numpy_helper.to_array(mean).reshape(channels), width).reshape(1, 1, -1)
    constants = {
        f"{name}/row_mean": tiled,
        f"{name}/rows": np.array([batch, height, width * channels]),
        f"{name}/pixels": np.array(shape),
    }
    model.graph.initializer.extend(numpy_helper.from_array(v, n) for n, v in constants.items())
    row_mean, rows, pixels = constants
    made = [
        helper.make_node("Reshape", [cast.output[0], rows], [f"{name}/in_rows"], f"{name}/in_rows"),
        helper.make_node("Sub", [f"{name}/in_rows", row_mean], [f"{name}/centred"], f"{name}/centred"),
        helper.make_node("Reshape", [f"{name}/centred", pixels], [f"{name}/nhwc"], f"{name}/nhwc"),
        helper.make_node("Transpose", [f"{name}/nhwc"], [result], transpose.name, perm=NHWC_TO_NCHW),
    ]
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        if node.output[0] == result:
            nodes.extend(made)
        elif node.output[0] != transpose.output[0]:
            nodes.append(type(node).FromString(node.SerializeToString()))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return True


def _is_to_nchw(node: NodeProto) -> bool:
    return node.op_type == "Transpose" and [list(a.ints) for a in node.attribute] == [NHWC_TO_NCHW]
