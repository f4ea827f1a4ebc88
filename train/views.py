"""One random view of a photo, and the same geometry on its attention map and its proposal boxes.

A view is a window of the photo (pixels, cut out and resized to the crop side) and a flip. Every random
choice comes from (run seed, epoch, photo index) alone, so order, workers and resuming change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.preprocess import resize_frame

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class View:
    """Window of the photo as fractions of its sides (0 <= x0 < x1 <= 1), flip, brightness, contrast."""

    window: tuple[float, float, float, float]
    flip: bool
    gain: float
    offset: float


def rng_for(seed: int, epoch: int, index: int, stream: int) -> np.random.Generator:
    """The generator of one photo in one epoch; `stream` separates uses."""
    return np.random.default_rng([seed, stream, epoch, index])


def draw_view(rng: np.random.Generator, crop: tuple[float, float], jitter: float = 0.2) -> View:
    """A square-ish window with side share drawn from `crop`, a fair flip, mild brightness and contrast."""
    side_x, side_y = rng.uniform(crop[0], crop[1], 2) if crop[1] > crop[0] else (crop[0], crop[0])
    x0, y0 = rng.uniform(0, 1 - side_x), rng.uniform(0, 1 - side_y)
    gain, offset = 1 + rng.uniform(-jitter, jitter), 255 * 0.5 * rng.uniform(-jitter, jitter)
    return View((x0, y0, x0 + side_x, y0 + side_y), bool(rng.random() < 0.5), gain, offset)


WHOLE = View((0.0, 0.0, 1.0, 1.0), False, 1.0, 0.0)


def render(image_bgr_u8: NDArray[np.uint8], view: View, side: int) -> tuple[NDArray[np.uint8], View]:
    """Cut, resize, flip and light a photo.

    Returns:
        (side, side, 3) uint8 and the view with its window snapped to whole pixels, which is the
        geometry to use for maps and boxes.
    """
    h, w = image_bgr_u8.shape[:2]
    x0, y0 = int(view.window[0] * w), int(view.window[1] * h)
    x1, y1 = max(x0 + 1, round(view.window[2] * w)), max(y0 + 1, round(view.window[3] * h))
    out = resize_frame(image_bgr_u8[y0:y1, x0:x1], side, side)
    if view.flip:
        out = out[:, ::-1]
    if (view.gain, view.offset) != (1.0, 0.0):
        table = np.clip(np.arange(256) * view.gain + view.offset, 0, 255).astype(np.uint8)
        out = table[out]
    snapped = View((x0 / w, y0 / h, x1 / w, y1 / h), view.flip, view.gain, view.offset)
    return np.ascontiguousarray(out), snapped


def transform_boxes(boxes: NDArray[np.float32], view: View) -> NDArray[np.float32]:
    """(n, 4) xyxy fractions of the photo to fractions of the view, clipped to it (width may become 0)."""
    x0, y0, x1, y1 = view.window
    scale = np.array([x1 - x0, y1 - y0] * 2, np.float32)
    moved = np.clip((boxes - np.array([x0, y0, x0, y0], np.float32)) / scale, 0.0, 1.0)
    if view.flip:
        moved = np.stack([1 - moved[:, 2], moved[:, 1], 1 - moved[:, 0], moved[:, 3]], axis=1)
    return np.asarray(moved, np.float32)


def sampling_theta(view: View) -> NDArray[np.float32]:
    """(2, 3) affine matrix for `torch.nn.functional.affine_grid` that cuts the view out of a full map."""
    x0, y0, x1, y1 = view.window
    sx, sy = x1 - x0, y1 - y0
    tx, ty = x0 + x1 - 1.0, y0 + y1 - 1.0
    return np.array([[-sx if view.flip else sx, 0, tx], [0, sy, ty]], np.float32)
