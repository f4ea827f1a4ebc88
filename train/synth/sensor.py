"""What the camera adds to a scene: lens shading, a little blur and shake, exposure, colour cast, noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Sensor:
    """Faults of one shot: lengths in pixels of the final picture, `noise` in 8-bit levels at mid grey.

    `brightness`: mean the automatic exposure aims at, in 8-bit levels.
    """

    shake_px: tuple[float, float]
    softness_px: float
    noise: float
    brightness: float
    contrast: float
    saturation: float
    vignette: float
    cast: NDArray[np.float32]


def random_sensor(rng: np.random.Generator, scale: float) -> Sensor:
    """Mostly sharp; one shot in six is shaken. `scale`: picture width / 640."""
    length = float(rng.uniform(1.5, 4.0)) * scale if rng.random() < 0.16 else 0.0
    angle = float(rng.uniform(0.0, np.pi))
    return Sensor(
        shake_px=(length * float(np.cos(angle)), length * float(np.sin(angle))),
        softness_px=float(rng.uniform(0.25, 0.65)) * scale,
        noise=float(rng.choice((1.0, 2.0, 3.2, 5.0), p=(0.4, 0.35, 0.18, 0.07))),
        brightness=float(rng.uniform(112.0, 150.0)),
        contrast=float(rng.uniform(0.92, 1.12)),
        saturation=float(rng.uniform(0.8, 1.12)),
        vignette=float(rng.uniform(0.0, 0.18)),
        cast=(1.0 + rng.normal(0.0, 0.01, 3)).astype(np.float32),
    )


def exposure_gain(image: NDArray[np.uint8], sensor: Sensor) -> float:
    """Automatic exposure: brings the mean most of the way to the wanted one, as cameras do."""
    return float(np.clip(sensor.brightness / max(float(image.mean()), 1.0), 0.9, 2.2) ** 0.85)


def expose(
    image: NDArray[np.uint8], sensor: Sensor, rng: np.random.Generator, *, gain: float | None = None
) -> NDArray[np.uint8]:
    """The photo (H, W, 3) uint8 made of a clean picture; `gain` None for automatic exposure."""
    height, width = image.shape[:2]
    photo = image.astype(np.float32)
    photo *= exposure_gain(image, sensor) if gain is None else gain
    if sensor.softness_px > 0.2:
        photo = np.asarray(cv2.GaussianBlur(photo, (0, 0), sensor.softness_px), np.float32)
    if max(map(abs, sensor.shake_px)) > 0.5:
        photo = _shaken(photo, sensor.shake_px)
    x = (np.arange(width, dtype=np.float32) / width - 0.5)[None, :]
    y = (np.arange(height, dtype=np.float32) / height - 0.5)[:, None]
    shade = (1.0 - sensor.vignette * 2.0 * (x * x + y * y))[..., None]
    grey = photo.mean(axis=2, keepdims=True)
    photo = grey + (photo - grey) * sensor.saturation
    photo = (photo - 118.0) * sensor.contrast + 118.0
    photo *= shade * sensor.cast
    photo = np.where(photo > 200.0, 200.0 + 55.0 * np.tanh((photo - 200.0) / 55.0), photo)  # soft shoulder
    grain = rng.standard_normal((height, width, 3), np.float32)
    photo += grain * (sensor.noise * (0.6 + 0.4 * np.sqrt(np.clip(grey, 0.0, 255.0) / 118.0)))
    return np.asarray(np.clip(photo + 0.5, 0.0, 255.0), np.uint8)


def _shaken(photo: NDArray[np.float32], shake_px: tuple[float, float]) -> NDArray[np.float32]:
    size = 2 * int(np.ceil(max(map(abs, shake_px)) / 2 + 1)) + 1
    kernel = np.zeros((size * 8, size * 8), np.uint8)
    middle = size * 4
    a = (round(middle - shake_px[0] * 4), round(middle - shake_px[1] * 4))
    b = (round(middle + shake_px[0] * 4), round(middle + shake_px[1] * 4))
    cv2.line(kernel, a, b, (255,), 8)
    weights = cv2.resize(kernel, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.asarray(cv2.filter2D(photo, -1, weights / weights.sum()), np.float32)
