"""k of n detections in one place make a track; chance hits do not."""

import pytest

from edge_runtime.tracking import SEARCHING, TRACKING, Detection, Tracker, TrackSettings

MS = 1_000_000
FRAME = 33 * MS
LEFT, RIGHT, LARGE = (0.1, 0.4, 0.2, 0.5), (0.7, 0.4, 0.8, 0.5), (0.6, 0.1, 0.95, 0.9)


def run(tracker, frames, start=0):
    """One update per entry of `frames`: a list of boxes or of (box, score)."""
    updates = []
    for i, boxes in enumerate(frames, start=start):
        seen = [Detection(*b) if isinstance(b[0], tuple) else Detection(b, 0.8) for b in boxes]
        updates.append(tracker.update(i * FRAME, seen))
    return updates


@pytest.mark.parametrize(
    ("frames", "first"),
    [
        pytest.param([[LEFT]] * 3, 2, id="three running"),
        pytest.param([[LEFT], [], [LEFT], [], [LEFT]], 4, id="three of five"),
        pytest.param([[LEFT], [], [LEFT], [], [], [LEFT], []], None, id="three of six"),
        pytest.param([[LEFT], [RIGHT]] * 2, None, id="never in one place"),
        pytest.param([[LEFT], [RIGHT], [LEFT], [RIGHT], [LEFT]], 4, id="two places in turn: each for itself"),
        pytest.param([[LEFT, RIGHT]] * 2 + [[]] * 4, None, id="twice is not enough"),
        pytest.param([[]] * 8, None, id="nothing"),
    ],
)
def test_a_track_begins_with_the_third_hit_in_five_frames(frames, first):
    states = [update.state for update in run(Tracker(), frames)]
    assert TRACKING not in states[:first]
    if first is not None:
        assert states[first] == TRACKING


def test_no_track_begins_in_a_frame_without_its_detection():
    updates = run(Tracker(TrackSettings(acquire_hits=1, acquire_window=5)), [[], [LEFT]])
    assert [u.state for u in updates] == [SEARCHING, TRACKING]
    assert (updates[1].accepted, updates[1].box_src, updates[1].tid) == (0, "det", 1)


def test_the_larger_of_two_equally_often_seen_is_taken():
    last = run(Tracker(), [[LEFT, LARGE]] * 3)[-1]
    assert last.accepted == 1


def test_only_scores_from_score_high_on_begin_a_track_and_score_low_keeps_it():
    tracker = Tracker(TrackSettings(score_high=0.7, score_low=0.5))
    assert {u.state for u in run(tracker, [[(LEFT, 0.69)]] * 6)} == {SEARCHING}
    assert run(tracker, [[(LEFT, 0.7)]] * 3, start=6)[-1].state == TRACKING
    assert run(tracker, [[(LEFT, 0.5)]], start=9)[0].accepted == 0
    assert run(tracker, [[(LEFT, 0.49)]], start=10)[0].accepted is None


SPECK = (0.1, 0.4, 0.12, 0.42)


def test_a_speck_beside_something_large_neither_begins_nor_continues_a_track():
    tracker = Tracker()
    assert run(tracker, [[SPECK]] * 3)[-1].state == TRACKING  # alone it is all there is
    beside = run(tracker, [[LARGE, SPECK]] * 20, start=3)
    assert {u.accepted for u in beside} == {None, 0}
    assert next(i for i, u in enumerate(beside) if u.tid == 2) == 16  # 500 ms after the last of the speck


def test_a_speck_an_operator_pointed_at_is_kept():
    tracker = Tracker()
    tracker.seed((0.05, 0.35, 0.15, 0.45), 0)
    kept = run(tracker, [[LARGE, SPECK]] * 40, start=1)
    assert {(u.tid, u.accepted) for u in kept[2:]} == {(1, 1)}


def test_many_candidates_keep_the_number_of_hypotheses_bounded():
    tracker = Tracker(TrackSettings(acquire_hits=5))
    for i in range(40):
        row = [(0.02 * k, 0.02 * (i % 40), 0.02 * k + 0.015, 0.02 * (i % 40) + 0.015) for k in range(40)]
        tracker.update(i * FRAME, [Detection(box, 0.8) for box in row])
    assert len(tracker._acquisition._hypotheses) <= 6


def test_the_asset_is_found_among_ever_changing_clutter():
    tracker = Tracker()
    clutter = [(0.02 * k, 0.9, 0.02 * k + 0.01, 0.91) for k in range(40)]
    frames = [[LARGE, *clutter[11 * i % 30 : 11 * i % 30 + 10]] for i in range(3)]
    assert run(tracker, frames)[-1].accepted == 0
