"""The states of a track in time: when it coasts, is lost, comes back, and what an operator may ask."""

import pytest

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
BOX, ASIDE, FAR = (0.40, 0.40, 0.60, 0.60), (0.42, 0.40, 0.62, 0.60), (0.05, 0.05, 0.15, 0.15)


def see(tracker, t_ms, *boxes):
    return tracker.update(round(t_ms * MS), [Detection(box, 0.8) for box in boxes])


def acquired(settings=None, box=BOX, until_ms=80):
    """A tracker in TRACKING since `until_ms`, the capture of its last detection."""
    tracker = Tracker(settings)
    for t_ms in (until_ms - 80, until_ms - 40, until_ms):
        last = see(tracker, t_ms, box)
    assert last.state == TRACKING
    return tracker


@pytest.mark.parametrize(
    ("age_ms", "state", "source"),
    [
        pytest.param(100, TRACKING, "pred", id="100 ms: still tracking, but predicted"),
        pytest.param(101, COASTING, "pred", id="after 100 ms"),
        pytest.param(500, COASTING, "pred", id="500 ms"),
        pytest.param(501, LOST, None, id="after 500 ms"),
        pytest.param(9000, LOST, None, id="however late, the loss is told first"),
    ],
)
@pytest.mark.parametrize("how", ["empty frame", "tick"])
def test_age_alone_moves_the_state_on(age_ms, state, source, how):
    tracker = acquired()
    t_ns = (80 + age_ms) * MS
    last = tracker.tick(t_ns) if how == "tick" else tracker.update(t_ns, [])
    assert (last.state, last.box_src, last.since_det_ms) == (state, source, age_ms)
    assert last.transition == (None if state == TRACKING else (TRACKING, state))
    assert (last.tid, last.accepted, last.score) == (1 if source else None, None, None)


@pytest.mark.parametrize(("age_ms", "state"), [(2000, LOST), (2001, SEARCHING)])
def test_a_lost_track_is_searched_for_two_seconds_after_its_last_detection(age_ms, state):
    tracker = acquired()
    tracker.tick((80 + 600) * MS)
    assert tracker.tick((80 + age_ms) * MS).state == state


def test_a_coasting_track_goes_on_with_a_detection_in_its_place():
    tracker = acquired()
    assert see(tracker, 80 + 200).state == COASTING
    back = see(tracker, 80 + 240, ASIDE)
    assert (back.state, back.tid, back.box_src, back.transition) == (TRACKING, 1, "det", (COASTING, TRACKING))


def test_a_detection_elsewhere_does_not_move_the_track():
    tracker = acquired()
    other = see(tracker, 120, FAR)
    assert (other.state, other.accepted, other.box_src) == (TRACKING, None, "pred")
    both = see(tracker, 160, FAR, ASIDE)
    assert (both.accepted, both.score) == (1, 0.8)


def test_what_appears_elsewhere_becomes_the_next_track_once_the_old_is_lost():
    tracker = acquired()
    states = [(u.state, u.tid) for u in (see(tracker, 120 + 40 * i, FAR) for i in range(14))]
    assert states[11:] == [(COASTING, 1), (LOST, None), (TRACKING, 2)]


def test_a_lost_asset_that_comes_back_needs_k_of_n_again_and_gets_a_new_number():
    tracker = acquired()
    tracker.tick(700 * MS)
    back = [see(tracker, t_ms, BOX) for t_ms in (720, 760, 800)]
    assert [(u.state, u.tid) for u in back] == [(LOST, None), (LOST, None), (TRACKING, 2)]


def test_a_detection_after_a_gap_longer_than_the_loss_does_not_continue_the_track():
    late = see(acquired(), 80 + 501, BOX)
    assert (late.state, late.accepted, late.transition) == (LOST, None, (TRACKING, LOST))


@pytest.mark.parametrize("t_ms", [pytest.param(80, id="equal stamp"), pytest.param(60, id="out of order")])
def test_a_frame_not_newer_than_the_last_is_ignored(t_ms):
    tracker, undisturbed = acquired(), acquired()
    ignored = see(tracker, t_ms, FAR)
    assert (ignored.state, ignored.accepted, ignored.box_src) == (TRACKING, None, "pred")
    assert see(tracker, 120, ASIDE) == see(undisturbed, 120, ASIDE)


def test_a_frame_older_than_the_loss_when_it_comes_is_no_news():
    tracker = Tracker()
    tracker.tick(2000 * MS)
    assert {see(tracker, t_ms, BOX).state for t_ms in (1300, 1400, 1499)} == {SEARCHING}
    assert [see(tracker, t_ms, BOX).state for t_ms in (1500, 1540, 1580)][-1] == TRACKING


def test_a_box_that_is_none_is_never_accepted():
    tracker = acquired()
    for wrong in ((float("nan"),) * 4, (0.6, 0.4, 0.4, 0.6), (0.4, 0.4, 1.4, 0.6)):
        assert see(tracker, 90 + 10 * abs(hash(wrong)) % 7, wrong).accepted is None


def test_a_fault_ends_the_track_and_only_a_second_of_health_ends_the_fault():
    tracker = acquired()
    fault = tracker.fault("no frame for 200 ms", 300 * MS)
    assert (fault.state, fault.box_xyxy, fault.reason) == (FAULT, None, "no frame for 200 ms")
    assert fault.transition == (TRACKING, FAULT)
    assert see(tracker, 340, BOX).state == FAULT
    assert tracker.tick(9000 * MS).state == FAULT
    assert tracker.healthy(9000 * MS).state == FAULT
    assert tracker.healthy(9999 * MS).state == FAULT
    tracker.fault("again", 9999 * MS)
    assert tracker.healthy(10_000 * MS).state == FAULT
    well = tracker.healthy(11_000 * MS)
    assert (well.state, well.transition, well.reason) == (SEARCHING, (FAULT, SEARCHING), None)
    assert [see(tracker, t, BOX).tid for t in (11_040, 11_080, 11_120)] == [None, None, 2]


def test_after_a_fault_capture_times_may_start_anew():
    tracker = acquired(until_ms=50_000)
    tracker.fault("the clock of the camera stepped", 100 * MS)
    for t_ms in (200, 1200):
        tracker.healthy(t_ms * MS)
    assert [see(tracker, t, BOX).state for t in (1240, 1280, 1320)][-1] == TRACKING


def test_an_operators_stop_holds_the_next_track_off():
    tracker = acquired()
    stopped = tracker.release(90 * MS)
    assert (stopped.state, stopped.box_xyxy, stopped.transition) == (SEARCHING, None, (TRACKING, SEARCHING))
    updates = [see(tracker, t_ms, BOX) for t_ms in range(120, 2200, 40)]
    first = next(i for i, u in enumerate(updates) if u.state == TRACKING)
    assert 120 + 40 * first == 2120  # the first frame 2000 ms after the stop
    assert updates[first].tid == 2


def test_a_seed_ends_the_hold_but_is_no_lock():
    tracker = acquired()
    tracker.release(90 * MS)
    assert tracker.seed(BOX, 100 * MS).state == SEARCHING
    assert [see(tracker, t_ms, BOX).state for t_ms in (120, 160, 200)] == [SEARCHING, SEARCHING, TRACKING]


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        pytest.param(None, 0, id="without a seed the larger"),
        pytest.param((0.0, 0.0, 0.2, 0.2), 1, id="with one what lies there"),
        pytest.param((0.8, 0.8, 0.9, 0.9), 0, id="where nothing is: as without"),
    ],
)
def test_a_seed_says_which_comes_first(seed, expected):
    tracker = Tracker()
    if seed is not None:
        tracker.seed(seed, 0)
    assert [see(tracker, t_ms, BOX, FAR) for t_ms in (40, 80, 120)][-1].accepted == expected


def test_others_wait_for_what_gathers_hits_at_the_seed_until_the_seed_expires():
    tracker = Tracker(TrackSettings(seed_for_ms=300.0))
    tracker.seed(FAR, 0)
    frames = [(BOX, FAR) if i % 4 == 0 else (BOX,) for i in range(9)]
    updates = [see(tracker, 40 * (i + 1), *boxes) for i, boxes in enumerate(frames)]
    assert [u.state for u in updates].index(TRACKING) == 7  # the first frame from 300 ms on
    assert updates[7].accepted == 0


@pytest.mark.parametrize(
    ("seed", "state"),
    [
        pytest.param((0.3, 0.3, 0.7, 0.7), TRACKING, id="around the track: it goes on"),
        pytest.param((0.0, 0.0, 0.2, 0.2), SEARCHING, id="elsewhere: it is let go"),
    ],
)
def test_a_seed_during_a_track(seed, state):
    assert acquired().seed(seed, 90 * MS).state == state


def test_the_prediction_follows_the_motion_and_is_no_detection():
    tracker = Tracker()
    for i in range(30):
        last = see(tracker, 40 * i, (0.1 + 0.01 * i, 0.4, 0.3 + 0.01 * i, 0.6))
    ahead = last.predicted((40 * 29 + 100) * MS)
    assert ahead == pytest.approx((0.1 + 0.01 * 31.5, 0.4, 0.3 + 0.01 * 31.5, 0.6), abs=0.004)
    assert last.predicted(40 * 28 * MS) is None
    assert Tracker().tick(0).predicted(0) is None
    coasting = see(tracker, 40 * 29 + 100)
    assert (coasting.box_xyxy, coasting.box_src) == (ahead, "pred")
