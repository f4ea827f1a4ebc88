"""A camera that repeats its picture is noticed; one that sees a still scene with noise is not."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.frames import Frame
from edge_runtime.frozen import FreezeDetector

NOISE = np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8)


def times_ms(images: list[np.ndarray]) -> list[float]:
    detector = FreezeDetector()
    return [detector.frozen_ms(Frame(image, i, i * 40_000_000)) for i, image in enumerate(images)]


def one_pixel_off(x: int, y: int) -> np.ndarray:
    image = NOISE.copy()
    image[y, x, 1] ^= 1
    return image


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        pytest.param([NOISE] * 4, [0, 40, 80, 120], id="the very same array"),
        pytest.param([NOISE.copy() for _ in range(3)], [0, 40, 80], id="the same picture"),
        pytest.param([NOISE, one_pixel_off(1, 1), NOISE], [0, 0, 0], id="one pixel, seen only in full"),
        pytest.param([NOISE, one_pixel_off(16, 16), NOISE], [0, 0, 0], id="one pixel of the sample"),
        pytest.param([NOISE, NOISE, NOISE[::-1], NOISE[::-1]], [0, 40, 0, 40], id="alive in between"),
        pytest.param([NOISE, NOISE[:48], NOISE[:48]], [0, 0, 40], id="another size"),
        pytest.param([np.zeros((9, 9, 3), np.uint8)] * 2, [0, 40], id="black and tiny"),
    ],
)
def test_how_long_the_picture_has_been_the_same(images, expected):
    assert times_ms(images) == expected
