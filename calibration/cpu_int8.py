"""The int8 file for CPUs: uint8 activations and int8 weights everywhere, as ONNX Runtime fuses them.

fp32 ModelProto ──cpu_tensors──▶ names to observe ──ranges──▶ quantize_cpu ──▶ Q/DQ ModelProto, all operators
TensorRT's placement leaves most operators between Q and DQ in float, which is slower than fp32 on a CPU.
Here every convolution writes uint8 itself, with ReLU or Clip done by the quantizer and an int32 bias.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import helper, numpy_helper

from calibration.cpu_image import subtract_rows
from calibration.graph import GraphIndex, finished, layer_name, prepared
from calibration.placement import moves_values, plan
from calibration.qdq_writer import QdqWriter, dequantized
from calibration.weights import quantize_weight
from edge_runtime.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto

    from calibration.ranges import TensorRange

STEPS = 255  # between the smallest and the largest uint8
FAR = 1e30  # no activation comes near it
LARGEST_BIAS = float(2**30)  # leaves room for the sum of products in int32


def cpu_tensors(model: ModelProto, float_layers: Collection[str] = ()) -> tuple[str, ...]:
    """Names of the tensors `quantize_cpu` needs a range for, in graph order."""
    return tuple(dict.fromkeys(_Region(prepared(model), float_layers).source.values()))


def quantize_cpu(
    model: ModelProto, ranges: Mapping[str, TensorRange], float_layers: Collection[str] = ()
) -> ModelProto:
    """A copy of an fp32 model for ONNX Runtime on CPUs; opset, IR version and metadata stay.

    Args:
        ranges: for each of `cpu_tensors(model, float_layers)`.
        float_layers: convolutions that stay float, beside those that always do (`plan(model).float_layers`).

    Raises:
        ModelError: a range is missing, or the graph cannot be taken.
    """
    model = prepared(model)
    region = _Region(model, float_layers)
    writer = QdqWriter(model.graph)
    parameters = {}
    for tensor, source in region.source.items():
        if source not in ranges:
            raise ModelError(f"the calibration has no range for tensor {source!r}; calibrate this model anew")
        parameters[tensor] = scale, zero_point = uint8_parameters(ranges[source])
        writer.add_pair(tensor, scale, np.array(zero_point, np.uint8))
    for conv, activation in region.absorbed:
        conv.output[0] = activation.output[0]
        model.graph.node.remove(activation)
    constants = GraphIndex.of(model).constants
    for node in model.graph.node:
        if node.op_type == "Conv" and layer_name(node) in region.layers:
            bias = numpy_helper.to_array(constants[node.input[2]]) if len(node.input) > 2 else None
            weight = numpy_helper.to_array(constants[node.input[1]])
            _write_layer(writer, node, parameters[node.input[0]][0], weight, bias)
        for position, name in enumerate(node.input):
            if name in parameters:
                node.input[position] = dequantized(name)
    writer.finish()
    _shield(model, [dequantized(name) for name in parameters], float_layers)
    subtract_rows(model)
    return finished(model)


def uint8_parameters(values: TensorRange) -> tuple[float, int]:
    """Scale > 0 and zero point in [0, 255] with which uint8 spans a range that holds 0."""
    scale = float(np.float32((values.high - values.low) / STEPS)) or 1.0
    return scale, int(np.clip(np.rint(-values.low / scale), 0, STEPS))


def _write_layer(
    writer: QdqWriter,
    conv: NodeProto,
    input_scale: float,
    weight: NDArray[np.float32],
    bias: NDArray[np.float32] | None,
) -> None:
    """Weights per output channel; the bias takes the scale of the products, as the int32 sum has it."""
    name = conv.output[0]
    least = None if bias is None else (np.abs(bias) / (input_scale * LARGEST_BIAS)).astype(np.float32)
    values, scale = quantize_weight(weight, least)
    conv.input[1] = writer.add_dequantized(f"{name}_weight", values, scale)
    if bias is not None:
        products = (scale * np.float32(input_scale)).astype(np.float32)
        whole = np.rint(bias / products.astype(np.float64)).astype(np.int32)
        conv.input[2] = writer.add_dequantized(f"{name}_bias", whole, products)


def _shield(model: ModelProto, from_uint8: Collection[str], float_layers: Collection[str]) -> None:
    """Keep ONNX Runtime from quantizing the weights of float layers after all.

    Its WeightBiasQuantization (seen in 1.32) does that, per tensor, wherever a convolution stands between DQ
    and Q. A Clip far outside every range, between DQ and convolution, changes no value and stops it.
    """
    graph = model.graph
    at_risk = [n for n in graph.node if n.op_type == "Conv" and layer_name(n) in float_layers]
    at_risk = [node for node in at_risk if node.input[0] in from_uint8]
    if not at_risk:
        return
    bounds = []
    for side, value in (("least", -FAR), ("most", FAR)):
        bounds.append(f"shield_{side}")
        graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), bounds[-1]))
    nodes = []
    for node in graph.node:
        if node in at_risk:
            shielded = f"{node.output[0]}_shielded"
            nodes.append(helper.make_node("Clip", [node.input[0], *bounds], [shielded], f"{shielded}/Clip"))
            node.input[0] = shielded
        nodes.append(node)
    ordered = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(ordered)


class _Region:
    """Which tensors are uint8. `source`: each of them, and the tensor whose range it takes.

    `layers`: names of the int8 convolutions. `absorbed`: nodes whose ReLU or Clip the quantizer does.
    """

    def __init__(self, model: ModelProto, float_layers: Collection[str]) -> None:
        self._index = GraphIndex.of(model)
        self.layers = frozenset(plan(model).without(float_layers).layers)
        self.source: dict[str, str] = {}
        self.absorbed: list[tuple[NodeProto, NodeProto]] = []
        convs = [n for n in model.graph.node if n.op_type == "Conv" and layer_name(n) in self.layers]
        self._read = {node.input[0] for node in convs}
        for value in model.graph.input:
            self._add_read([value.name])
        skipped: set[str] = set()
        for node in model.graph.node:
            if node.output[0] in skipped:
                continue
            if not self._is_int8(node):
                self._add_read(node.output)
            elif moves_values(node) and node.op_type != "Concat":
                self.source[node.output[0]] = self.source[node.input[0]]  # or they would not stay uint8
            else:
                made = self._activation(node)
                if made is not None:
                    self.absorbed.append((node, made))
                    skipped.add(made.output[0])
                name = (made or node).output[0]
                self.source[name] = name

    def _add_read(self, names: Iterable[str]) -> None:
        self.source.update({name: name for name in names if name in self._read})

    def _is_int8(self, node: NodeProto) -> bool:
        if node.op_type == "Conv":
            return layer_name(node) in self.layers
        variable = [name for _, name in self._index.variable_inputs(node)]
        taken = (node.op_type == "Add" and len(variable) == len(node.input)) or moves_values(node)
        return taken and len(node.output) == 1 and all(name in self.source for name in variable)

    def _activation(self, node: NodeProto) -> NodeProto | None:
        """A ReLU or Clip from 0 that alone reads the node: uint8 with zero point 0 ends where it does."""
        reader = self._index.only_reader(node.output[0]) if node.op_type in ("Conv", "Add") else None
        if reader is None or reader.op_type == "Relu":
            return reader
        if reader.op_type != "Clip" or len(reader.input) < 2:
            return None
        bound = self._index.constants.get(reader.input[1])
        return reader if bound is not None and numpy_helper.to_array(bound) == 0 else None
