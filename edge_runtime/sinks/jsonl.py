"""Records as JSON lines, to stdout or a file: each line is out before the next frame is taken.

A process killed at any moment leaves at most one partial last line.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from edge_runtime.errors import SinkError
from edge_runtime.records import encode

if TYPE_CHECKING:
    from edge_runtime.records import Record
    from edge_runtime.sinks.base import Result


class Jsonl:
    """A `Sink` to stdout (`-`) or to a new file."""

    capacity = 32

    def __init__(self, target: str, *, force: bool = False) -> None:
        self.name = f"jsonl:{target}"
        self._stream: BinaryIO = sys.stdout.buffer if target == "-" else _create(Path(target), force)
        self._owned = target != "-"

    def start(self, header: Record) -> None:
        """Write the header line."""
        self._write_line(encode(header))

    def write(self, result: Result) -> None:
        """Write the record's line and flush it."""
        self._write_line(encode(result.record))

    def close(self) -> None:
        """Close the file; stdout stays open."""
        if self._owned:
            self._stream.close()

    def _write_line(self, line: bytes) -> None:
        self._stream.write(line)
        self._stream.flush()


def _create(path: Path, force: bool) -> BinaryIO:
    try:
        return path.open("wb" if force else "xb")
    except FileExistsError as error:
        raise SinkError(f"{path} exists; choose another name or add --force to overwrite it") from error
    except OSError as error:
        raise SinkError(f"{path}: cannot create this file: {error.strerror}") from error
