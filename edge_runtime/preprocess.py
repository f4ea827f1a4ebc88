"""Frame to network input: the one resize that training, export and flight share.

Everything after it (channel order, mean, standard deviation) is inside the model's graph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


MOST_ROW_STEPS = 8  # more passes over the rows than this save nothing


def resize_frame(image_bgr_u8: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize to exactly (height, width), ignoring aspect (WSOL protocol, paper section 4).

    Args:
        image_bgr_u8: (H, W, 3) uint8.

    Returns:
        (height, width, 3) uint8. Area averaging when shrinking in both directions, so that thin
        structures of large photos do not alias away; bilinear otherwise. Each value is within 1 of
        what OpenCV's own area averaging gives.
    """
    h, w = image_bgr_u8.shape[:2]
    if (h, w) == (height, width):
        return image_bgr_u8
    steps = _row_steps(h, height) if w == 2 * width else 0
    if steps:
        return _halve_and_merge_rows(image_bgr_u8, height, width, steps)
    shrinks = h >= height and w >= width
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image_bgr_u8, (width, height), interpolation=method), dtype=np.uint8)


def _row_steps(h: int, height: int) -> int:
    """q where every q + 1 rows become q (480 to 320: 2; 720 to 640: 8), else 0. q = 1 OpenCV does as fast."""
    lost = h - height
    steps = height // lost if lost > 0 and height % lost == 0 else 0
    return steps if 2 <= steps <= MOST_ROW_STEPS else 0


def _halve_and_merge_rows(
    image_bgr_u8: NDArray[np.uint8], height: int, width: int, steps: int
) -> NDArray[np.uint8]:
    """Area averaging to half the width, `steps` rows out of every `steps` + 1: a third of OpenCV's time.

    Linear interpolation half-way between two pixels is their mean, and each row that comes out covers two
    of those that go in. The mean is rounded before the rows are merged: up to 0.5 more than rounding once.
    """
    h, taken = image_bgr_u8.shape[0], steps + 1
    rows = cv2.resize(image_bgr_u8, (width, h), interpolation=cv2.INTER_LINEAR)
    out = np.empty((height, width, 3), np.uint8)
    for k in range(steps):
        upper, lower = rows[k::taken], rows[k + 1 :: taken]
        cv2.addWeighted(upper, (steps - k) / taken, lower, (k + 1) / taken, 0.0, dst=out[k::steps])
    return out
