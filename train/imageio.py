"""The one place where training and evaluation decode a photo: path ──▶ (H, W, 3) uint8 BGR, or an error.

Pixels come as stored: EXIF rotation is not applied, so that sizes, boxes and pixels agree (WSOL protocol).
Gray becomes three equal channels, 16 bits keep their upper 8, an alpha channel is dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_runtime.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
_MARKER_SOS = 0xDA
_JPEG_EOI = b"\xff\xd9"


def read_image_bgr(path: Path, *, expected_wh: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Decode one photo.

    Args:
        expected_wh: size the data set states; boxes refer to it, so another size is an error.

    Returns:
        (H, W, 3) uint8, BGR.

    Raises:
        DatasetError: unreadable, not an image, cut short (OpenCV would fill the rest with gray),
            or of another size.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(
            f"{path}: cannot be read ({error.strerror or error}); mend or remove it"
        ) from error
    if is_cut_short(data):
        raise DatasetError(f"{path}: the file is cut short ({len(data)} bytes); replace or remove it")
    image = _decode(data)
    if image is None:
        raise DatasetError(f"{path}: not a readable image; replace or remove the file")
    height, width = image.shape[:2]
    if expected_wh is not None and expected_wh != (width, height):
        raise DatasetError(
            f"{path}: {width} x {height} px, but the data set states {expected_wh[0]} x {expected_wh[1]}; "
            "its boxes would not fit"
        )
    return image


def is_cut_short(data: bytes) -> bool:
    """True when a JPEG or PNG lacks its end marker; bytes after it (maker notes, depth maps) are fine."""
    if data[:2] == b"\xff\xd8":
        return data.find(_JPEG_EOI, _jpeg_scan_start(data)) < 0
    if data[:4] == b"\x89PNG":
        return data.rfind(b"IEND") < 0
    return False


def _decode(data: bytes) -> NDArray[np.uint8] | None:
    if not data:
        return None
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS)
    except cv2.error:  # larger than OpenCV's limit, or a damaged header
        return None
    return None if image is None else np.asarray(image, np.uint8)


def _jpeg_scan_start(data: bytes) -> int:
    """Offset of the first scan: embedded thumbnails, which have end markers of their own, lie before it."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == _MARKER_SOS:
            return at
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return len(data)
