"""Samples: exact where they say so, bounded, and honest about few values."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.profiling.samples import BLOCKS, Samples


def filled(durations_ms, *, deadline_ms=None, most_kept=1 << 18, cpu_share=None, period_ms=10.0):
    samples = Samples(None if deadline_ms is None else int(deadline_ms * 1e6), most_kept)
    for i, duration_ms in enumerate(durations_ms):
        cpu_ns = None if cpu_share is None else int(cpu_share * duration_ms * 1e6)
        samples.add(int(i * period_ms * 1e6), round(duration_ms * 1e6), cpu_ns)
    return samples


def test_statistics_are_those_of_numpy():
    values = np.random.default_rng(1).gamma(9.0, 1.0, 5000)
    found = filled(values, cpu_share=0.5).statistics()
    assert found["n"] == found["sampled"] == 5000
    for percent, name in ((50, "p50_ms"), (90, "p90_ms"), (95, "p95_ms"), (99, "p99_ms"), (99.9, "p99_9_ms")):
        assert found[name] == pytest.approx(np.percentile(values, percent), abs=1e-4)
    assert found["mean_ms"] == pytest.approx(values.mean(), abs=1e-4)
    assert found["std_ms"] == pytest.approx(values.std(), abs=1e-4)
    assert found["max_ms"] == pytest.approx(values.max(), abs=1e-4)
    assert found["cpu_ms"] == pytest.approx(values.mean() / 2, abs=1e-4)
    assert found["jitter_ms"] == pytest.approx(np.abs(np.diff(values)).mean(), abs=1e-4)
    assert len(found["blocks_p50_ms"]) == len(found["blocks_p99_ms"]) == BLOCKS


@pytest.mark.parametrize(
    ("count", "unknown"),
    [
        pytest.param(1, {"p90_ms", "p95_ms", "p99_ms", "p99_9_ms", "jitter_ms", "cpu_ms"}, id="one value"),
        pytest.param(99, {"p99_ms", "p99_9_ms", "cpu_ms"}, id="too few for p99"),
        pytest.param(999, {"p99_9_ms", "cpu_ms"}, id="too few for p99.9"),
        pytest.param(1000, {"cpu_ms"}, id="enough for all"),
    ],
)
def test_a_percentile_that_needs_more_values_is_unknown(count, unknown):
    found = filled([1.0] * count).statistics()
    assert {name for name, value in found.items() if value is None} == unknown


def test_memory_is_bounded_and_what_is_kept_stays_even():
    values = np.linspace(1.0, 2.0, 100_000)
    samples = filled(values, deadline_ms=1.5, most_kept=1000)
    found = samples.statistics()
    assert 500 <= found["sampled"] < 1000
    assert (found["n"], samples.late) == (100_000, int((values > 1.5).sum()))
    assert found["p50_ms"] == pytest.approx(1.5, abs=0.01)
    assert found["max_ms"] == pytest.approx(2.0)
    assert np.ptp(np.diff(samples.starts_ns)) == 0
    timeline = samples.timeline(0, 1_000_000_000_000)
    assert sum(window["n"] for window in timeline) == pytest.approx(100_000, rel=0.01)
    assert sum(window["missed"] for window in timeline) == pytest.approx(samples.late, rel=0.02)


def test_the_timeline_shows_when_it_was_slow():
    values = [10.0] * 500 + [30.0] * 500
    windows = filled(values, deadline_ms=20.0).timeline(0, 10_000_000_000)
    early = [window for window in windows if window["t_s"] < 5]
    late = [window for window in windows if window["t_s"] > 5]
    assert {window["p50_ms"] for window in early} == {10.0}
    assert {window["p50_ms"] for window in late} == {30.0}
    assert sum(window["missed"] for window in windows) == 500


@pytest.mark.parametrize("values", [[5.0], [5.0] * 50, list(np.linspace(1, 9, 700)), [1.0] * 2000 + [400.0]])
def test_a_histogram_holds_every_value(values):
    histogram = filled(values).histogram()
    assert sum(histogram["counts"]) == len(values)
    assert len(histogram["edges_ms"]) == len(histogram["counts"]) + 1
    assert histogram["edges_ms"] == sorted(histogram["edges_ms"])
    assert histogram["edges_ms"][-1] >= max(values) - 1e-6
