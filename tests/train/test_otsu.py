"""Otsu's level equals OpenCV's, and constant maps have none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from train.otsu import otsu_level

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _random_map(seed: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    small = rng.random((14, 14)) ** rng.uniform(0.5, 6)
    return np.floor(255 * cv2.resize(small, (224, 224)) / small.max()).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("seed", range(40))
def test_the_level_is_opencvs(seed: int) -> None:
    map_u8 = _random_map(seed)
    expected, _ = cv2.threshold(map_u8, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    assert otsu_level(map_u8) == expected


@pytest.mark.parametrize("value", [0, 1, 127, 255])
def test_a_constant_map_has_no_level(value: int) -> None:
    assert otsu_level(np.full((8, 8), value, np.uint8)) is None


@pytest.mark.parametrize(
    ("values", "level"),
    [
        pytest.param([0, 255], 1, id="black and white: 0 is raised to 1"),
        pytest.param([0, 1], 1, id="lowest pair: nothing is above"),
        pytest.param([254, 255], 254, id="highest pair"),
        pytest.param([10, 10, 200, 210], 10, id="the first of equal maxima"),
    ],
)
def test_levels_stay_between_1_and_254(values: list[int], level: int) -> None:
    assert otsu_level(np.array(values, np.uint8)) == level
