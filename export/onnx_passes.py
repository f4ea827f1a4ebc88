"""What is done to a freshly exported ONNX graph so that every TensorRT and ONNX Runtime takes it.

raw ModelProto ──onnxsim──▶ folded ──hoist_constants──▶ ──sizes_to_scales──▶ clean ModelProto (in place)
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxsim
from onnx import numpy_helper, shape_inference

from edge_runtime.errors import ModelError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto


def clean(model: ModelProto) -> ModelProto:
    """Apply all passes to a static-shape model.

    Raises:
        ModelError: the simplified graph does not compute the same as the raw one.
    """
    simplified: ModelProto
    simplified, same = onnxsim.simplify(model)
    if not same:
        raise ModelError("onnxsim changed what the graph computes; try another onnxsim version")
    hoist_constants(simplified)
    sizes_to_scales(simplified)
    onnx.checker.check_model(simplified, full_check=True)
    return simplified


def hoist_constants(model: ModelProto) -> None:
    """Turn Constant nodes (Clip bounds, for instance) into initializers; later passes see one kind."""
    graph = model.graph
    for node in [n for n in graph.node if n.op_type == "Constant"]:
        tensor = onnx.TensorProto()
        tensor.CopyFrom(next(a.t for a in node.attribute if a.name == "value"))
        tensor.name = node.output[0]
        graph.initializer.append(tensor)
        graph.node.remove(node)


def sizes_to_scales(model: ModelProto) -> None:
    """Give every Resize whole-number scales in place of sizes (DLA takes only those); bit-exact."""
    graph = model.graph
    shapes = tensor_shapes(model)
    for node in graph.node:
        if node.op_type != "Resize" or len(node.input) < 4 or not node.input[3]:
            continue
        before, after = shapes[node.input[0]], shapes[node.output[0]]
        if any(b % a for a, b in zip(before, after, strict=True)):
            continue
        scales = np.array([b // a for a, b in zip(before, after, strict=True)], np.float32)
        name = f"{node.output[0]}_scales"
        graph.initializer.append(numpy_helper.from_array(scales, name))
        inputs = [node.input[0], "", name]
        del node.input[:]
        node.input.extend(inputs)
    drop_unused_initializers(graph)


def drop_unused_initializers(graph: GraphProto) -> None:
    """Remove the constants no node reads."""
    used = {name for node in graph.node for name in node.input}
    for tensor in [t for t in graph.initializer if t.name not in used]:
        graph.initializer.remove(tensor)


def tensor_shapes(model: ModelProto) -> dict[str, tuple[int, ...]]:
    """Static shape of every tensor the graph computes or is given."""
    graph = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    shapes = {
        value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info, *graph.output)
    }
    return {name: shape for name, shape in shapes.items() if math.prod(shape) > 0}
