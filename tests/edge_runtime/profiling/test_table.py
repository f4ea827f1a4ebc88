"""What a report says on a terminal."""

from __future__ import annotations

import pytest

from edge_runtime.profiling import breakdown, words
from edge_runtime.profiling.table import as_text
from tests.edge_runtime.profiling.samples import profile
from tests.edge_runtime.profiling.shapes import NASTY, SHAPES, shaped


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_of_report_fits_a_hundred_columns(name):
    text = as_text(shaped(name))
    assert max(map(len, text.splitlines())) <= 100
    for word in ("None", "nan", "inf ", "{", "}"):
        assert word not in text


def test_names_from_outside_bring_no_control_characters():
    text = as_text(shaped("hostile"))
    assert all(line.isprintable() for line in text.splitlines())
    assert NASTY not in text
    assert max(map(len, text.splitlines())) <= 100


def test_partial_is_said_first_and_loudly():
    report = {**profile(frames=50), "partial": "the source ended after 50 of 100 frames"}
    assert as_text(report).startswith("PARTIAL: the source ended after 50 of 100 frames\n")


def test_the_table_holds_the_figures_of_the_report():
    report = profile()
    line = next(line for line in as_text(report).splitlines() if line.startswith("  age "))
    age = report["pipeline"]["stages"]["age"]
    figures = ("mean", "p50", "p90", "p95", "p99", "p99_9", "max", "jitter")
    assert line.split() == ["age", "2000", *(f"{age[name + '_ms']:.2f}" for name in figures), "-"]


def test_parts_stand_indented_below_what_they_are_parts_of():
    lines = as_text(shaped("with parts")).splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("  infer "))
    assert [line[:9] for line in lines[place + 1 : place + 4]] == ["    h2d  ", "    compu", "    d2h  "]
    assert lines[place + 4].startswith("  boxes ")


@pytest.mark.parametrize(
    "said",
    [
        "5 of 2000 frames missed the deadline of 20 ms (0.25 %)",
        "none of 2000 frames missed the deadline of 20 ms",
        "boxes in 1000, 666 valid, 0 dropped, process: 1.40 cores busy, 14.20 ms of CPU per frame",
        "most of age: infer, 85 %",
        "frame rate limited by thread inference, busy 90 % of the time",
        "layers: 60 in 16.95 ms, 100 runs, timed by TensorRT 10.3.0",
        "Conv x 15",
        "throttled for 3.33 min",
        "energy: 140 mJ per frame, 9.5 W on VDD_IN",
        "note: soc0 temperature: cannot be read (No data available)",
        "MAXN_SUPER, clocks fixed",
    ],
)
def test_a_report_says(said):
    assert said in " ".join(as_text(profile()).split())


def test_only_the_ten_slowest_layers_are_listed():
    text = as_text(profile())
    assert "/encoder/blocks.9/" in text
    assert "/encoder/blocks.10/" not in text


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0, "0 %"),
        (1e-6, "< 0.01 %"),
        (0.0025, "0.25 %"),
        (0.051, "5.1 %"),
        (0.64, "64 %"),
        (0.9951, "99.51 %"),
        (0.99996, "> 99.99 %"),
        (1, "100 %"),
    ],
)
def test_a_share_is_never_rounded_to_nothing_or_to_all(share, said):
    assert words.percent(share) == said


@pytest.mark.parametrize(
    ("value", "said"), [(None, "-"), (0.0, "0.00"), (0.0512, "0.051"), (1.234, "1.23"), (123.456, "123.5")]
)
def test_times_keep_three_digits(value, said):
    assert words.ms(value) == said


def test_the_parts_of_the_age_add_up_and_leave_out_what_came_before_it():
    report = profile()
    parts = breakdown.parts_of_total(report["pipeline"])
    assert [part.name for part in parts] == ["wait", "pre", "infer", "boxes", "track", "record"]
    assert sum(part.share for part in parts) == pytest.approx(1)
    assert sum(part.mean_ms for part in parts) == pytest.approx(
        report["pipeline"]["stages"]["age"]["mean_ms"]
    )
    assert breakdown.largest_part(report["pipeline"]).name == "infer"


def test_time_that_no_stage_explains_is_called_other():
    report = profile()
    del report["pipeline"]["stages"]["pre"]
    last = breakdown.parts_of_total(report["pipeline"])[-1]
    assert last.name == "other"
    assert last.mean_ms == pytest.approx(1.1, abs=0.1)


def test_a_live_source_may_be_what_limits_the_rate():
    report = profile()
    report["source"]["live"] = True
    report["pipeline"]["seconds"] *= 2
    assert breakdown.bound_by(report, "pipeline").startswith(
        "the source: the busiest thread, inference, works 4"
    )


def test_long_names_are_cut_in_the_middle():
    assert words.plain("abcdefghij", 5) == "ab…ij"
    assert (
        words.plain("a\nb\u202ec\ud800")
        == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c\N{REPLACEMENT CHARACTER}"
    )
