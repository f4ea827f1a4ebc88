"""Which detection continues a track."""

from __future__ import annotations

import pytest

from edge_runtime.tracking import Detection, TrackSettings
from edge_runtime.tracking.gate import best_match, covered, iou
from edge_runtime.tracking.kalman import BoxFilter

MS = 1_000_000
TRACK = (0.4, 0.4, 0.5, 0.5)


def shifted(dx: float, dy: float = 0.0) -> tuple[float, float, float, float]:
    return TRACK[0] + dx, TRACK[1] + dy, TRACK[2] + dx, TRACK[3] + dy


NEAR, NEARER, ASIDE, FAR = shifted(0.03), shifted(0.01), shifted(0.11), shifted(0.4)
AROUND = (0.1, 0.38, 0.9, 0.6)  # holds the track, hardly overlaps it
HALF_AROUND = (0.45, 0.38, 0.9, 0.6)
PIECE = (0.4, 0.4, 0.42, 0.42)


@pytest.mark.parametrize(
    ("a", "b", "share"),
    [
        pytest.param(TRACK, TRACK, 1.0, id="itself"),
        pytest.param(TRACK, shifted(0.05), 1 / 3, id="half"),
        pytest.param(TRACK, shifted(0.1), 0.0, id="edge to edge"),
        pytest.param(TRACK, FAR, 0.0, id="apart"),
        pytest.param((0, 0, 1, 1), (0.25, 0.25, 0.75, 0.75), 0.25, id="inside"),
    ],
)
def test_iou_of_two_boxes(a, b, share):
    assert iou(a, b) == pytest.approx(share, abs=1e-9)
    assert iou(b, a) == pytest.approx(share, abs=1e-9)


def test_covered_is_the_share_of_the_first_box():
    assert covered(TRACK, AROUND) == pytest.approx(1.0)
    assert covered(AROUND, TRACK) == pytest.approx(0.01 / 0.176, abs=1e-9)
    assert covered(TRACK, FAR) == 0.0


@pytest.mark.parametrize(
    ("boxes", "after_ms", "expected"),
    [
        pytest.param([], 33, None, id="nothing found"),
        pytest.param([NEAR], 33, 0, id="one that overlaps"),
        pytest.param([NEAR, NEARER], 33, 1, id="the one nearer the track wins"),
        pytest.param([FAR, NEAR], 33, 1, id="the first in the list is not preferred"),
        pytest.param([FAR], 33, None, id="far away"),
        pytest.param([ASIDE], 33, None, id="beside it after one frame"),
        pytest.param([ASIDE], 300, 0, id="beside it after a gap: by Mahalanobis distance"),
        pytest.param([FAR], 300, None, id="far away, even after a gap"),
        pytest.param([AROUND], 33, 0, id="one that holds the track: regions have merged"),
        pytest.param([HALF_AROUND], 33, None, id="one that holds half of it"),
        pytest.param([AROUND, NEAR], 33, 1, id="overlap before holding"),
        pytest.param([PIECE], 33, None, id="a small piece of it"),
    ],
)
def test_gate_keeps_the_candidate_that_continues_the_track(boxes, after_ms, expected):
    settings = TrackSettings()
    track = BoxFilter(TRACK, 0, settings)
    track.predict(after_ms * MS)
    detections = [Detection(box, 0.8) for box in boxes]
    assert best_match(track, detections, range(len(boxes)), settings) == expected


def test_only_the_indices_allowed_are_looked_at():
    settings = TrackSettings()
    track = BoxFilter(TRACK, 0, settings)
    detections = [Detection(NEARER, 0.8), Detection(NEAR, 0.8)]
    assert best_match(track, detections, [1], settings) == 1
