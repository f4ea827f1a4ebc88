"""Map-to-box decoding: regions, their order, scores and limits, and the presence gate."""

import cv2
import numpy as np
import pytest

from edge_runtime import boxes
from edge_runtime.boxes import (
    MIN_REGION_FRACTION,
    PRESENCE_FRACTION,
    decode_map,
    find_candidates,
    presence_score,
)


def blank(height=64, width=128):
    return np.zeros((height, width), np.float32)


def test_a_region_becomes_its_half_open_box_as_fractions_of_the_map():
    score_map = blank()
    score_map[16:32, 32:96] = 0.8
    (found,) = find_candidates(score_map, 0.5)
    assert found.box_xyxy == (0.25, 0.25, 0.75, 0.5)
    assert found.score == pytest.approx(0.8, abs=1e-6)
    assert found.area == pytest.approx(16 * 64 / score_map.size)


def test_regions_come_largest_first_whatever_their_score():
    score_map = blank()
    score_map[:8, :8] = 1.0
    score_map[40:, 60:] = 0.6
    assert [round(c.score, 3) for c in find_candidates(score_map, 0.5)] == [0.6, 1.0]


@pytest.mark.parametrize(
    ("value", "threshold", "count"),
    [
        pytest.param(0.5, 0.5, 0, id="equal is not above"),
        pytest.param(0.6, 0.5, 1, id="above"),
        pytest.param(1.0, 1.0, 0, id="nothing is above one"),
        pytest.param(0.1, 0.0, 1, id="anything is above zero"),
    ],
)
def test_a_pixel_counts_when_strictly_above_the_threshold(value, threshold, count):
    score_map = blank()
    score_map[10:30, 10:30] = value
    assert len(find_candidates(score_map, threshold)) == count


def test_diagonal_neighbours_are_one_region_and_its_score_leaves_the_corners_out():
    score_map = blank()
    score_map[0:10, 0:10] = 0.9
    score_map[10:20, 10:20] = 0.7
    (found,) = find_candidates(score_map, 0.5)
    assert found.box_xyxy == (0.0, 0.0, 20 / 128, 20 / 64)
    assert found.score == pytest.approx(0.8, abs=1e-6)


def test_specks_are_no_candidates():
    score_map = np.zeros((200, 200), np.float32)
    least = int(MIN_REGION_FRACTION * score_map.size)  # 20 px
    score_map[0, : least - 1] = 1.0
    score_map[100, :least] = 1.0
    (found,) = find_candidates(score_map, 0.5)
    assert found.box_xyxy[1] == 0.5


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda rng: rng.random((224, 224)), id="noise"),
        pytest.param(lambda rng: rng.random((320, 320)) ** 8, id="few warm pixels"),
        pytest.param(lambda rng: np.full((224, 224), 0.3), id="constant"),
        pytest.param(
            lambda rng: np.pad(np.ones((10, 10)), ((0, 214), (0, 214))), id="a corner between the samples"
        ),
        pytest.param(lambda rng: np.tile(np.eye(16)[0], (224, 14)), id="warm only where it is sampled"),
        pytest.param(lambda rng: np.tile(np.eye(16)[7], (224, 14)), id="warm only where it is not sampled"),
        pytest.param(lambda rng: rng.random((3, 5)), id="tiny"),
    ],
)
def test_presence_is_the_mean_of_the_warmest_pixels(make):
    score_map = make(np.random.default_rng(0)).astype(np.float32)
    count = max(1, round(PRESENCE_FRACTION * score_map.size))
    expected = np.sort(score_map.ravel())[-count:].mean(dtype=np.float64)
    assert presence_score(score_map) == pytest.approx(expected, abs=1e-12)
    for threshold in (0.0, 0.2, 0.5, 0.9, 1.0):
        assert decode_map(score_map, threshold, 0.0).presence == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_one_pixel_that_is_not_finite_spoils_the_map(value):
    score_map = blank()
    score_map[16:32, 32:96] = 0.8
    score_map[1, 1] = value
    decision = decode_map(score_map, 0.5, 0.3)
    assert np.isnan(decision.presence) and not decision.present and decision.candidates == ()


@pytest.mark.parametrize("sigma", [1.0, 4.0, 12.0])
@pytest.mark.parametrize("shape", [(64, 64), (224, 224), (321, 513)])
def test_regions_are_the_same_whether_their_pixels_are_few_or_not(sigma, shape, monkeypatch):
    smooth = cv2.GaussianBlur(np.random.default_rng(1).random(shape, np.float32), (0, 0), sigma)
    score_map = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    found = {}
    for few in (0.0, 1.0):
        monkeypatch.setattr(boxes, "FEW", few)
        found[few] = [find_candidates(score_map, threshold) for threshold in (0.3, 0.5, 0.7)]
    assert any(found[0.0])
    for by_window, by_pixel in zip(found[0.0], found[1.0]):
        assert [(c.box_xyxy, c.area) for c in by_window] == [(c.box_xyxy, c.area) for c in by_pixel]
        assert [c.score for c in by_window] == pytest.approx([c.score for c in by_pixel], abs=1e-9)


@pytest.mark.parametrize("side", [224, 512, 576])
def test_a_checkerboard_of_single_pixels_is_all_specks(side):
    score_map = np.zeros((side, side), np.float32)
    score_map[::2, ::2] = 1.0
    assert find_candidates(score_map, 0.5) == ()


def test_below_the_presence_threshold_nothing_is_reported():
    score_map = blank()
    score_map[16:32, 32:96] = 0.8
    assert decode_map(score_map, 0.5, 0.79).present
    silent = decode_map(score_map, 0.5, 0.81)
    assert (silent.present, silent.candidates) == (False, ())
    assert silent.presence == pytest.approx(0.8, abs=1e-6)


def test_a_warm_map_without_a_region_is_not_present():
    decision = decode_map(np.full((64, 64), 0.4, np.float32), 0.5, 0.3)
    assert not decision.present and decision.candidates == ()
