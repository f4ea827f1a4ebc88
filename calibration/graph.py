"""What every pass over a model file needs to know of its graph: who makes a tensor, who reads it, its type.

ModelProto ──prepared──▶ own copy, constants as initializers, subgraphs refused ──GraphIndex──▶ look-ups
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx
from onnx import AttributeProto, ModelProto, TensorProto, shape_inference

from edge_runtime.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnx import NodeProto

STANDARD = ("", "ai.onnx")
CAUSE = "; export the run with another encoder, or fly the fp32 file"


@dataclass(frozen=True)
class GraphIndex:
    """Look-ups by tensor name. `consumers` has one entry per read, with the position of the input."""

    producer: dict[str, NodeProto]
    consumers: dict[str, list[tuple[NodeProto, int]]]
    constants: dict[str, TensorProto]
    outputs: frozenset[str]

    @classmethod
    def of(cls, model: ModelProto) -> GraphIndex:
        producer: dict[str, NodeProto] = {}
        consumers: dict[str, list[tuple[NodeProto, int]]] = {}
        for node in model.graph.node:
            producer.update(dict.fromkeys(node.output, node))
            for position, name in enumerate(node.input):
                consumers.setdefault(name, []).append((node, position))
        constants = {tensor.name: tensor for tensor in model.graph.initializer}
        return cls(producer, consumers, constants, frozenset(o.name for o in model.graph.output))

    def variable_inputs(self, node: NodeProto) -> Iterator[tuple[int, str]]:
        """Positions and names of the inputs that depend on the image."""
        return ((i, name) for i, name in enumerate(node.input) if name and name not in self.constants)

    def only_reader(self, name: str) -> NodeProto | None:
        """The node that alone reads a tensor, None where it is an output or read more than once."""
        readers = self.consumers.get(name, [])
        return readers[0][0] if len(readers) == 1 and name not in self.outputs else None


def layer_name(node: NodeProto) -> str:
    """The name a layer goes by in tables, reports and errors."""
    return node.name or node.output[0]


def prepared(model: ModelProto) -> ModelProto:
    """A copy to work on, with Constant nodes turned into initializers.

    Raises:
        ModelError: an operator with a graph inside, or one that is not part of ONNX.
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    for node in [n for n in copy.graph.node if n.op_type == "Constant"]:
        value = next((a.t for a in node.attribute if a.name == "value"), None)
        if value is None:
            raise unsupported(node, "it holds no tensor")
        tensor = copy.graph.initializer.add()
        tensor.CopyFrom(value)
        tensor.name = node.output[0]
        copy.graph.node.remove(node)
    for node in copy.graph.node:
        if node.domain not in STANDARD:
            raise unsupported(node, f"its domain {node.domain!r} is not part of ONNX")
        if any(a.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for a in node.attribute):
            raise unsupported(node, "it holds a graph of its own")
    return copy


def finished(model: ModelProto) -> ModelProto:
    """Drop constants nobody reads, infer types and shapes anew, and check the whole.

    Raises:
        ModelError: the graph is not valid ONNX.
    """
    graph = model.graph
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(kept)
    try:
        inferred = shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        onnx.checker.check_model(inferred, full_check=True)
    except (shape_inference.InferenceError, onnx.checker.ValidationError) as error:
        raise ModelError(f"the graph is not valid ONNX: {error}; please report this encoder") from error
    return inferred


def element_types(model: ModelProto) -> dict[str, int]:
    """`TensorProto.DataType` of every tensor and constant of the graph."""
    graph = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    values = (*graph.input, *graph.value_info, *graph.output)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return types | {tensor.name: tensor.data_type for tensor in graph.initializer}


def opset(model: ModelProto) -> int:
    """Version of the standard operators a file uses."""
    return int(next((o.version for o in model.opset_import if o.domain in STANDARD), 0))


def unsupported(node: NodeProto, why: str) -> ModelError:
    """The error for an operator a pass cannot take, with its layer."""
    return ModelError(
        f"operator {node.op_type} of layer {layer_name(node)!r} cannot be converted: {why}{CAUSE}"
    )
