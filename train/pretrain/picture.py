"""Attention as a picture: one row per photo, the photo itself, the mean of all heads, then single heads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_runtime.preprocess import resize_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

TILE_PX, GAP_PX = 160, 4
MOST_MAPS = 7  # the mean and six heads
_DIMMED = 0.35  # of the photo under its map


def attention_picture(
    photos_bgr_u8: Sequence[NDArray[np.uint8]], maps: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Draw the maps over their photos.

    Args:
        photos_bgr_u8: n photos of any size.
        maps: (n, maps, rows, columns) in [0, 1].

    Returns:
        (n rows of 160 px, 1 + up to 7 columns of 160 px, 3) uint8 BGR, with gaps.
    """
    rows = []
    for photo, own in zip(photos_bgr_u8, maps, strict=True):
        tile = resize_frame(photo, TILE_PX, TILE_PX)
        rows.append([tile, *(_over(tile, attention) for attention in own[:MOST_MAPS])])
    step = TILE_PX + GAP_PX
    sheet = np.full((len(rows) * step - GAP_PX, len(rows[0]) * step - GAP_PX, 3), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, tile in enumerate(row):
            sheet[y * step : y * step + TILE_PX, x * step : x * step + TILE_PX] = tile
    return sheet


def _over(tile: NDArray[np.uint8], attention: NDArray[np.float32]) -> NDArray[np.uint8]:
    size = (TILE_PX, TILE_PX)
    large = cv2.resize((attention * 255).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    heat = cv2.applyColorMap(large, cv2.COLORMAP_INFERNO)
    return np.asarray(cv2.addWeighted(tile, _DIMMED, heat, 1 - _DIMMED, 0.0), np.uint8)


def png_bytes(image_bgr_u8: NDArray[np.uint8]) -> bytes:
    """The picture as a PNG file."""
    _, data = cv2.imencode(".png", image_bgr_u8)
    return data.tobytes()
