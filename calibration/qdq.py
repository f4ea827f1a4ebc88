"""Write the Q/DQ pairs of a placement into the graph: explicit int8 for TensorRT.

fp32 ModelProto + Placement + range per tensor ──quantize──▶ Q/DQ ModelProto (body fp32)
quantize(..., weights="int8") ──fp16.to_fp16──▶ the typed file for TensorRT >= 10
quantize(..., weights="fp32")                 ▶ the weakly typed file for TensorRT 8
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from onnx import helper, numpy_helper

from calibration.graph import GraphIndex, finished, prepared
from edge_runtime.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

    from calibration.placement import Placement

LARGEST = 127  # symmetric: -128 stays unused by weights
ZERO_POINT, CHANNEL_AXIS = "int8_zero_point", 0


def quantize(
    model: ModelProto, placement: Placement, amax: Mapping[str, float], *, weights: Literal["int8", "fp32"]
) -> ModelProto:
    """A copy of an fp32 model with symmetric int8 Q/DQ pairs, scales fp32, metadata kept.

    Args:
        amax: largest magnitude int8 shall represent, for each of `placement.tensors`; tied tensors take the
            largest of their group.
        weights: "int8" stores weights as int8 followed by DQ; "fp32" as fp32 followed by Q and DQ, which is
            what TensorRT 8 reads. Both compute the same. Per output channel, biases stay fp32.

    Raises:
        ModelError: a range is missing or not a finite number >= 0, or the placement is of another graph.
    """
    model = prepared(model)
    writer = _Writer(model, weights)
    for tensor, scale in activation_scales(placement, amax).items():
        writer.add_pair(tensor, scale)
    consumers = {node.output[0]: node for node in model.graph.node}
    for site in placement.sites:
        node = consumers.get(site.consumer)
        if node is None or node.input[site.position] != site.tensor:
            raise _other_graph(site.tensor)
        node.input[site.position] = dequantized(site.tensor)
    layers = {site.consumer for site in placement.sites}
    for node in model.graph.node:
        if node.op_type == "Conv" and node.output[0] in layers:
            node.input[1] = writer.quantized_weight(node.input[1])
    writer.finish()
    return finished(model)


def activation_scales(placement: Placement, amax: Mapping[str, float]) -> dict[str, float]:
    """Scale of every tensor of the placement: largest range of its group / 127; 1 where that is 0.

    Raises:
        ModelError: a range is missing or not a finite number >= 0.
    """
    scales = {}
    for group in placement.groups:
        for name in group:
            value = amax.get(name)
            if value is None:
                raise _other_graph(name)
            if not 0 <= value < float("inf"):
                raise ModelError(f"tensor {name!r} has range {value}, expected a finite number >= 0")
        scale = max(amax[name] for name in group) / LARGEST
        scales.update(dict.fromkeys(group, scale if np.float32(scale) > 0 else 1.0))
    return scales


def quantize_weight(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric int8 per output channel.

    Args:
        weight: (O, ...) float32.

    Returns:
        (O, ...) int8 in [-127, 127] and (O,) float32 scales > 0, weight ~ int8 * scale.
    """
    flat = np.abs(weight).reshape(len(weight), -1).max(axis=1, initial=0.0)
    scale = (flat / LARGEST).astype(np.float32)
    scale[scale == 0] = 1.0
    columns = scale.reshape(-1, *([1] * (weight.ndim - 1)))
    return np.clip(np.rint(weight / columns), -LARGEST, LARGEST).astype(np.int8), scale


def dequantized(tensor: str) -> str:
    """Name of what the pair of a tensor gives."""
    return f"{tensor}_dq"


class _Writer:
    """Collects new nodes and constants, then puts each pair right behind the node that makes its tensor."""

    def __init__(self, model: ModelProto, weights: Literal["int8", "fp32"]) -> None:
        self._graph: GraphProto = model.graph
        self._weights = weights
        self._index = GraphIndex.of(model)
        self._behind: dict[str, list[NodeProto]] = {}  # by tensor
        self._first: list[NodeProto] = []  # those of weights
        self._done: dict[str, str] = {}
        self._constant(np.zeros((), np.int8), ZERO_POINT)

    def add_pair(self, tensor: str, scale: float) -> None:
        scale_name = self._constant(np.array(scale, np.float32), f"{tensor}_scale")
        self._behind[tensor] = self._pair(tensor, scale_name, ZERO_POINT)

    def quantized_weight(self, name: str) -> str:
        """Name of the dequantized weight; one for all layers that share a weight."""
        if name not in self._done:
            self._done[name] = self._write_weight(self._index.constants[name])
        return self._done[name]

    def finish(self) -> None:
        nodes = list(self._first)
        for value in self._graph.input:
            nodes.extend(self._behind.get(value.name, []))
        for node in self._graph.node:
            nodes.append(node)
            for name in node.output:
                nodes.extend(self._behind.get(name, []))
        kept = [_copy(node) for node in nodes]
        del self._graph.node[:]
        self._graph.node.extend(kept)

    def _write_weight(self, tensor: TensorProto) -> str:
        name = tensor.name
        values, scale = quantize_weight(numpy_helper.to_array(tensor))
        scale_name = self._constant(scale, f"{name}_scale")
        zero_name = self._constant(np.zeros(len(scale), np.int8), f"{name}_zero_point")
        pair = self._pair(name, scale_name, zero_name, axis=CHANNEL_AXIS)
        if self._weights == "int8":
            self._constant(values, pair[0].output[0])
            pair = pair[1:]
        self._first.extend(pair)
        return dequantized(name)

    def _pair(self, name: str, scale: str, zero: str, axis: int | None = None) -> list[NodeProto]:
        stored, back = f"{name}_int8", dequantized(name)
        pair = [
            helper.make_node("QuantizeLinear", [name, scale, zero], [stored], f"{name}/Q"),
            helper.make_node("DequantizeLinear", [stored, scale, zero], [back], f"{name}/DQ"),
        ]
        if axis is not None:
            for node in pair:
                node.attribute.append(helper.make_attribute("axis", axis))
        return pair

    def _constant(self, values: NDArray[np.generic], name: str) -> str:
        self._graph.initializer.append(numpy_helper.from_array(values, name))
        return name


def _copy(node: NodeProto) -> NodeProto:
    copied = type(node)()
    copied.CopyFrom(node)
    return copied


def _other_graph(tensor: str) -> ModelError:
    return ModelError(f"the calibration has no place for tensor {tensor!r}; calibrate this model anew")
