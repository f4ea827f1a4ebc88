"""Intervals of CAMERA_TRACKING_IMAGE_STATUS by a clock of the test: rates, endpoints, jitter."""

import random

import pytest

from edge_runtime.sinks.mavlink.intervals import Endpoint, Intervals

MS = 1_000_000
A, B = Endpoint("a", 255, 190), Endpoint("b", 254, 190)


def sent(intervals, peers, *, seconds=10.0, fps=30.0, jitter_ms=0.0):
    """How often each peer is due while records come at `fps`."""
    chance = random.Random(1)
    counts = dict.fromkeys(peers, 0)
    for i in range(int(seconds * fps)):
        now_ns = int(1e9 * (1 + i / fps)) + int(chance.uniform(-jitter_ms, jitter_ms) * MS)
        for peer in intervals.due(peers, now_ns):
            counts[peer] += 1
    return counts


@pytest.mark.parametrize("jitter_ms", [0, 12])
@pytest.mark.parametrize(
    ("interval_us", "expected_hz"),
    [
        pytest.param(33_333, 30, id="frame rate"),
        pytest.param(34_000, 1e6 / 34_000, id="a little slower than frames come"),
        pytest.param(100_000, 10, id="10 Hz"),
        pytest.param(500_000, 2, id="2 Hz"),
        pytest.param(1, 30, id="faster than frames come"),
        pytest.param(70_000, 1e6 / 70_000, id="no multiple of the frame time"),
        pytest.param(0, 5, id="default"),
        pytest.param(-1, 0, id="off"),
    ],
)
def test_an_interval_is_kept_within_three_percent(interval_us, expected_hz, jitter_ms):
    intervals = Intervals(0.0)
    intervals.ask(A, interval_us, 0)
    assert sent(intervals, ["a"], jitter_ms=jitter_ms)["a"] == pytest.approx(10 * expected_hz, rel=0.03)


def test_endpoints_do_not_affect_each_other():
    intervals = Intervals(0.0)
    intervals.ask(A, 33_333, 0)
    intervals.ask(B, 500_000, 0)
    counts = sent(intervals, ["a", "b", "c"])
    assert counts == {"a": pytest.approx(300, rel=0.02), "b": pytest.approx(20, abs=1), "c": 0}
    intervals.ask(B, -1, 0)
    assert intervals.listening(["a", "b", "c"]) == ["a"]


def test_the_rate_of_the_uri_goes_to_those_who_asked_for_nothing():
    intervals = Intervals(2.0)
    intervals.ask(A, -1, 0)
    assert sent(intervals, ["a", "b"]) == {"a": 0, "b": pytest.approx(20, abs=1)}


def test_a_peer_that_left_is_forgotten():
    intervals = Intervals(0.0)
    intervals.ask(A, 1000, 0)
    assert intervals.due(["b"], 10) == []
    assert intervals.due(["a", "b"], 20) == []


def test_what_a_pause_missed_is_not_made_up_for():
    intervals = Intervals(0.0)
    intervals.ask(A, 500_000, 0)
    due = [t for t in (0, 5000, 5033, 5066, 5100, 5533) if intervals.due(["a"], t * MS + MS)]
    assert due == [0, 5000, 5533]
