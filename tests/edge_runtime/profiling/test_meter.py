"""Meter: the warm-up is left out, stages keep their order, spans are kept for a trace."""

from __future__ import annotations

import time

import pytest

from edge_runtime.profiling.meter import Meter


def frame(meter, number, *, age_ns=3_000_000):
    now_ns = time.monotonic_ns()
    meter.span("infer", "inference", number, now_ns, 2_000_000, 1_500_000)
    meter.span("boxes", "inference", number, now_ns, 500_000, 500_000)
    meter.span("age", "", number, now_ns, age_ns, None)


def test_the_warm_up_is_left_out_and_measuring_begins_after_it():
    begun = []
    meter = Meter("age", warmup=3, deadline_ms=10.0, on_begin=begun.append)
    for number in range(10):
        frame(meter, number)
        assert (meter.begin_ns is not None) == (number >= 2)
    meter.finish()
    report = meter.report(("infer", "boxes", "age"))
    assert begun == [meter.begin_ns]
    assert report["frames"] == 7
    assert {name: stage["n"] for name, stage in report["stages"].items()} == {
        "infer": 7,
        "boxes": 7,
        "age": 7,
    }


def test_a_span_that_began_in_the_warm_up_is_no_measurement():
    meter = Meter("age", warmup=1, deadline_ms=10.0)
    early_ns = time.monotonic_ns()
    frame(meter, 0)
    meter.span("sink x", "sink x", 0, early_ns, 50, 50)
    frame(meter, 1)
    assert "sink x" not in meter.report(())["stages"]


def test_stages_come_in_their_order_with_thread_and_parent_and_misses_are_counted():
    meter = Meter("age", warmup=0, deadline_ms=10.0)
    for number in range(20):
        frame(meter, number, age_ns=20_000_000 if number % 4 == 0 else 5_000_000)
    meter.finish()
    report = meter.report(("boxes", "infer", "age"), {"boxes": "infer"})
    assert list(report["stages"]) == ["boxes", "infer", "age"]
    assert report["stages"]["boxes"]["inside"] == "infer"
    assert report["stages"]["infer"]["thread"] == "inference"
    assert report["missed"] == {"count": 5, "share": 0.25}
    assert report["stages"]["infer"]["cpu_ms"] == pytest.approx(1.5)


@pytest.mark.parametrize("keep", [True, False])
def test_spans_are_kept_only_for_a_trace(keep):
    meter = Meter("age", warmup=0, deadline_ms=10.0, keep_spans=keep)
    frame(meter, 5)
    assert [span.stage for span in meter.spans] == (["infer", "boxes", "age"] if keep else [])


def test_the_cpu_time_is_that_of_the_whole_process_while_measuring():
    meter = Meter("age", warmup=0, deadline_ms=10.0)
    until_s = time.process_time() + 0.05
    while time.process_time() < until_s:
        pass
    frame(meter, 0)
    meter.finish()
    cpu = meter.process_cpu()
    assert 50 <= cpu["ms_per_frame"] < 100
    assert 0.1 < cpu["cores_busy"] <= 2.0
