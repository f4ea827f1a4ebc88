"""The typed fp16 body: every value inside is half precision, what comes in and goes out stays fp32.

image ──Cast, Sub (fp32)──▶ Cast ──body in fp16──▶ Cast ──Sigmoid, Softmax (fp32)──▶ prob, class_probs
A Q/DQ pair stays fp32, scale included: Cast ──Q──DQ──Cast. Half-precision scales are misread by TensorRT 8
and by ONNX Runtime's optimizer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from calibration.graph import GraphIndex, element_types, finished, layer_name, opset, prepared, unsupported
from edge_runtime.errors import ModelError

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

LARGEST = float(np.finfo(np.float16).max)
QDQ = {"QuantizeLinear", "DequantizeLinear"}
PREPROCESSING = {"Cast", "Transpose", "Sub", "Mul", "Gather", "Slice", "Concat"}
POSTPROCESSING = {"Sigmoid", "Softmax"}
FP32_INPUTS = {"Resize": (1, 2)}  # region and scales: parsers read them as fp32
TYPED_BY_ATTRIBUTE = {"ConstantOfShape", "EyeLike", "RandomNormalLike", "RandomUniformLike", "Bernoulli"}


def to_fp16(model: ModelProto) -> ModelProto:
    """A copy of an fp32 or Q/DQ model with an fp16 body; inputs, outputs and metadata stay as they are.

    Raises:
        ModelError: an operator ONNX does not define for fp16, or a weight too large for it; names the layer.
    """
    model = prepared(model)
    retyping = _Retyping(model)
    for node in model.graph.node:
        retyping.take(node)
    retyping.restore_outputs()
    del model.graph.node[:]
    model.graph.node.extend(retyping.nodes)
    model.graph.initializer.extend(retyping.constants)
    return finished(model)


def edge_nodes(model: ModelProto) -> set[str]:
    """First outputs of the nodes outside the body: what is done to the image, what ends the graph."""
    index = GraphIndex.of(model)
    early = {value.name for value in model.graph.input}
    found = set()
    for node in model.graph.node:
        if node.op_type in PREPROCESSING and all(name in early for _, name in index.variable_inputs(node)):
            early.update(node.output)
            found.add(node.output[0])
        if node.op_type in POSTPROCESSING and node.output[0] in index.outputs:
            found.add(node.output[0])
    return found


class _Retyping:
    """Walks the nodes in order and writes new ones; every tensor is cast at most once per direction."""

    def __init__(self, model: ModelProto) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self._model = model
        self._opset = opset(model)
        self._types = element_types(model)
        self._fp32 = {t.name: t for t in model.graph.initializer if t.data_type == TensorProto.FLOAT}
        self._edge = edge_nodes(model)
        self._half: set[str] = set()  # tensors that are fp16 by now
        self._cast: dict[tuple[str, int], str] = {}

    def take(self, node: NodeProto) -> None:
        inside = node.output[0] not in self._edge and node.op_type not in QDQ
        if inside:
            self._require_fp16(node)
        for position, name in enumerate(node.input):
            if self._types.get(name) != TensorProto.FLOAT:
                continue
            if not inside:
                node.input[position] = self._as(name, TensorProto.FLOAT)
            elif position not in FP32_INPUTS.get(node.op_type, ()):
                node.input[position] = self._as(name, TensorProto.FLOAT16, node)
        self.nodes.append(node)
        if not inside:
            return
        self._half.update(name for name in node.output if self._types.get(name) == TensorProto.FLOAT)
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16

    def restore_outputs(self) -> None:
        """Outputs the body makes itself get a cast, so that their name and type stay."""
        for output in self._model.graph.output:
            if output.name not in self._half:
                continue
            inner = f"{output.name}_fp16"
            for node in self.nodes:
                node.input[:] = [inner if name == output.name else name for name in node.input]
                node.output[:] = [inner if name == output.name else name for name in node.output]
            self.nodes.append(cast_node(inner, output.name, TensorProto.FLOAT))

    def _as(self, name: str, wanted: int, node: NodeProto | None = None) -> str:
        if (TensorProto.FLOAT16 if name in self._half else TensorProto.FLOAT) == wanted:
            return name
        if (name, wanted) not in self._cast:
            made = f"{name}_fp16" if wanted == TensorProto.FLOAT16 else f"{name}_fp32"
            if name in self._fp32 and node is not None:
                self.constants.append(half_constant(self._fp32[name], made, node))
            else:
                self.nodes.append(cast_node(name, made, wanted))
            self._cast[name, wanted] = made
        return self._cast[name, wanted]

    def _require_fp16(self, node: NodeProto) -> None:
        schema = onnx.defs.get_schema(node.op_type, self._opset, "")
        for ports, names in ((schema.inputs, node.input), (schema.outputs, node.output)):
            for position, name in enumerate(names):
                port = ports[min(position, len(ports) - 1)]
                wanted = position not in FP32_INPUTS.get(node.op_type, ()) or names is node.output
                if self._types.get(name) == TensorProto.FLOAT and wanted:
                    if "tensor(float16)" not in port.types:
                        raise unsupported(node, f"ONNX {self._opset} does not define it for fp16")
                    if node.op_type in TYPED_BY_ATTRIBUTE:
                        raise unsupported(node, "its type is fixed to fp32")


def cast_node(name: str, made: str, wanted: int) -> NodeProto:
    """A Cast of tensor `name` to the element type `wanted`, named after what it makes."""
    return helper.make_node("Cast", [name], [made], name=f"{made}/Cast", to=wanted)


def half_constant(tensor: TensorProto, name: str, node: NodeProto) -> TensorProto:
    """The constant in fp16. Bounds of a Clip saturate; a weight that does not fit is an error."""
    values = numpy_helper.to_array(tensor)
    if node.op_type == "Clip":
        values = np.clip(values, -LARGEST, LARGEST)
    largest = float(np.abs(values).max(initial=0.0))
    if not largest <= LARGEST:  # also true for NaN
        raise ModelError(
            f"layer {layer_name(node)!r} ({node.op_type}): its constant {tensor.name!r} reaches {largest:g}, "
            f"fp16 ends at {LARGEST:g}; fly the fp32 file"
        )
    return numpy_helper.from_array(values.astype(np.float16), name)
