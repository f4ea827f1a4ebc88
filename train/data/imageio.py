"""The one place where training and evaluation decode a photo: path ──▶ (H, W, 3) uint8 BGR, or an error.

Pixels come as stored: EXIF rotation is not applied, so that sizes, boxes and pixels agree (WSOL protocol).
Gray becomes three equal channels, 16 bits keep their upper 8, an alpha channel is dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_runtime.errors import DatasetError
from edge_runtime.imagefile import decode_image, is_cut_short

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from train.data.types import PhotoFile


def read_image_bgr(path: PhotoFile, *, expected_wh: tuple[int, int] | None = None) -> NDArray[np.uint8]:
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
    image = decode_image(data)
    if image is None:
        raise DatasetError(f"{path}: not a readable image; replace or remove the file")
    height, width = image.shape[:2]
    if expected_wh is not None and expected_wh != (width, height):
        raise DatasetError(
            f"{path}: {width} x {height} px, but the data set states {expected_wh[0]} x {expected_wh[1]}; "
            "its boxes would not fit"
        )
    return image
