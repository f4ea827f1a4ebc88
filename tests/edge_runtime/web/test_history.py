"""The page's chart: the worst of each half second, gaps where nothing came, a minute and no more."""

import pytest

from edge_runtime.sinks.web.history import BIN_NS, BINS, History

NOW_NS = 10_000 * BIN_NS + 123


def add(history, bins_ago, age_ms, infer_ms=1.0):
    record = {"t_emit_mono_ns": NOW_NS - bins_ago * BIN_NS, "age_ms": age_ms, "lat_ms": {"infer": infer_ms}}
    history.add(record)


def test_each_half_second_keeps_its_worst_and_a_gap_stays_a_gap():
    history = History()
    add(history, 3, 40.0, 30.0)
    add(history, 3, 90.04, 20.0)
    add(history, 3, 50.0, 10.0)
    add(history, 1, 41.0, 29.0)
    assert history.until(NOW_NS)[-4:] == [[90.0, 30.0], None, [41.0, 29.0], None]


@pytest.mark.parametrize("bins_ago", [BINS, BINS + 1, 5 * BINS])
def test_what_is_older_than_a_minute_is_not_shown(bins_ago):
    history = History()
    add(history, bins_ago, 40.0)
    found = history.until(NOW_NS)
    assert len(found) == BINS
    assert not any(found)


def test_an_old_half_second_makes_room_for_a_new_one_at_its_place():
    history = History()
    add(history, BINS, 500.0, 400.0)
    add(history, 0, 40.0, 30.0)
    assert history.until(NOW_NS)[-1] == [40.0, 30.0]
