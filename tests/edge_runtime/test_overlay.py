"""The picture says what the record says."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.overlay import draw
from tests.edge_runtime.results import result


def bgr_at(picture: np.ndarray, x: float, y: float) -> np.ndarray:
    return picture[int(y * picture.shape[0]), int(x * picture.shape[1])].astype(int)


def scene(state: str = "TRACKING", **changes: object) -> tuple[np.ndarray, np.ndarray, dict]:
    """A gray 640 x 480 frame, a map warm in the middle, and its record."""
    score_map = np.zeros((64, 64), np.float32)
    score_map[24:40, 24:40] = 1.0
    record = {
        "state": state,
        "valid": True,
        "cls": "tower",
        "score": 0.91,
        "box": [0.375, 0.375, 0.625, 0.625],
        "others": [],
        "age_ms": 43.3,
        "frame": {"idx": 7},
    }
    return np.full((480, 640, 3), 90, np.uint8), score_map, {**record, **changes}


def test_the_frame_itself_is_not_touched():
    image, score_map, record = scene()
    before = image.copy()
    picture = draw(image, score_map, record)
    np.testing.assert_array_equal(image, before)
    assert (picture.shape, picture.dtype) == (image.shape, np.uint8)


def test_the_map_tints_only_where_it_is_warm():
    picture = draw(*scene())
    np.testing.assert_array_equal(bgr_at(picture, 0.1, 0.5), [90, 90, 90])
    assert np.abs(bgr_at(picture, 0.5, 0.5) - 90).max() > 40


@pytest.mark.parametrize(
    ("changes", "is_green"),
    [
        pytest.param({}, True, id="tracking"),
        pytest.param({"state": "COASTING"}, False, id="coasting"),
        pytest.param({"state": "SEARCHING", "box": None}, False, id="searching"),
    ],
)
def test_a_green_box_means_tracking(changes, is_green):
    picture = draw(*scene(**changes))
    blue, green, red = bgr_at(picture, 0.375, 0.5)
    assert (green > 180 and green > blue + 60 and green > red + 60) == is_green


def test_the_box_is_drawn_where_the_record_says():
    image, score_map, record = scene(box=[0.1, 0.2, 0.3, 0.6])
    changed = np.abs(draw(image, score_map * 0, record).astype(int) - 90).max(axis=2) > 20
    changed[-40:] = False  # the status line
    changed[:90] = False  # the label above the box
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert (columns[0], columns[-1]) == (pytest.approx(64, abs=3), pytest.approx(191, abs=3))
    assert (rows[0], rows[-1]) == (pytest.approx(96, abs=8), pytest.approx(287, abs=3))


def test_every_state_and_a_stale_result_look_different():
    states = ["SEARCHING", "TRACKING", "COASTING", "LOST", "FAULT"]
    pictures = [draw(*scene(state, box=None)) for state in states]
    pictures.append(draw(*scene("TRACKING", box=None, valid=False)))
    assert len({picture.tobytes() for picture in pictures}) == 6


@pytest.mark.parametrize("size", [(16, 16), (120, 160), (1080, 1920)])
@pytest.mark.parametrize("box", [[0.0, 0.0, 1.0, 1.0], [0.9, 0.0, 1.0, 0.02], [0.0, 0.97, 0.1, 1.0]])
def test_any_frame_size_and_any_place_of_the_box_can_be_drawn(size, box):
    _, score_map, record = scene(box=box, others=[{"box": box, "score": 0.5}])
    assert draw(np.zeros((*size, 3), np.uint8), score_map, record).shape == (*size, 3)


def test_what_the_pipeline_hands_over_can_be_drawn():
    one = result()
    assert draw(one.frame.image_bgr_u8, one.score_map, one.record).shape == (96, 128, 3)
