"""A photo inside a tar file, reached by its offset and read like a `Path`."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from edge_runtime.errors import DatasetError
from train.data.imageheader import Header, read_header

if TYPE_CHECKING:
    from pathlib import Path

HEAD_BYTES = 1 << 16  # enough for the header of most photos


@dataclass(frozen=True, slots=True)
class TarPhoto:
    """A photo in a tar, read like a `Path`. `member`: its name there."""

    tar: Path
    member: str
    offset: int
    size: int

    @property
    def name(self) -> str:
        return PurePosixPath(self.member).name

    def read_bytes(self) -> bytes:
        """The file's bytes; OSError when the tar has become shorter."""
        return _read(self.tar, self.offset, self.size)

    def open(self, mode: str = "rb") -> BinaryIO:
        """The file's bytes as a binary stream; for reading only."""
        if mode != "rb":
            raise ValueError(f"mode {mode!r}: a photo in a tar is only read")
        return io.BytesIO(self.read_bytes())

    def header(self) -> Header:
        """As `read_header`, from the first bytes where they do."""
        try:
            return read_header(_Head(self))
        except DatasetError:
            return read_header(self)

    def __str__(self) -> str:
        return f"{self.tar}:{self.member}"


@dataclass(frozen=True, slots=True)
class _Head:
    photo: TarPhoto

    def open(self, _mode: str) -> BinaryIO:
        return io.BytesIO(_read(self.photo.tar, self.photo.offset, min(self.photo.size, HEAD_BYTES)))


def _read(tar: Path, offset: int, size: int) -> bytes:
    with tar.open("rb") as file:
        file.seek(offset)
        data = file.read(size)
    if len(data) != size:
        raise OSError(f"{size} bytes expected at {offset}, {len(data)} are there: the tar is cut short")
    return data
