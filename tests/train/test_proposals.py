"""Maps to boxes, blur, scores and the best few of them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from train.config import ProposalConfig
from train.proposals import (
    MAP_SIDE,
    Proposal,
    box_iou,
    dedupe,
    find_boxes,
    focus_images,
    select,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

Box = tuple[float, float, float, float]
LEFT: Box = (0.125, 0.25, 0.375, 0.75)
RIGHT: Box = (0.625, 0.5, 0.875, 0.75)
ANY = ProposalConfig(min_area=0.0)


def _map(*boxes: Box, side: int = MAP_SIDE) -> NDArray[np.float32]:
    out = np.zeros((side, side), np.float32)
    for x0, y0, x1, y1 in boxes:
        out[round(y0 * side) : round(y1 * side), round(x0 * side) : round(x1 * side)] = 1
    return out


def _proposal(box: Box, score: float = 0.0) -> Proposal:
    return Proposal(box, 0, 0.5, score)


def test_every_region_of_every_map_gives_its_enclosing_box_largest_first() -> None:
    found = find_boxes(np.stack([_map(RIGHT), _map(LEFT, RIGHT)]), ANY)
    assert [(p.box, p.map_index) for p in found] == [(LEFT, 1), (RIGHT, 0)]  # the second RIGHT is a duplicate


def test_boxes_of_coarse_maps_are_in_fractions_of_the_photo() -> None:
    """A 16 x 16 map is upsampled; edges may move by less than one of its cells."""
    (found,) = find_boxes(_map(LEFT, side=16)[None], ANY)
    assert np.abs(np.subtract(found.box, LEFT)).max() < 1 / 16


def test_the_level_is_otsus_in_units_of_the_map() -> None:
    half = _map(LEFT) * 0.6
    (found,) = find_boxes(half[None], ANY)
    u8 = np.floor(255 * half).astype(np.uint8)
    expected, _ = cv2.threshold(u8, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    assert found.level == max(expected, 1) / 255


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(np.zeros((16, 16), np.float32), id="zero"),
        pytest.param(np.full((16, 16), 0.7, np.float32), id="constant"),
    ],
)
def test_a_map_without_contrast_gives_nothing(values: NDArray[np.float32]) -> None:
    assert find_boxes(np.stack([values, values]), ANY) == []


def test_a_map_without_contrast_does_not_hide_the_others() -> None:
    zero = np.zeros((MAP_SIDE, MAP_SIDE), np.float32)
    assert [p.map_index for p in find_boxes(np.stack([zero, _map(LEFT)]), ANY)] == [1]


def test_small_boxes_are_dropped_by_the_area_of_the_box() -> None:
    area = (0.375 - 0.125) * (0.75 - 0.25)
    both = _map(LEFT, RIGHT)[None]
    assert [p.box for p in find_boxes(both, dataclasses.replace(ANY, min_area=area * 0.99))] == [LEFT]


@pytest.mark.parametrize("min_area", [0.2, 1.0])
def test_when_all_are_too_small_the_largest_stays(min_area: float) -> None:
    found = find_boxes(_map(LEFT, RIGHT)[None], dataclasses.replace(ANY, min_area=min_area))
    assert [p.box for p in found] == [LEFT]


def test_specks_are_no_regions() -> None:
    speck = np.zeros((MAP_SIDE, MAP_SIDE), np.float32)
    speck[10:13, 10:15] = 1  # 15 px
    assert find_boxes(speck[None], ANY) == []


def test_limits_per_map_and_per_photo() -> None:
    many = _map(*[(x / 8, y / 8, x / 8 + 0.06, y / 8 + 0.06) for x in range(8) for y in range(8)])
    assert len(find_boxes(many[None], dataclasses.replace(ANY, per_map=5))) == 5
    assert len(find_boxes(many[None], dataclasses.replace(ANY, per_map=99, max_scored=7))) == 7


def test_of_boxes_that_overlap_much_the_first_stays() -> None:
    nearly: Box = (0.125, 0.25, 0.38, 0.75)
    kept = dedupe([_proposal(LEFT), _proposal(nearly), _proposal(RIGHT)], 0.9)
    assert [p.box for p in kept] == [LEFT, RIGHT]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        pytest.param(LEFT, LEFT, 1.0, id="the same"),
        pytest.param(LEFT, RIGHT, 0.0, id="apart"),
        pytest.param((0.0, 0.0, 0.5, 1.0), (0.25, 0.0, 0.75, 1.0), 1 / 3, id="a third"),
        pytest.param((0.1, 0.1, 0.1, 0.1), (0.1, 0.1, 0.1, 0.1), 0.0, id="both empty"),
    ],
)
def test_box_iou(a: Box, b: Box, expected: float) -> None:
    assert box_iou(a, b) == pytest.approx(expected)


def test_the_photo_is_sharp_inside_the_box_and_smooth_outside() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    (shown,) = focus_images(photo, [_proposal(LEFT)])
    inside = np.zeros((64, 64), bool)
    inside[16:48, 8:24] = True
    assert np.array_equal(shown[inside], photo[inside])
    assert shown[~inside].std() < 0.2 * photo[~inside].std()
    assert photo.std() > 50  # the original is not touched


def test_the_best_scores_win_and_weak_ones_are_dropped() -> None:
    photo = np.zeros((64, 64, 3), np.uint8)
    boxes = [_proposal((0.1 * k, 0.0, 0.1 * k + 0.1, 1.0)) for k in range(4)]
    scores = np.array([0.2, 0.9, 0.05, 0.6], np.float32)
    best = select(photo, boxes, lambda shown: scores[: len(shown)], ProposalConfig(top_p=3, min_score=0.1))
    assert [round(p.score, 3) for p in best] == [0.9, 0.6, 0.2]
    assert best[0].box == boxes[1].box
    two = select(photo, boxes, lambda shown: scores[: len(shown)], ProposalConfig(top_p=2))
    assert [round(p.score, 3) for p in two] == [0.9, 0.6]


def test_without_boxes_the_classifier_is_not_asked() -> None:
    def never(_: object) -> NDArray[np.float32]:
        raise AssertionError("asked")

    assert select(np.zeros((8, 8, 3), np.uint8), [], never, ProposalConfig()) == []
