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

    Inside a JPEG scan 0xFF is always escaped, so the last start-of-scan marker is a real one, and an
    end marker must follow it; thumbnails and second images bring marker pairs of their own.
    """
    if data[:2] == b"\xff\xd8":
        return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    if data[:4] == b"\x89PNG":
        return b"IEND" not in data[-4096:]
    return False
