"""Write the Q/DQ pairs of a placement into the graph: explicit int8 for TensorRT.

fp32 ModelProto + Placement + range per tensor ──quantize──▶ Q/DQ ModelProto (body fp32)
quantize(..., weights="int8") ──fp16.to_fp16──▶ the typed file for TensorRT >= 10
quantize(..., weights="fp32")                 ▶ the weakly typed file for TensorRT 8
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from onnx import numpy_helper

from calibration.graph import GraphIndex, finished, prepared
from calibration.qdq_writer import QdqWriter, dequantized
from calibration.weights import LARGEST, quantize_weight
from edge_runtime.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnx import ModelProto

    from calibration.placement import Placement


def quantize(
    model: ModelProto, placement: Placement, amax: Mapping[str, float], *, weights: Literal["int8", "fp32"]
) -> ModelProto:
    """A copy of an fp32 model with symmetric int8 Q/DQ pairs, scales fp32, metadata kept.

    Args:
        amax: largest magnitude int8 shall represent, for each of `placement.tensors`; tied tensors take the
            largest of their group.
        weights: "int8" stores weights as int8 followed by DQ; "fp32" as fp32 followed by Q and DQ, which is
            what TensorRT 8 reads. Both compute the same. Per output channel; biases stay fp32.

    Raises:
        ModelError: a range is missing or not a finite number >= 0, or the placement is of another graph.
    """
    model = prepared(model)
    writer = QdqWriter(model.graph)
    for tensor, step in activation_scales(placement, amax).items():
        writer.add_pair(tensor, step, np.zeros((), np.int8))
    by_output = {node.output[0]: node for node in model.graph.node}
    constants = GraphIndex.of(model).constants
    done: dict[str, str] = {}  # a weight several layers share is written once
    for site in placement.sites:
        node = by_output.get(site.consumer)
        if node is None or node.input[site.position] != site.tensor:
            raise _other_graph(site.tensor)
        node.input[site.position] = dequantized(site.tensor)
        if node.op_type == "Conv":
            name = node.input[1]
            if name not in done:
                values, scale = quantize_weight(numpy_helper.to_array(constants[name]))
                write = writer.add_dequantized if weights == "int8" else writer.add_pair_of_constant
                done[name] = write(name, values, scale)
            node.input[1] = done[name]
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


def _other_graph(tensor: str) -> ModelError:
    return ModelError(f"the calibration does not fit this model at tensor {tensor!r}; calibrate it anew")
