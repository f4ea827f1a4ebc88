"""What may leave at all, for any sequence of records, delays and faults."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.live import Health
from edge_runtime.sinks.mavlink.gimbal import Gimbal
from edge_runtime.sinks.mavlink.intervals import Endpoint, Intervals
from edge_runtime.sinks.mavlink.reporter import Reporter
from tests.edge_runtime.mavlink.flights import MAX_AGE_MS, record

MS = 1_000_000
PEER = "peer"


class Wire:
    """Stands in for the link: keeps what was sent and until when it might have been."""

    def __init__(self):
        self.sent = []

    def peers(self):
        return [PEER]

    def send(self, message, peer=None, *, not_after_ns=None):
        self.sent.append((message, not_after_ns))
        return True

    def of(self, name):
        return [message for message, _ in self.sent if message.name == name]


def flight():
    wire, health, intervals = Wire(), Health(), Intervals(0.0)
    health.recover()
    intervals.ask(Endpoint(PEER, 255, 190), 1, 0)
    reporter = Reporter(
        wire, intervals, health, 100, MAX_AGE_MS, profile="ardupilot", gimbal=Gimbal(1, 1)
    )  # fmt: skip
    return wire, health, reporter


STATES = ["SEARCHING", "TRACKING", "COASTING", "LOST", "FAULT"]
steps = st.lists(
    st.tuples(
        st.sampled_from(STATES),
        st.integers(1, 400),  # ms since the record before
        st.integers(1, 400),  # age in ms when it is made
        st.integers(0, 400),  # ms it waits for the sink
        st.booleans(),  # detected in this very frame
        st.booleans(),  # the pipeline is healthy
    ),
    max_size=25,
)


@settings(max_examples=50, deadline=None)
@given(steps)
def test_whatever_happens_nothing_stale_predicted_or_repeated_leaves(story):
    wire, health, reporter = flight()
    now_ns = time.monotonic_ns()
    for i, (state, passed_ms, age_ms, waits_ms, detected, healthy) in enumerate(story):
        now_ns += passed_ms * MS
        made = record(i, state, detected=detected)
        made.update(t_cap_mono_ns=now_ns - age_ms * MS, t_emit_mono_ns=now_ns, age_ms=float(age_ms))
        made["valid"] = made["box_src"] == "det" and age_ms <= MAX_AGE_MS
        health.recover() if healthy else health.fault("test")
        before = len(wire.sent)
        reporter.watch(now_ns)
        reporter.report(made, now_ns + waits_ms * MS)
        left = wire.sent[before:]
        may_act = healthy and made["valid"] and age_ms + waits_ms <= MAX_AGE_MS
        limit_ns = made["t_cap_mono_ns"] + int(MAX_AGE_MS * MS)
        landings = [(m, t) for m, t in left if m.name == "landing_target"]
        assert len(landings) <= may_act
        moving = [(m, t) for m, t in left if m.fields.get("yaw_rate")]
        assert len(moving) <= may_act
        shown = [(m, t) for m, t in left if m.fields.get("tracking_status")]
        assert not shown or (
            healthy and state in ("TRACKING", "COASTING") and age_ms + waits_ms <= MAX_AGE_MS
        )
        assert all(t == limit_ns for _, t in landings + moving + shown)
    stamps = [m.fields["time_usec"] for m in wire.of("landing_target")]
    assert stamps == sorted(set(stamps))


@pytest.mark.parametrize("state", ["SEARCHING", "LOST", "FAULT"])
def test_states_without_a_box_end_the_box_at_once(state):
    wire, _, reporter = flight()
    now_ns = time.monotonic_ns()
    reporter.report(record(0), now_ns)
    reporter.report(record(1, state), now_ns + MS)
    assert [m.fields["tracking_status"] for m in wire.of("camera_tracking_image_status")] == [1, 0]


def test_a_second_fault_is_told_again():
    wire, health, reporter = flight()
    for i in range(2):
        reporter.report(record(i), time.monotonic_ns())
        health.fault("frozen")
        reporter.watch(time.monotonic_ns())
        reporter.watch(time.monotonic_ns())
        health.recover()
        reporter.watch(time.monotonic_ns())
    texts = [m.fields["text"] for m in wire.of("statustext")]
    assert texts == [b"dips-edge: ACQUIRED tower #1", b"dips-edge: FAULT frozen"] * 2
