"""Photo, attention and boxes go through one geometry; every draw comes from (seed, epoch, photo) alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from train.sampling import box_masks
from train.views import WHOLE, View, draw_view, render, rng_for, sampling_theta, transform_boxes

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 64
CELLS = 16  # side of the attention map
BOX = (0.25, 0.5, 0.625, 0.875)  # on the cells of the map


def _masks_of(view: View, width: int, height: int) -> dict[str, NDArray[np.bool_]]:
    """Where the object is in the view, as told by the photo, by its box and by its attention map."""
    x0, y0, x1, y1 = BOX
    photo = np.zeros((height, width, 3), np.uint8)
    photo[round(y0 * height) : round(y1 * height), round(x0 * width) : round(x1 * width)] = 255
    out, snapped = render(photo, view, SIDE)
    box = transform_boxes(np.array([BOX], np.float32), snapped)
    attention = torch.zeros(1, 1, CELLS, CELLS)
    attention[..., round(y0 * CELLS) : round(y1 * CELLS), round(x0 * CELLS) : round(x1 * CELLS)] = 1
    grid = F.affine_grid(
        torch.from_numpy(sampling_theta(snapped))[None], [1, 1, SIDE, SIDE], align_corners=False
    )
    cut = F.grid_sample(attention, grid, padding_mode="border", align_corners=False)[0, 0]
    return {
        "photo": out[..., 0] > 127,
        "box": box_masks(torch.from_numpy(box), SIDE)[0].numpy(),
        "attention": (cut > 0.5).numpy(),
    }


def _bounds(mask: NDArray[np.bool_]) -> list[int]:
    return list(cv2.boundingRect(mask.astype(np.uint8)))


@pytest.mark.parametrize(("width", "height"), [(96, 96), (128, 72), (60, 100)])
@pytest.mark.parametrize(
    ("window", "flip"),
    [
        pytest.param((0.0, 0.0, 1.0, 1.0), False, id="whole"),
        pytest.param((0.0, 0.0, 1.0, 1.0), True, id="whole, flipped"),
        pytest.param((0.1, 0.2, 0.9, 1.0), False, id="window"),
        pytest.param((0.05, 0.125, 0.925, 1.0), True, id="window, flipped"),
        pytest.param((0.4, 0.6, 0.9, 0.95), True, id="the window cuts the object"),
    ],
)
def test_photo_box_and_attention_agree_to_two_pixels(
    window: tuple[float, float, float, float], flip: bool, width: int, height: int
) -> None:
    masks = _masks_of(View(window, flip, 1.0, 0.0), width, height)
    photo = _bounds(masks["photo"])
    assert min(photo[2:]) > 8
    assert np.abs(np.subtract(_bounds(masks["box"]), photo)).max() <= 2
    assert np.abs(np.subtract(_bounds(masks["attention"]), photo)).max() <= 2


def test_a_box_outside_the_window_has_no_pixel_left() -> None:
    moved = transform_boxes(np.array([[0.0, 0.0, 0.1, 0.1]], np.float32), View((0.5, 0.5, 1, 1), True, 1, 0))
    assert not box_masks(torch.from_numpy(moved), SIDE).any()


def test_light_changes_pixels_but_stays_in_range() -> None:
    photo = np.array([[[0, 128, 255]]], np.uint8)
    brighter, _ = render(photo, View(WHOLE.window, False, 1.5, 20.0), 1)
    darker, _ = render(photo, View(WHOLE.window, False, 0.5, -20.0), 1)
    assert brighter.ravel().tolist() == [20, 212, 255]
    assert darker.ravel().tolist() == [0, 44, 107]


def test_the_whole_view_changes_nothing() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    out, view = render(photo, WHOLE, 8)
    assert np.array_equal(out, photo)
    assert view == WHOLE


@pytest.mark.parametrize("crop", [(0.875, 0.875), (0.6, 1.0), (1.0, 1.0)])
def test_drawn_windows_lie_inside_the_photo_and_have_the_asked_share(crop: tuple[float, float]) -> None:
    for index in range(200):
        x0, y0, x1, y1 = draw_view(rng_for(0, 0, index, 9), crop).window
        assert 0 <= x0 < x1 <= 1 + 1e-9
        assert 0 <= y0 < y1 <= 1 + 1e-9
        assert crop[0] - 1e-9 <= min(x1 - x0, y1 - y0) <= max(x1 - x0, y1 - y0) <= crop[1] + 1e-9


def test_half_of_the_views_are_flipped() -> None:
    flips = sum(draw_view(rng_for(0, 0, index, 9), (0.8, 0.8)).flip for index in range(400))
    assert 150 < flips < 250  # 200 +- 5 standard deviations


def test_a_view_depends_on_seed_epoch_and_photo_only() -> None:
    def draw(*place: int) -> View:
        return draw_view(rng_for(*place), (0.5, 1.0))

    assert draw(0, 1, 2, 3) == draw(0, 1, 2, 3)
    others = [draw(1, 1, 2, 3), draw(0, 2, 2, 3), draw(0, 1, 3, 3), draw(0, 1, 2, 4)]
    assert draw(0, 1, 2, 3) not in others


def test_one_pixel_photos_can_be_viewed() -> None:
    out, view = render(np.full((1, 1, 3), 7, np.uint8), View((0.4, 0.4, 0.6, 0.6), False, 1, 0), 4)
    assert out.shape == (4, 4, 3)
    assert view.window == (0.0, 0.0, 1.0, 1.0)
