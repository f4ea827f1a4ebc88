"""How Q/DQ pairs and their constants get into a graph: shared by TensorRT's and the CPU's files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import helper, numpy_helper

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import GraphProto, NodeProto

CHANNEL_AXIS = 0


class QdqWriter:
    """Collects new nodes and constants; `finish` puts each pair behind the node that makes its tensor."""

    def __init__(self, graph: GraphProto) -> None:
        self._graph = graph
        self._behind: dict[str, list[NodeProto]] = {}  # by tensor
        self._first: list[NodeProto] = []  # what hangs on constants only

    def add_pair(self, tensor: str, scale: float, zero_point: NDArray[np.generic]) -> None:
        """A per-tensor pair behind `tensor`; its type is that of `zero_point`, a scalar."""
        names = (
            self.constant(np.array(scale, np.float32), f"{tensor}_scale"),
            self.constant(zero_point, f"{tensor}_zero_point"),
        )
        self._behind[tensor] = list(pair(tensor, *names))

    def add_dequantized(self, name: str, values: NDArray[np.generic], scale: NDArray[np.float32]) -> str:
        """Constant integers with one scale per channel and their DQ; returns the name of what that gives."""
        self.constant(values, quantized(name))
        self._first.append(pair(name, *self._channel_constants(name, values.dtype, scale), CHANNEL_AXIS)[1])
        return dequantized(name)

    def add_pair_of_constant(self, name: str, values: NDArray[np.int8], scale: NDArray[np.float32]) -> str:
        """The same as `add_dequantized`, but stored as fp32 followed by Q and DQ."""
        stored = f"{name}_fp32"
        self.constant(values * scale.reshape(-1, *[1] * (values.ndim - 1)), stored)
        constants = self._channel_constants(name, values.dtype, scale)
        q, dq = pair(name, *constants, CHANNEL_AXIS)
        q.input[0] = stored
        self._first.extend((q, dq))
        return dequantized(name)

    def constant(self, values: NDArray[np.generic], name: str) -> str:
        self._graph.initializer.append(numpy_helper.from_array(values, name))
        return name

    def finish(self) -> None:
        nodes = list(self._first)
        for value in self._graph.input:
            nodes.extend(self._behind.get(value.name, []))
        for node in self._graph.node:
            nodes.append(node)
            for name in node.output:
                nodes.extend(self._behind.get(name, []))
        ordered = [type(node).FromString(node.SerializeToString()) for node in nodes]
        del self._graph.node[:]
        self._graph.node.extend(ordered)

    def _channel_constants(
        self, name: str, dtype: np.dtype[np.generic], scale: NDArray[np.float32]
    ) -> tuple[str, str]:
        zeros = np.zeros(len(scale), dtype)
        return self.constant(scale, f"{name}_scale"), self.constant(zeros, f"{name}_zero_point")


def pair(name: str, scale: str, zero_point: str, axis: int | None = None) -> tuple[NodeProto, NodeProto]:
    """QuantizeLinear and DequantizeLinear of `name`; `axis` None means one scale for the whole tensor."""
    q = helper.make_node("QuantizeLinear", [name, scale, zero_point], [quantized(name)], f"{name}/Q")
    made = [dequantized(name)]
    dq = helper.make_node("DequantizeLinear", [quantized(name), scale, zero_point], made, f"{name}/DQ")
    if axis is not None:
        for node in (q, dq):
            node.attribute.append(helper.make_attribute("axis", axis))
    return q, dq


def quantized(name: str) -> str:
    """Name of the integers of a tensor."""
    return f"{name}_q"


def dequantized(name: str) -> str:
    """Name of what the pair of a tensor gives."""
    return f"{name}_dq"
