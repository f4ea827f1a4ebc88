"""Protocol buffers, as much as an ONNX file needs: fields walked without a schema, a field of bytes written.

stream ──fields──▶ Field(number, where its payload lies), ...      nothing of a payload is read
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types; 3 and 4, groups, are not used by ONNX


@dataclass(frozen=True)
class Field:
    """One field of a message: its number, where it begins with its tag, and where its payload lies."""

    number: int
    start: int
    payload: int
    end: int


def fields(stream: BinaryIO, start: int, end: int) -> Iterator[Field]:
    """Walk the fields of the message in [start, end); ValueError where it is no protobuf."""
    while start < end:
        stream.seek(start)
        tag = read_varint(stream)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == _BYTES:
            length = read_varint(stream)
            payload = stream.tell()
        elif wire_type == _VARINT:
            payload, length = stream.tell(), 0
            read_varint(stream)
            length = stream.tell() - payload
        elif wire_type in (_FIXED32, _FIXED64):
            payload, length = stream.tell(), 4 if wire_type == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {wire_type} at byte {start}")
        if number == 0 or payload + length > end:
            raise ValueError(f"field {number} at byte {start} needs {length} bytes of {end - payload}")
        yield Field(number, start, payload, payload + length)
        start = payload + length


def read_varint(stream: BinaryIO) -> int:
    """The number at the stream's position; ValueError where it ends inside, or never."""
    value = 0
    for shift in range(0, 70, 7):
        byte = stream.read(1)
        if not byte:
            raise ValueError("the file ends inside a number")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError("a number of more than ten bytes")


def bytes_field(number: int, payload: bytes) -> bytes:
    """A field of bytes, text or a message, as it stands in a file."""
    return _encode_varint(number << 3 | _BYTES) + _encode_varint(len(payload)) + payload


def _encode_varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
