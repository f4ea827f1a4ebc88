"""The graph of an ONNX file: its nodes from the file, the shape of every tensor from onnxruntime.

bytes ──protobuf──▶ nodes, constants      bytes + "every tensor is an output" ──onnxruntime──▶ shapes

onnxruntime infers the shapes itself when it opens a graph; asking for all tensors as outputs makes it tell.
That is exact for every operator it knows, runs nothing, and keeps the names of the file, which a profile of a
run does not: it has no edges, and for half precision it shows the casts that a CPU needs instead of the
file's types. Two serialized protobuf messages, one after the other, are one message with the lists of both:
so the outputs are added without decoding the file.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from edge_runtime.errors import ModelError
from edge_runtime.protobuf import bytes_field, fields, read_varint

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_GRAPH = 7  # ModelProto
_NODE, _INITIALIZER, _OUTPUT = 1, 5, 12  # GraphProto
_INPUTS, _OUTPUTS, _NAME, _OP = 1, 2, 3, 4  # NodeProto
_DIMS, _DATA_TYPE, _TENSOR_NAME = 1, 2, 8  # TensorProto
_VALUE_NAME = 1  # ValueInfoProto
# TensorProto.DataType, as onnxruntime names them
_TYPES = {1: "float", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "double"}


@dataclass(frozen=True)
class Tensor:
    """Shape, and element type as onnxruntime names it: "float", "float16", "int8", ..."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def elements(self) -> int:
        """How many values it holds."""
        count = 1
        for side in self.shape:
            count *= side
        return count


@dataclass(frozen=True)
class Node:
    """One operation; inputs that are left out are ""."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Graph:
    """Nodes in the order they run; `constants` are the names of tensors that are known beforehand."""

    nodes: tuple[Node, ...]
    tensors: dict[str, Tensor]
    constants: frozenset[str]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def read_graph(path: Path) -> Graph:
    """Nodes and shapes of a model file; weights are not decoded, nothing is run.

    Raises:
        ModelError: unreadable, damaged, or with a tensor whose shape is not fixed.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        nodes, initializers, outputs = _parse(data)
    except ValueError as error:
        raise ModelError(
            f"{path}: cannot open as a model (damaged, truncated or not ONNX): {error}"
        ) from error
    hidden = [name for node in nodes for name in node.outputs if name and name not in outputs]
    inputs, made = _typed(path, data, hidden)
    constants = {*initializers, *(name for node in nodes if node.op == "Constant" for name in node.outputs)}
    tensors = {**initializers, **inputs, **made}
    return Graph(nodes, tensors, frozenset(constants), tuple(inputs), outputs)


def _typed(path: Path, data: bytes, hidden: list[str]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Inputs of the graph, and all that its nodes make, `hidden` or output."""
    from edge_runtime.backends.onnx_cpu import open_session

    added = b"".join(bytes_field(_OUTPUT, bytes_field(_VALUE_NAME, name.encode())) for name in hidden)
    session = open_session(path, data + bytes_field(_GRAPH, added), 1, False)
    inputs, made = session.get_inputs(), session.get_outputs()
    for port in (*inputs, *made):
        if not all(isinstance(side, int) for side in port.shape):
            raise ModelError(
                f"{path}: tensor {port.name!r} has the shape {list(port.shape)}, expected numbers only: "
                "an estimate needs a file of fixed size, as `dips-edge export` writes it"
            )
    return _tensors(inputs), _tensors(made)


def _tensors(ports: Iterable[Any]) -> dict[str, Tensor]:
    return {port.name: Tensor(tuple(port.shape), port.type[len("tensor(") : -1]) for port in ports}


def _parse(data: bytes) -> tuple[tuple[Node, ...], dict[str, Tensor], tuple[str, ...]]:
    """Nodes, initializers, names of outputs."""
    stream = io.BytesIO(data)
    nodes: list[Node] = []
    initializers: dict[str, Tensor] = {}
    outputs: list[str] = []
    for field in fields(stream, 0, len(data)):
        if field.number != _GRAPH:
            continue
        for part in fields(stream, field.payload, field.end):
            if part.number == _NODE:
                nodes.append(_node(stream, part.payload, part.end))
            elif part.number == _INITIALIZER:
                name, tensor = _initializer(stream, part.payload, part.end)
                initializers[name] = tensor
            elif part.number == _OUTPUT:
                outputs += [
                    _text(stream, value.payload, value.end)
                    for value in fields(stream, part.payload, part.end)
                    if value.number == _VALUE_NAME
                ]
    return tuple(nodes), initializers, tuple(outputs)


def _node(stream: BinaryIO, start: int, end: int) -> Node:
    texts: dict[int, list[str]] = {_INPUTS: [], _OUTPUTS: [], _NAME: [], _OP: []}
    for field in fields(stream, start, end):
        if field.number in texts:
            texts[field.number].append(_text(stream, field.payload, field.end))
    return Node("".join(texts[_OP]), "".join(texts[_NAME]), tuple(texts[_INPUTS]), tuple(texts[_OUTPUTS]))


def _initializer(stream: BinaryIO, start: int, end: int) -> tuple[str, Tensor]:
    name, dtype = "", 0
    shape: list[int] = []
    for field in fields(stream, start, end):
        stream.seek(field.payload)
        if field.number == _DIMS:  # one number a field, or all in one: both are valid
            while stream.tell() < field.end:
                shape.append(read_varint(stream))
        elif field.number == _DATA_TYPE:
            dtype = read_varint(stream)
        elif field.number == _TENSOR_NAME:
            name = _text(stream, field.payload, field.end)
    return name, Tensor(tuple(shape), _TYPES.get(dtype, f"type {dtype}"))


def _text(stream: BinaryIO, start: int, end: int) -> str:
    stream.seek(start)
    return stream.read(end - start).decode("utf-8")
