"""What an ONNX file says about itself, read without onnx or onnxruntime, and the seal that shows later edits.

.onnx ──read_contract──▶ ModelContract      bytes of a model ──seal──▶ bytes with their own sha256 at the end

Only the outermost records of the protobuf are walked (`ModelProto` of onnx.proto): weights are skipped over.
"""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, BinaryIO

from edge_runtime.contract import METADATA_KEY, ModelContract
from edge_runtime.errors import ModelError
from edge_runtime.protobuf import bytes_field, fields

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge_runtime.protobuf import Field

SEAL_KEY = "dips_edge_sha256"  # metadata entry: sha256 of all bytes of the file before this entry
_METADATA_PROPS = 14  # ModelProto.metadata_props: StringStringEntryProto {1: key, 2: value}


def read_contract(path: Path) -> ModelContract:
    """The contract of a model file whose seal, if it has one, is whole.

    Raises:
        ModelError: unreadable, damaged, edited after it was exported, or without a valid contract.
    """
    check_seal(path)
    return ModelContract.from_json(read_properties(path).get(METADATA_KEY), str(path))


def read_properties(path: Path) -> dict[str, str]:
    """`metadata_props` of an ONNX file; ModelError when it is unreadable, cut short or not ONNX."""
    try:
        with path.open("rb") as stream:
            return {key: value for _, key, value in _properties(stream, path.stat().st_size)}
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise _damaged(path, error) from error


def seal(data: bytes) -> bytes:
    """A serialized model with its seal as the last record; a seal it had is taken out.

    Raises:
        ValueError: `data` is no serialized ONNX model.
    """
    stream = io.BytesIO(data)
    for record, key, _ in reversed(list(_properties(stream, len(data)))):
        if key == SEAL_KEY:
            data = data[: record.start] + data[record.end :]
    entry = bytes_field(1, SEAL_KEY.encode()) + bytes_field(2, hashlib.sha256(data).hexdigest().encode())
    return data + bytes_field(_METADATA_PROPS, entry)


def check_seal(path: Path) -> None:
    """Refuse a file that was changed after it was sealed; one that was never sealed passes.

    Raises:
        ModelError: unreadable, damaged, or its bytes are not those that were sealed.
    """
    try:
        with path.open("rb") as stream:
            size = path.stat().st_size
            seals = [(record, value) for record, key, value in _properties(stream, size) if key == SEAL_KEY]
            if not seals:
                return
            record, expected = seals[-1]
            stream.seek(0)
            found = hashlib.sha256(stream.read(record.start)).hexdigest()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise _damaged(path, error) from error
    if found != expected or record.end != size:
        raise ModelError(
            f"{path}: changed after it was exported (sha256 {found[:12]}, sealed as {expected[:12]}); "
            "what was measured at export no longer holds: export the run again"
        )


def _properties(stream: BinaryIO, size: int) -> Iterator[tuple[Field, str, str]]:
    for record in fields(stream, 0, size):
        if record.number == _METADATA_PROPS:
            texts = {1: "", 2: ""}
            for part in fields(stream, record.payload, record.end):
                stream.seek(part.payload)
                texts[part.number] = stream.read(part.end - part.payload).decode("utf-8")
            yield record, texts[1], texts[2]


def _damaged(path: Path, error: ValueError) -> ModelError:
    return ModelError(f"{path}: cannot open as a model (damaged, truncated or not ONNX): {error}")
