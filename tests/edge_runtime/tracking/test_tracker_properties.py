"""What holds whatever happens: any order of frames, ticks, faults and an operator's requests."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.tracking import (
    COASTING,
    FAULT,
    LOST,
    SEARCHING,
    TRACKING,
    Detection,
    Tracker,
    TrackSettings,
)

MS = 1_000_000
LIMITS = TrackSettings()
PLACES = ((0.4, 0.4, 0.6, 0.6), (0.42, 0.4, 0.62, 0.6), (0.05, 0.05, 0.15, 0.15), (0.0, 0.3, 1.0, 0.9))
ODD = ((math.nan,) * 4, (0.6, 0.4, 0.4, 0.6), (-0.2, 0.4, 0.4, 0.6))
# what may follow what within one call, beside staying
STEPS = {
    (SEARCHING, TRACKING),
    (TRACKING, COASTING),
    (TRACKING, LOST),
    (COASTING, TRACKING),
    (COASTING, LOST),
    (LOST, SEARCHING),
    (LOST, TRACKING),
}
LET_GO = {(TRACKING, SEARCHING), (COASTING, SEARCHING), (LOST, SEARCHING)}

seen = st.lists(
    st.builds(Detection, st.sampled_from(PLACES * 3 + ODD), st.sampled_from([0.8, 0.3, math.nan])), max_size=4
)
steady = st.just([Detection(PLACES[0], 0.8)])
pauses_ms = st.sampled_from([0, 1, 20, 40, 40, 40, 120, 450, 501, 1100, -30, -700])
calls = st.one_of(
    st.tuples(st.just("update"), st.one_of(steady, seen)),
    st.tuples(st.just("update"), steady),
    st.tuples(st.sampled_from(["tick", "release", "fault", "healthy", "healthy"]), st.none()),
    st.tuples(st.just("seed"), st.sampled_from(PLACES)),
)
silence = st.tuples(st.sampled_from([60, 120, 400]), st.sampled_from([("tick", None), ("update", [])]))
# anything, and what takes several calls to come about: a track, a loss, a recovery
runs = st.one_of(
    st.lists(st.tuples(pauses_ms, calls), max_size=6),
    st.lists(st.tuples(st.just(40), st.tuples(st.just("update"), steady)), min_size=3, max_size=6),
    st.lists(silence, min_size=1, max_size=8),
    st.lists(st.tuples(st.sampled_from([500, 999]), st.just(("healthy", None))), min_size=1, max_size=4),
)
histories = st.lists(runs, max_size=10).map(lambda parts: [call for part in parts for call in part])


def play(history):
    """Yields (name, time in ns, argument, newest time of any call or frame before it, update)."""
    tracker, t_ns, newest_ns, captured_ns = Tracker(LIMITS), 10**10, 0, -1
    for pause_ms, (name, argument) in history:
        t_ns += pause_ms * MS
        if name == "update":
            update = tracker.update(t_ns, argument)
        elif name == "seed":
            update = tracker.seed(argument, t_ns)
        elif name == "fault":
            update = tracker.fault("a reason", t_ns)
        else:
            update = getattr(tracker, name)(t_ns)
        yield name, t_ns, argument, newest_ns, captured_ns, update
        newest_ns = t_ns if name == "fault" else max(newest_ns, t_ns)
        if name == "update" and update.state != FAULT:
            captured_ns = max(captured_ns, t_ns)
        elif name == "fault":
            captured_ns = -1


@settings(max_examples=100, deadline=None)
@given(histories)
def test_a_box_exists_exactly_in_tracking_and_coasting_and_coasting_is_predicted(history):
    for *_, update in play(history):
        with_box = update.state in (TRACKING, COASTING)
        for value in (update.box_xyxy, update.box_src, update.tid, update.box_std):
            assert (value is not None) == with_box
        assert (update.box_src == "det") == (update.accepted is not None) == (update.score is not None)
        if update.state == COASTING:
            assert update.box_src == "pred"
        if update.box_xyxy is not None:
            x0, y0, x1, y1 = update.box_xyxy
            assert 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1
            assert all(0 < value < math.inf for value in update.box_std)
        assert (update.reason is not None) == (update.state == FAULT)


@settings(max_examples=100, deadline=None)
@given(histories)
def test_the_number_of_the_track_changes_exactly_on_acquisition(history):
    last_tid, last_state = 0, SEARCHING
    for *_, update in play(history):
        begins = update.state == TRACKING and last_state in (SEARCHING, LOST)
        if begins:
            assert update.tid == last_tid + 1
            assert update.box_src == "det"
            last_tid = update.tid
        elif update.tid is not None:
            assert update.tid == last_tid
        last_state = update.state


@settings(max_examples=100, deadline=None)
@given(histories)
def test_states_follow_each_other_only_as_the_table_says(history):
    state = SEARCHING
    for name, *_, update in play(history):
        step = (state, update.state)
        assert update.transition == (None if state == update.state else step)
        if state != update.state:
            if name == "fault":
                assert update.state == FAULT
            elif name in ("release", "seed"):
                assert step in LET_GO
            elif state == FAULT:
                assert name == "healthy" and update.state == SEARCHING
            else:
                assert step in STEPS
        state = update.state


@settings(max_examples=100, deadline=None)
@given(histories)
def test_no_stale_repeated_or_impossible_detection_is_ever_accepted(history):
    for name, t_ns, argument, newest_ns, captured_ns, update in play(history):
        if update.accepted is None:
            continue
        assert name == "update"
        assert t_ns > captured_ns
        assert newest_ns - t_ns <= LIMITS.lost_after_ms * MS
        chosen = argument[update.accepted]
        assert chosen.box_xyxy in PLACES and chosen.score >= LIMITS.score_low
        assert update.since_det_ms == 0.0


@settings(max_examples=100, deadline=None)
@given(histories)
def test_tracking_needs_k_detections_among_the_last_n_frames(history):
    frames = []
    last_state = SEARCHING
    for name, t_ns, argument, _, captured_ns, update in play(history):
        if name == "update" and t_ns > captured_ns:
            frames.append(any(d.box_xyxy in PLACES and d.score >= LIMITS.score_high for d in argument))
        if update.state == TRACKING and last_state in (SEARCHING, LOST):
            assert sum(frames[-LIMITS.acquire_window :]) >= LIMITS.acquire_hits
        last_state = update.state


@settings(max_examples=100, deadline=None)
@given(histories)
def test_the_same_calls_give_the_same_updates(history):
    assert list(map(repr, play(history))) == list(map(repr, play(history)))
