"""Decode image files: bytes ──▶ (H, W, 3) uint8 BGR, or None when they are no whole image.

Pixels come as stored: EXIF rotation is not applied, as in training (WSOL protocol).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})

_FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
_JPEG_SOS, _JPEG_EOI = 0xDA, b"\xff\xd9"


def decode_image(data: bytes) -> NDArray[np.uint8] | None:
    """Gray becomes three equal channels, 16 bits keep their upper 8, alpha is dropped."""
    if not data or is_cut_short(data):
        return None
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS)
    except cv2.error:  # larger than OpenCV's limit, or a damaged header
        return None
    return None if image is None else np.asarray(image, np.uint8)


def is_cut_short(data: bytes) -> bool:
    """True for a JPEG or PNG without its end marker, which OpenCV would fill up with gray.

    Bytes after the end marker (maker notes, depth maps) are fine.
    """
    if data[:2] == b"\xff\xd8":
        return data.find(_JPEG_EOI, _jpeg_scan_start(data)) < 0
    if data[:4] == b"\x89PNG":
        return data.rfind(b"IEND") < 0
    return False


def _jpeg_scan_start(data: bytes) -> int:
    """Offset of the first scan: embedded thumbnails, which have end markers of their own, lie before it."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == _JPEG_SOS:
            return at
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return len(data)
