"""Tileable cloud-like noise and how to look it up: the grain of skies, fields and crowns."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

REMAP_LIMIT = 32_000  # cv2.remap keeps coordinates in 16 bits


@lru_cache(maxsize=16)
def fractal(seed: int, size: int = 512, slope: float = 1.7) -> NDArray[np.float32]:
    """(size, size) float32, mean 0.5, standard deviation 0.17, in [0, 1]; its edges join.

    Amplitudes fall as frequency ** -slope: 1.0 is rough, 2.0 is soft.
    """
    rng = np.random.default_rng(seed)
    fy = np.fft.fftfreq(size)[:, None]
    fx = np.fft.rfftfreq(size)[None, :]
    radius = np.hypot(fy, fx)
    radius[0, 0] = 1.0
    amplitude = radius**-slope
    amplitude[0, 0] = 0.0
    spectrum = amplitude * np.exp(2j * np.pi * rng.random(radius.shape))
    field = np.fft.irfft2(spectrum, s=(size, size))
    field /= field.std() / 0.17
    texture = np.clip(field + 0.5, 0.0, 1.0).astype(np.float32)
    texture.setflags(write=False)
    return texture


def look_up(
    texture: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Bilinear samples of a tileable texture at (x, y) in texels, any shape (H, W)."""
    limit = REMAP_LIMIT - texture.shape[0]
    found = cv2.remap(
        texture,
        np.clip(x, -limit, limit),
        np.clip(y, -limit, limit),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )
    return np.asarray(found, np.float32)


def smoothstep(low: float, high: float, value: NDArray[np.float32]) -> NDArray[np.float32]:
    """0 below `low`, 1 above `high`, a smooth ramp between."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    ramp: NDArray[np.float32] = t * t * (3.0 - 2.0 * t)
    return ramp
