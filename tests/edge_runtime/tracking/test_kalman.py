"""The box filter: what it expects of steady motion, and that nothing makes its numbers impossible."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.tracking import TrackSettings
from edge_runtime.tracking.kalman import SMALLEST, BoxFilter, clipped_box, extrapolate, parameters

S = 1_000_000_000
SETTINGS = TrackSettings()


def box_at(t_s: float, speed: float = 0.2) -> tuple[float, float, float, float]:
    x = 0.1 + speed * t_s
    return x, 0.3, x + 0.2, 0.6


def test_steady_motion_is_learnt_and_continued():
    box_filter = BoxFilter(box_at(0), 0, SETTINGS)
    for i in range(1, 60):
        box_filter.predict(i * S // 30)
        box_filter.follow(box_at(i / 30))
    expected = extrapolate(box_filter.motion, box_filter.t_ns + S // 2)
    assert expected == pytest.approx(box_at(59 / 30 + 0.5), abs=0.005)


def test_unequal_frame_times_make_no_difference_to_steady_motion():
    times_s = np.cumsum([0.01, 0.2, 0.03, 0.033, 0.1, 0.02, 0.033, 0.15] * 6)
    box_filter = BoxFilter(box_at(0), 0, SETTINGS)
    for t_s in times_s:
        box_filter.predict(round(t_s * S))
        box_filter.follow(box_at(t_s))
    assert box_filter.box_xyxy == pytest.approx(box_at(times_s[-1]), abs=0.002)
    assert box_filter.motion.velocity[0] == pytest.approx(0.2, abs=0.02)


def test_one_axis_agrees_with_the_matrix_form_of_the_filter():
    s = SETTINGS
    box_filter = BoxFilter((0.4, 0.4, 0.6, 0.6), 0, s)
    var = s.size_noise_log**2
    x, p = np.array([math.log(0.2), 0.0]), np.diag([var, s.size_speed_log_per_s**2])
    for i, width in enumerate([0.21, 0.2, 0.22, 0.23, 0.21], start=1):
        dt = 0.04
        f = np.array([[1, dt], [0, 1]])
        q = s.size_accel**2 * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
        x, p = f @ x, f @ p @ f.T + q
        gain = p[:, 0] / (p[0, 0] + var)
        x = x + gain * (math.log(width) - x[0])
        p = p - np.outer(gain, p[0])
        box_filter.predict(round(i * dt * S))
        box_filter.follow((0.5 - width / 2, 0.4, 0.5 + width / 2, 0.6))
    assert (box_filter.motion.position[2], box_filter.motion.velocity[2]) == pytest.approx(x, rel=1e-9)
    assert box_filter.covariances[2] == pytest.approx((p[0, 0], p[0, 1], p[1, 1]), rel=1e-9)


def test_the_distance_of_a_detection_shrinks_the_longer_nothing_was_seen():
    box_filter = BoxFilter((0.4, 0.4, 0.5, 0.5), 0, SETTINGS)
    aside = (0.5, 0.4, 0.6, 0.5)
    distances = []
    for t_ms in (10, 100, 300):
        box_filter.predict(t_ms * 1_000_000)
        distances.append(box_filter.distance(aside))
    assert distances[0] > SETTINGS.gate_mahalanobis > distances[2]
    assert distances == sorted(distances, reverse=True)


def test_a_box_that_jumps_is_smoothed_once_and_believed_the_second_time():
    small, large = (0.4, 0.4, 0.5, 0.5), (0.1, 0.1, 0.9, 0.9)
    box_filter = BoxFilter(small, 0, SETTINGS)
    widths = []
    for i, seen in enumerate([small] * 20 + [large, large], start=1):
        box_filter.predict(i * S // 30)
        box_filter.follow(seen)
        widths.append(box_filter.box_xyxy[2] - box_filter.box_xyxy[0])
    assert widths[:20] == pytest.approx([0.1] * 20, abs=1e-9)
    assert 0.1 < widths[20] < 0.4
    assert box_filter.box_xyxy == pytest.approx(large, abs=1e-9)
    assert box_filter.motion.velocity == (0.0, 0.0, 0.0, 0.0)


def test_going_back_in_time_changes_nothing():
    box_filter = BoxFilter((0.4, 0.4, 0.5, 0.5), S, SETTINGS)
    before = box_filter.motion
    box_filter.predict(S)
    box_filter.predict(0)
    assert box_filter.motion == before


@pytest.mark.parametrize(
    ("box", "inside"),
    [
        pytest.param((0.5, 0.5, 0.0, 0.0), (0.0, 0.0, 1.0, 1.0), id="as large as the frame"),
        pytest.param((0.0, 0.5, math.log(0.2), math.log(0.2)), (0.0, 0.4, 0.1, 0.6), id="half out"),
        pytest.param(
            (1.3, 0.5, math.log(0.2), math.log(0.2)), (1 - SMALLEST, 0.4, 1.0, 0.6), id="gone right"
        ),
        pytest.param((-0.3, 0.5, math.log(0.2), math.log(0.2)), (0.0, 0.4, SMALLEST, 0.6), id="gone left"),
    ],
)
def test_a_box_is_clipped_to_the_frame_and_never_empty(box, inside):
    assert clipped_box(*box) == pytest.approx(inside, abs=1e-12)


sides = st.tuples(st.floats(0, 1), st.floats(0, 1)).filter(lambda p: p[0] != p[1]).map(sorted)
boxes = st.tuples(sides, sides).map(lambda p: (p[0][0], p[1][0], p[0][1], p[1][1]))


@given(boxes, st.lists(st.tuples(st.integers(0, 100 * S), st.none() | boxes), max_size=30))
def test_whatever_comes_the_covariance_stays_positive_and_the_box_within_the_frame(first, steps):
    box_filter = BoxFilter(first, 0, SETTINGS)
    for dt_ns, seen in steps:
        box_filter.predict(box_filter.t_ns + dt_ns)
        if seen is not None:
            box_filter.follow(seen)
        for xx, xv, vv in box_filter.covariances:
            assert xx > 0 and vv > 0 and xx * vv >= xv * xv * (1 - 1e-12)
        assert all(math.isfinite(v) for four in box_filter.motion[1:] for v in four)
        later = extrapolate(box_filter.motion, box_filter.t_ns + 10 * S)
        for x0, y0, x1, y1 in (box_filter.box_xyxy, later):
            assert 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1


@given(boxes)
def test_parameters_and_corners_are_the_same_box(box):
    back = clipped_box(*parameters(box))
    slack = SMALLEST if min(box[2] - box[0], box[3] - box[1]) < SMALLEST else 1e-9
    assert back == pytest.approx(box, abs=slack)
