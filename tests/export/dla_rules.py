"""Which nodes of a model a deep-learning accelerator of Orin takes: the rules of NvInfer.h, TensorRT 10.3.

fp16 ModelProto ──misfits──▶ why each node cannot run there; ──subgraphs──▶ parts it would be cut into
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx import numpy_helper

from calibration.fp16 import edge_nodes

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

OPERATORS = {
    *("Conv", "Relu", "Sigmoid", "Tanh", "Clip"),
    *("Add", "Sub", "Mul", "Max", "Min", "MaxPool", "AveragePool", "Concat", "Resize"),
}
LARGEST = 32  # kernel, stride, dilation and resize scale
MOST_MAPS = 8192
RESIZE = {"mode": b"nearest", "coordinate_transformation_mode": b"asymmetric", "nearest_mode": b"floor"}


def misfits(model: ModelProto) -> dict[str, str]:
    """First output of each node that has to run on the GPU, with the operator or rule it fails."""
    outside = edge_nodes(model)  # fp32: the DLA computes in fp16
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    found = {}
    for node in model.graph.node:
        scales = constants[node.input[2]] if node.op_type == "Resize" and len(node.input) == 3 else None
        shape = constants[node.input[1]].shape if node.op_type == "Conv" else ()
        if node.op_type not in OPERATORS or node.output[0] in outside:
            found[node.output[0]] = node.op_type
        elif node.op_type == "Resize" and not _resize_fits(node, scales):
            found[node.output[0]] = "Resize: not by whole numbers, nearest, asymmetric, floor"
        elif node.op_type == "Conv" and (shape[0] > MOST_MAPS or _numbers(node) > LARGEST):
            found[node.output[0]] = "Conv: too large"
        elif node.op_type == "Concat" and next(a.i for a in node.attribute if a.name == "axis") != 1:
            found[node.output[0]] = "Concat: not of channels"
    return found


def subgraphs(model: ModelProto) -> int:
    """How many pieces run on the DLA: each is loaded and entered on its own.

    A node joins the piece of its DLA inputs unless the way to it leads out of the DLA and back.
    """
    gpu = misfits(model)
    stage: dict[str, int] = {}  # crossings from the GPU to the DLA on the longest way to a tensor
    piece: dict[str, int] = {}
    root: list[int] = []

    def find(number: int) -> int:
        while root[number] != number:
            number = root[number]
        return number

    for node in model.graph.node:
        before = [(stage.get(name, 0), name) for name in node.input]
        on_dla = node.output[0] not in gpu
        mine = max(s + (on_dla and name not in piece) for s, name in before)
        stage.update(dict.fromkeys(node.output, mine))
        if not on_dla:
            continue
        joined = [find(piece[name]) for s, name in before if name in piece and s == mine]
        number = joined[0] if joined else len(root)
        if not joined:
            root.append(number)
        for other in joined:
            root[other] = number
        piece.update(dict.fromkeys(node.output, number))
    return sum(find(number) == number for number in range(len(root)))


def _resize_fits(node: NodeProto, scales: object) -> bool:
    attributes = {a.name: a.s for a in node.attribute if a.name in RESIZE}
    return (
        attributes == RESIZE
        and scales is not None
        and all(1 <= scale <= LARGEST and scale == int(scale) for scale in scales)  # type: ignore[attr-defined]
    )


def _numbers(conv: NodeProto) -> int:
    names = ("kernel_shape", "strides", "dilations")
    return max(number for a in conv.attribute if a.name in names for number in a.ints)
