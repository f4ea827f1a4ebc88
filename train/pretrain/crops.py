"""Multi-crop: two large and several small windows of one photo, each with colours of its own.

photo ──windows──▶ resize, flip ──light, colour, gray, blur, solarize──▶ crops
Every random choice comes from (run seed, epoch, photo index) alone. Sources: DINO section 3.1 for the
windows, BYOL (Grill et al. 2020, appendix B) for the colours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from train.data.imageio import read_image_bgr
from train.views import View, render, rng_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from train.data.types import PhotoFile
    from train.pretrain.config import PretrainConfig

CROP_STREAM = 5
JITTER, GRAY, SOLARIZE_FROM = 0.8, 0.2, 128
BRIGHTNESS, CONTRAST, SATURATION, HUE = 0.4, 0.4, 0.2, 0.1
BLUR_SIGMA_PX = (0.1, 2.0)  # at 224 px
# Chances of (blur, solarize): the two large crops are treated unlike each other.
FIRST, SECOND, LOCAL = (1.0, 0.0), (0.1, 0.2), (0.5, 0.0)
ASPECT = 4 / 3


@dataclass(frozen=True)
class Crop:
    """One crop, decided. `hue`: in turns. `sigma`: of the blur, px at 224 px, 0: none."""

    view: View
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0
    gray: bool = False
    sigma: float = 0.0
    solarize: bool = False


@dataclass(frozen=True)
class Crops:
    """Of one photo: `large` (2, S, S, 3) and `small` (locals, s, s, 3), uint8 BGR."""

    large: NDArray[np.uint8]
    small: NDArray[np.uint8]


def draw_window(
    rng: np.random.Generator, scale: tuple[float, float], aspect: float
) -> tuple[float, float, float, float]:
    """A window x0, y0, x1, y1 in shares of the photo's sides, with an area drawn from `scale`.

    Args:
        aspect: width / height of the photo in px; the window's own lies between 3:4 and 4:3 in px,
            narrower where the photo leaves no other choice.
    """
    area = rng.uniform(*scale)
    ratio = math.exp(rng.uniform(-1, 1) * math.log(ASPECT)) / aspect
    ratio = min(max(ratio, area), 1 / area)  # both sides stay within the photo
    width, height = math.sqrt(area * ratio), math.sqrt(area / ratio)
    x0, y0 = rng.uniform(0, 1 - min(1.0, width)), rng.uniform(0, 1 - min(1.0, height))
    return x0, y0, min(1.0, x0 + width), min(1.0, y0 + height)


def draw_crop(
    rng: np.random.Generator, scale: tuple[float, float], aspect: float, chances: tuple[float, float]
) -> Crop:
    """Window and colours of one crop; `chances` of blur and solarization."""
    view = View(draw_window(rng, scale, aspect), bool(rng.random() < 0.5), 1.0, 0.0)
    jitters, gray, blurs, solarizes = rng.random(4) < (JITTER, GRAY, *chances)
    b, c, s, h = rng.uniform(-1, 1, 4) * jitters
    return Crop(
        view,
        brightness=1 + BRIGHTNESS * b,
        contrast=1 + CONTRAST * c,
        saturation=1 + SATURATION * s,
        hue=HUE * h,
        gray=bool(gray),
        sigma=float(rng.uniform(*BLUR_SIGMA_PX)) if blurs else 0.0,
        solarize=bool(solarizes),
    )


def render_crop(
    photo_bgr_u8: NDArray[np.uint8], crop: Crop, side: int, blur_scale: float
) -> NDArray[np.uint8]:
    """(side, side, 3) uint8 BGR; `blur_scale`: px of the crop per px at 224 px."""
    out, _ = render(photo_bgr_u8, crop.view, side)
    if (crop.saturation, crop.hue) != (1.0, 0.0):
        hsv = cv2.cvtColor(out, cv2.COLOR_BGR2HSV)
        steps = np.arange(256)
        hue = ((steps + round(180 * crop.hue)) % 180).astype(np.uint8)
        saturation = np.clip(steps * crop.saturation, 0, 255).astype(np.uint8)
        table = np.stack([hue, saturation, steps.astype(np.uint8)], axis=-1)[None]
        out = np.asarray(cv2.cvtColor(cv2.LUT(hsv, table), cv2.COLOR_HSV2BGR), np.uint8)
    if crop.gray:
        out = np.asarray(cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), np.uint8)
    if (crop.brightness, crop.contrast) != (1.0, 1.0):
        lit = np.arange(256) * crop.brightness
        middle = float(out.mean()) * crop.brightness
        table = np.clip((lit - middle) * crop.contrast + middle, 0, 255).astype(np.uint8)
        out = np.asarray(cv2.LUT(out, table), np.uint8)
    if crop.sigma:
        out = np.asarray(cv2.GaussianBlur(out, (0, 0), crop.sigma * blur_scale), np.uint8)
    if crop.solarize:
        out = np.where(out < SOLARIZE_FROM, out, 255 - out)
    return out


class CropSource:
    """Makes the crops of photo `index` in epoch `epoch`; deterministic, safe to call from threads."""

    def __init__(self, paths: Sequence[PhotoFile], config: PretrainConfig) -> None:
        self._paths, self._seed, self._crops = paths, config.seed, config.crops

    def __call__(self, epoch: int, index: int) -> Crops:
        """Raises DatasetError when the photo cannot be read."""
        photo = read_image_bgr(self._paths[index])
        rng, settings = rng_for(self._seed, epoch, index, CROP_STREAM), self._crops
        aspect = photo.shape[1] / photo.shape[0]
        blur = settings.global_size / 224
        large = [
            render_crop(
                photo, draw_crop(rng, settings.global_scale, aspect, chances), settings.global_size, blur
            )
            for chances in (FIRST, SECOND)
        ]
        small = [
            render_crop(photo, draw_crop(rng, settings.local_scale, aspect, LOCAL), settings.local_size, blur)
            for _ in range(settings.locals)
        ]
        shape = (0, settings.local_size, settings.local_size, 3)
        return Crops(np.stack(large), np.stack(small) if small else np.zeros(shape, np.uint8))
