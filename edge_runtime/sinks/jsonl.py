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
    from edge_runtime.live import RunContext
    from edge_runtime.records import Record
    from edge_runtime.sinks.base import Result


class Jsonl:
    """A `Sink` to stdout (`-`) or to a file, which must be new, a pipe or a device unless forced."""

    capacity = 32

    def __init__(self, target: str, *, force: bool = False, context: RunContext | None = None) -> None:
        self.name = f"jsonl:{target}"
        self._path = None if target == "-" else Path(target)
        self._is_new = self._path is not None and not self._path.exists()
        self._started = False
        self._stream: BinaryIO = sys.stdout.buffer if self._path is None else _open(self._path, force)

    def start(self, header: Record) -> None:
        """Empty a file that is to be overwritten and write the header line."""
        self._started = True
        if self._path is not None and self._path.is_file():
            self._stream.truncate(0)
        self._write_line(encode(header))

    def write(self, result: Result) -> None:
        """Write the record's line and flush it."""
        self._write_line(encode(result.record))

    def close(self) -> None:
        """Close the file, and remove it if nothing was ever to be written; stdout stays open."""
        if self._path is None:
            return
        self._stream.close()
        if self._is_new and not self._started:
            self._path.unlink(missing_ok=True)

    def _write_line(self, line: bytes) -> None:
        self._stream.write(line)
        self._stream.flush()


def _open(path: Path, force: bool) -> BinaryIO:
    if path.is_file() and not force:
        raise SinkError(f"{path} exists; choose another name or add --force to overwrite it")
    try:
        return path.open("ab")
    except OSError as error:
        raise SinkError(f"{path}: cannot create this file: {error.strerror}") from error
