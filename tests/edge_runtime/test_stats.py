"""Percentiles of the stage times, against numpy on the same numbers."""

import numpy as np
import pytest

from edge_runtime.stats import Histogram, Stages, format_table


@pytest.mark.parametrize("percent", [50, 95, 99])
@pytest.mark.parametrize("scale_ms", [0.02, 3.0, 400.0])
def test_percentiles_are_within_one_percent_of_the_true_ones(percent, scale_ms):
    durations_ns = (np.random.default_rng(1).lognormal(0.0, 0.6, 4000) * scale_ms * 1e6).astype(np.int64)
    histogram = Histogram()
    for duration in durations_ns.tolist():
        histogram.add(duration)
    true_ms = np.percentile(durations_ns, percent, method="inverted_cdf") / 1e6
    assert histogram.percentiles_ms(percent)[0] == pytest.approx(true_ms, rel=0.0101)


def test_summary_of_a_few_durations():
    histogram = Histogram()
    for ms in (1, 2, 3, 10):
        histogram.add(ms * 1_000_000)
    summary = histogram.summary()
    assert summary["count"] == 4
    assert summary["mean_ms"] == 4.0
    assert summary["max_ms"] == 10.0
    assert summary["p50_ms"] == pytest.approx(2.0, rel=0.01)
    assert summary["p99_ms"] == pytest.approx(10.0, rel=0.01)


@pytest.mark.parametrize("duration_ns", [0, 1, 10**15], ids=["nothing", "one ns", "eleven days"])
def test_extreme_durations_are_counted(duration_ns):
    histogram = Histogram()
    histogram.add(duration_ns)
    assert histogram.summary()["count"] == 1
    assert histogram.summary()["max_ms"] == pytest.approx(duration_ns / 1e6, abs=1e-4)


def test_a_stage_without_durations_has_no_percentiles():
    unknown = dict.fromkeys(("mean_ms", "p50_ms", "p95_ms", "p99_ms", "max_ms"))
    assert Histogram().summary() == {"count": 0, **unknown}


def test_the_table_has_one_aligned_line_per_stage():
    stages = Stages("infer", "post")
    stages["infer"].add(28_400_000)
    lines = format_table(stages.summary()).splitlines()
    assert [line.split()[0] for line in lines] == ["ms", "infer", "post"]
    assert [float(cell) for cell in lines[1].split()[1:]] == pytest.approx([28.4] * 4, rel=0.01)
    assert lines[2].split()[1:] == ["-"] * 4
    assert len({len(line) for line in lines}) == 1
