"""Windows, colours, and that nothing but seed, epoch and photo decides them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from edge_runtime.errors import DatasetError
from tests.train.photos import write_photo
from train.pretrain.config import resolve
from train.pretrain.crops import FIRST, Crop, CropSource, draw_crop, draw_window, render_crop
from train.views import WHOLE

from .tiny_pretrain import tiny_config

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(0)
PHOTO = np.asarray(cv2.resize(RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8), (64, 48)), np.uint8)


@pytest.mark.parametrize("aspect", [1.0, 4 / 3, 16 / 9, 0.5, 8.0])
@pytest.mark.parametrize("scale", [(0.4, 1.0), (0.05, 0.4), (1.0, 1.0)])
def test_windows_have_the_area_that_was_asked_for_and_stay_inside(
    aspect: float, scale: tuple[float, float]
) -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        x0, y0, x1, y1 = draw_window(rng, scale, aspect)
        assert 0 <= x0 < x1 <= 1
        assert 0 <= y0 < y1 <= 1
        assert scale[0] - 1e-6 <= (x1 - x0) * (y1 - y0) <= scale[1] + 1e-6


def test_small_windows_are_nearly_square_in_pixels() -> None:
    rng, aspect = np.random.default_rng(2), 16 / 9
    found = [draw_window(rng, (0.05, 0.3), aspect) for _ in range(300)]
    ratios = [(x1 - x0) * aspect / (y1 - y0) for x0, y0, x1, y1 in found]
    assert 3 / 4 - 1e-6 <= min(ratios) < 0.8
    assert 1.25 < max(ratios) <= 4 / 3 + 1e-6


def test_a_crop_without_any_change_is_the_photo() -> None:
    np.testing.assert_array_equal(render_crop(PHOTO[:, :48], Crop(WHOLE), 48, 1.0), PHOTO[:, :48])


@pytest.mark.parametrize(
    ("crop", "expected"),
    [
        pytest.param(Crop(WHOLE, gray=True), lambda p: np.ptp(p.astype(int), axis=-1).max() == 0, id="gray"),
        pytest.param(Crop(WHOLE, brightness=0.5), lambda p: p.max() <= 128, id="darker"),
        pytest.param(
            Crop(WHOLE, saturation=0.0), lambda p: np.ptp(p.astype(int), axis=-1).max() <= 1, id="pale"
        ),
        pytest.param(Crop(WHOLE, contrast=0.0), lambda p: np.ptp(p) == 0, id="no contrast left"),
        pytest.param(Crop(WHOLE, solarize=True), lambda p: p.max() < 128, id="solarized"),
        pytest.param(
            Crop(WHOLE, sigma=2.0),
            lambda p: (
                np.abs(np.diff(p.astype(int), axis=0)).max()
                < np.abs(np.diff(PHOTO.astype(int), axis=0)).max()
            ),
            id="blurred",
        ),
    ],
)
def test_each_change_does_what_it_says(crop: Crop, expected: object) -> None:
    out = render_crop(PHOTO, crop, 48, 1.0)
    assert out.shape == (48, 48, 3)
    assert out.dtype == np.uint8
    assert callable(expected)
    assert expected(out)


def test_a_turn_of_the_hue_turns_red_into_green() -> None:
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 2] = 200
    out = render_crop(red, Crop(WHOLE, hue=1 / 3), 8, 1.0)
    assert out[0, 0].tolist() == [0, 200, 0]


def test_the_first_large_crop_is_always_blurred_and_never_solarized() -> None:
    rng = np.random.default_rng(3)
    drawn = [draw_crop(rng, (0.4, 1.0), 1.0, FIRST) for _ in range(100)]
    assert all(crop.sigma > 0 and not crop.solarize for crop in drawn)
    assert 60 < sum(crop.hue != 0 for crop in drawn) < 95
    assert 5 < sum(crop.gray for crop in drawn) < 40


def test_crops_follow_from_seed_epoch_and_photo_alone(tmp_path: Path) -> None:
    paths = [write_photo(tmp_path / f"{k}.png", width=64, height=48, seed=k) for k in range(2)]
    config = resolve(tiny_config(), 16)
    first, again = CropSource(paths, config), CropSource(paths, config)
    again(0, 0)  # what was asked before must not matter
    crops, same = first(1, 1), again(1, 1)
    assert crops.large.shape == (2, 32, 32, 3)
    assert crops.small.shape == (2, 16, 16, 3)
    np.testing.assert_array_equal(crops.large, same.large)
    np.testing.assert_array_equal(crops.small, same.small)
    for other in (
        first(2, 1),
        first(1, 0),
        CropSource(paths, tiny_config(seed=1, crops__local_size=16))(1, 1),
    ):
        assert (crops.large != other.large).any()


def test_there_may_be_no_small_crops(tmp_path: Path) -> None:
    config = resolve(tiny_config(crops__locals=0), 16)
    assert CropSource([write_photo(tmp_path / "0.png")], config)(0, 0).small.shape == (0, 16, 16, 3)


def test_a_photo_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no photo")
    with pytest.raises(DatasetError, match=r"bad\.jpg"):
        CropSource([bad], resolve(tiny_config(), 16))(0, 0)
