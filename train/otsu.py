"""Otsu's threshold on an attention map (integer form, specs of the DiPS protocol)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def otsu_level(map_u8: NDArray[np.uint8]) -> int | None:
    """Level t in 1..254 such that foreground is `map_u8 > t`; None when the map is constant.

    Maximises the between-class variance (Otsu 1979) over splits "class 1 = values <= k"; the first
    maximum wins.

    Args:
        map_u8: any shape, uint8 0..255.
    """
    histogram = np.bincount(map_u8.ravel(), minlength=256).astype(np.float64)
    present = np.flatnonzero(histogram)
    if present.size < 2:
        return None
    values = np.arange(256, dtype=np.float64)
    below = np.cumsum(histogram)
    sum_below = np.cumsum(histogram * values)
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = sum_below / below - (sum_below[-1] - sum_below) / above
        variance = below * above * gap * gap
    variance[(below == 0) | (above == 0)] = -1.0
    return int(np.clip(int(np.argmax(variance)), 1, 254))
