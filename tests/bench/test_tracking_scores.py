"""The scores behind the tracking table, on clips a few frames long."""

import json

import pytest

from tests.bench.tracking_scores import Report, Truth, read_truth, score

BOX, OFF, FAR = (0.4, 0.4, 0.6, 0.6), (0.45, 0.4, 0.65, 0.6), (0.0, 0.0, 0.1, 0.1)


def clip(pattern: str) -> list[Truth]:
    """One frame every 0.1 s: P present, h hardly visible, - nothing in view, D present but damaged."""
    return [Truth(0.1 * i, () if c == "-" else (BOX,), c in "PD", c == "D") for i, c in enumerate(pattern)]


def reports(pattern: str) -> list[Report]:
    """X a fresh box that fits, x the same predicted, F a fresh one elsewhere, - nothing."""
    kinds = {"X": Report(BOX, True, 1), "x": Report(BOX, False, 1), "F": Report(FAR, True, 2), "-": Report()}
    return [kinds[c] for c in pattern]


def test_boxes_are_counted_over_undamaged_frames_with_the_asset():
    scores = score(reports("X-xFX"), clip("PPPPD"))
    assert (scores.present, scores.found, scores.good, scores.good_fresh) == (4, 3, 2, 1)
    assert scores.tracks == 2


@pytest.mark.parametrize(
    ("told", "true", "absent", "false"),
    [
        pytest.param("F" * 8, "P-------", 2, 2, id="only from 500 ms after it left"),
        pytest.param("X-----XX", "P-------", 2, 2, id="fresh"),
        pytest.param("x" * 8, "P-------", 2, 0, id="predicted is not fresh"),
        pytest.param("FF", "--", 2, 2, id="never there"),
        pytest.param("F" * 8, "Phhhhhhh", 0, 0, id="hardly visible is not gone"),
    ],
)
def test_a_fresh_box_after_the_asset_has_left_is_false(told, true, absent, false):
    scores = score(reports(told), clip(true))
    assert (scores.absent, scores.false_fresh) == (absent, false)


@pytest.mark.parametrize(
    ("told", "true", "waits", "never"),
    [
        pytest.param("X", "P", [0.0], 0, id="at once"),
        pytest.param("-FxX", "PPPP", [0.3], 0, id="elsewhere and predicted do not count"),
        pytest.param("X--X", "P-PP", [0.0, 0.1], 0, id="once for each time it comes"),
        pytest.param("X-X", "PhP", [0.0], 0, id="hardly visible in between is the same time"),
        pytest.param("---", "P-P", [], 2, id="never"),
    ],
)
def test_the_wait_for_a_fitting_box(told, true, waits, never):
    scores = score(reports(told), clip(true))
    assert scores.waits_s == pytest.approx(waits)
    assert scores.never == never


def test_jitter_is_the_second_difference_of_the_error():
    told = [Report(BOX, True), Report(OFF, True), Report(BOX, True), Report()]
    scores = score(told, clip("PPPP"))
    assert scores.jitter_centre == pytest.approx([-0.1, 0.0])
    assert scores.jitter_size == pytest.approx([0.0, 0.0])


def test_scores_of_clips_add_up():
    both = score(reports("X"), clip("P"))
    both += score(reports("-X"), clip("PP"))
    assert (both.present, both.good, both.waits_s) == (3, 2, [0.0, 0.1])


def test_truth_is_read_in_fractions_of_the_frame(tmp_path):
    row = {"frame": 0, "t": 0.04, "objects": [{"box": [64, 48, 320, 240], "visible": 1}], "present": True}
    path = tmp_path / "clip.gt.jsonl"
    path.write_text(json.dumps(row) + "\n" + json.dumps({**row, "events": ["black"]}) + "\n")
    first, second = read_truth(path, 640, 480)
    assert first == Truth(0.04, ((0.1, 0.1, 0.5, 0.5),), True, False)
    assert second.damaged
