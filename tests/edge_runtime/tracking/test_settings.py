"""Settings are checked once, with a line that names the field, what was given and what it must be."""

import pytest

from edge_runtime.errors import UsageError
from edge_runtime.tracking import TrackSettings


def test_the_defaults_are_those_of_the_guidance_contract():
    s = TrackSettings()
    assert (s.acquire_hits, s.acquire_window) == (3, 5)
    assert (s.coast_after_ms, s.lost_after_ms, s.search_after_ms) == (100.0, 500.0, 2000.0)
    assert s.recover_after_ms == 1000.0


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        pytest.param({"acquire_hits": 6}, "acquire_hits = 6, expected 1 to acquire_window (5)", id="hits"),
        pytest.param({"acquire_hits": 0}, "acquire_hits = 0, expected 1 to acquire_window (5)", id="no hits"),
        pytest.param({"acquire_window": 65}, "acquire_window = 65, expected 1 to 64 frames", id="window"),
        pytest.param({"score_high": 1.5}, "score_high = 1.5, expected 0 to 1", id="score"),
        pytest.param(
            {"score_high": 0.5, "score_low": 0.6}, "score_low = 0.6, expected 0 to score_high (0.5)", id="low"
        ),
        pytest.param(
            {"lost_after_ms": 100}, "lost_after_ms = 100, expected more than coast_after_ms (100)", id="lost"
        ),
        pytest.param(
            {"search_after_ms": 400},
            "search_after_ms = 400, expected at least lost_after_ms (500)",
            id="search",
        ),
        pytest.param({"least_area_share": 2}, "least_area_share = 2, expected 0 to 1", id="speck"),
        pytest.param({"gate_covered": 1.1}, "gate_covered = 1.1, expected above 0, at most 1", id="covered"),
        pytest.param({"gate_iou": 0.0}, "gate_iou = 0, expected above 0, at most 1", id="gate"),
        pytest.param(
            {"coast_after_ms": float("nan")},
            "coast_after_ms = nan, expected finite and not negative",
            id="nan",
        ),
        pytest.param({"size_noise_log": 0.0}, "size_noise_log = 0, expected above 0", id="noise"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_by_name(wrong, line):
    with pytest.raises(UsageError) as caught:
        TrackSettings(**wrong)
    assert str(caught.value) == f"tracking setting {line}"
