"""Frame to network input: the one resize that training, export and flight share.

Everything after it (channel order, mean, standard deviation) is inside the model's graph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def resize_frame(image_bgr_u8: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize to exactly (height, width), ignoring aspect (WSOL protocol, paper section 4).

    Args:
        image_bgr_u8: (H, W, 3) uint8.

    Returns:
        (height, width, 3) uint8. Area averaging when shrinking in both directions, so that thin
        structures of large photos do not alias away; bilinear otherwise.
    """
    h, w = image_bgr_u8.shape[:2]
    if (h, w) == (height, width):
        return image_bgr_u8
    shrinks = h >= height and w >= width
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image_bgr_u8, (width, height), interpolation=method), dtype=np.uint8)
