"""Width, height and EXIF rotation of a photo from its first bytes, without decoding it.

Formats: JPEG, PNG, WebP, BMP. Sizes are those of the stored pixels, before any EXIF rotation.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import IO, Protocol

from edge_runtime.errors import DatasetError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})

# Start-of-frame markers; C4, C8 and CC in the same range mean something else (ITU T.81, table B.1).
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
_EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Header:
    """`orientation`: EXIF value 1..8; 1 means the pixels are stored upright."""

    width: int
    height: int
    orientation: int = 1


class Openable(Protocol):
    """A `Path`, or what opens like one."""

    def open(self, mode: str, /) -> IO[bytes]: ...


def read_header(path: Openable) -> Header:
    """Read size and orientation of a photo.

    Raises:
        DatasetError: the file cannot be read or is not an image of a known format.
    """
    try:
        with path.open("rb") as file:
            header = _parse(file)
    except OSError as error:
        raise DatasetError(
            f"{path}: cannot be read ({error.strerror or error}); mend or remove it"
        ) from error
    except (struct.error, IndexError):
        header = None
    if header is None or header.width < 1 or header.height < 1:
        raise DatasetError(
            f"{path}: not a readable image; expected JPEG, PNG, WebP or BMP, replace or remove the file"
        )
    return header


def _parse(file: IO[bytes]) -> Header | None:
    start = file.read(32)
    if start[:2] == b"\xff\xd8":
        file.seek(2)
        return _parse_jpeg(file)
    if start[:8] == b"\x89PNG\r\n\x1a\n" and start[12:16] == b"IHDR":
        return Header(*struct.unpack(">II", start[16:24]))
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return _parse_webp(start)
    if start[:2] == b"BM":
        width, height = struct.unpack("<ii", start[18:26])
        return Header(width, abs(height))  # a negative height means rows stored top-down
    return None


def _parse_jpeg(file: IO[bytes]) -> Header | None:
    orientation = 1
    while (byte := file.read(1)) == b"\xff":
        while (byte := file.read(1)) == b"\xff":  # fill bytes
            pass
        marker = byte[0]
        if marker in _JPEG_BARE:
            continue
        (length,) = struct.unpack(">H", file.read(2))
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack(">xHH", file.read(5))
            return Header(width, height, orientation)
        if marker == 0xE1:
            orientation = _exif_orientation(file.read(length - 2)) or orientation
        else:
            file.seek(length - 2, 1)
    return None


def _exif_orientation(segment: bytes) -> int | None:
    """Orientation in the first directory of an APP1 segment; None when absent or malformed."""
    tiff = segment[6:]
    if segment[:6] != b"Exif\0\0" or tiff[:2] not in (b"II", b"MM"):
        return None
    order = "<" if tiff[:2] == b"II" else ">"
    try:
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, entry)
            if tag == _EXIF_ORIENTATION:
                return value if 1 <= value <= 8 else None
    except struct.error:
        return None
    return None


def _parse_webp(start: bytes) -> Header | None:
    kind = start[12:16]
    if kind == b"VP8X":
        return Header(1 + int.from_bytes(start[24:27], "little"), 1 + int.from_bytes(start[27:30], "little"))
    if kind == b"VP8 " and start[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", start[26:30])
        return Header(width & 0x3FFF, height & 0x3FFF)
    if kind == b"VP8L" and start[20] == 0x2F:
        bits = int.from_bytes(start[21:25], "little")
        return Header(1 + (bits & 0x3FFF), 1 + ((bits >> 14) & 0x3FFF))
    return None
