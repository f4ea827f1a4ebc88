"""Threads, hand-overs and ends: nothing is lost unasked, nothing hangs, every loss is told."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from edge_runtime import pipeline
from edge_runtime.errors import DipsEdgeError, SinkError, SourceError
from edge_runtime.pipeline import Pipeline
from tests.edge_runtime.conftest import CONTRACT
from tests.edge_runtime.fakes import FakeBackend, FakeSink, FakeSource
from tests.edge_runtime.record_rules import problems

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_runtime.outcome import Outcome

HEADER = {"v": 1, "type": "header"}


def never() -> bool:
    return False


def fly(
    source: FakeSource,
    backend: FakeBackend,
    *sinks: FakeSink,
    stop_wanted: Callable[[], bool] = never,
    max_frames: int | None = None,
) -> Outcome:
    run = Pipeline(source, backend, sinks, contract=CONTRACT, header=HEADER, max_frames=max_frames)
    return run.run(stop_wanted)


def indices(sink: FakeSink) -> list[int]:
    return [record["frame"]["idx"] for record in sink.records]


def test_a_file_gives_one_valid_record_per_frame_to_every_sink_and_everything_is_closed():
    source, backend, sinks = FakeSource(20), FakeBackend(), [FakeSink("a"), FakeSink("b")]
    outcome = fly(source, backend, *sinks)
    for sink in sinks:
        assert sink.headers == [HEADER]
        assert indices(sink) == list(range(20))
        assert [problems(record, 150.0) for record in sink.records] == [[]] * 20
        assert sink.closed
    assert source.closed
    assert backend.closed
    assert (outcome.frames, outcome.detections, outcome.dropped, outcome.error) == (20, 20, 0, None)
    assert outcome.sinks[0] == {"name": "a", "written": 20, "dropped": 0, "failure": None}
    assert {name: stage["count"] for name, stage in outcome.stages.items()} == dict.fromkeys(
        ("capture", "wait", "pre", "infer", "post", "record", "age", "a", "b"), 20
    )


def test_a_slow_sink_holds_a_file_back_instead_of_losing_records():
    sink = FakeSink(seconds=0.01, capacity=1)
    outcome = fly(FakeSource(30), FakeBackend(), sink)
    assert indices(sink) == list(range(30))
    assert outcome.sinks[0]["dropped"] == 0


def test_the_age_of_a_file_frame_is_not_that_of_a_queue():
    sink = FakeSink()
    fly(FakeSource(8), FakeBackend(seconds=0.1), sink)
    ages_ms = sorted(record["age_ms"] for record in sink.records)
    assert 100 <= ages_ms[len(ages_ms) // 2] < 260  # its own inference and what was left of the one before


def test_a_live_source_keeps_the_newest_frame_and_flags_the_gap():
    sink = FakeSink()
    outcome = fly(FakeSource(40, live=True, period_s=0.005), FakeBackend(seconds=0.03), sink)
    seen = indices(sink)
    assert seen == sorted(set(seen))
    assert seen[-1] == 39  # the newest, not the oldest, is what remains
    assert outcome.dropped == 40 - len(seen) > 0
    gaps = [after - before > 1 for before, after in zip([-1, *seen], seen)]
    assert ["dropped" in record["flags"] for record in sink.records] == gaps


def test_a_slow_sink_of_a_live_source_loses_its_oldest_results_and_only_its_own():
    slow, fast = FakeSink("slow", seconds=0.05, capacity=1), FakeSink("fast", capacity=100)
    outcome = fly(FakeSource(40, live=True, period_s=0.005), FakeBackend(), slow, fast)
    assert outcome.sinks[0]["dropped"] == outcome.frames - len(slow.records) > 0
    assert outcome.sinks[1]["dropped"] == 0
    assert len(fast.records) == outcome.frames
    assert any("sink_dropped" in record["flags"] for record in fast.records)
    assert indices(slow)[-1] == indices(fast)[-1]


@pytest.mark.parametrize("live", [False, True], ids=["file", "live"])
def test_max_frames_ends_the_run_after_that_many_records(live):
    source, sink = FakeSource(10_000, live=live, period_s=0.001), FakeSink(capacity=50)
    outcome = fly(source, FakeBackend(), sink, max_frames=7)
    assert outcome.frames == len(sink.records) == 7
    assert source.closed
    assert outcome.error is None


@pytest.mark.parametrize("live", [False, True], ids=["file", "live"])
def test_a_stop_drains_within_a_second_and_is_no_error(live):
    source = FakeSource(10_000, live=live, period_s=0.005)
    backend, sink = FakeBackend(seconds=0.02), FakeSink(capacity=32)
    stop_at = time.monotonic() + 0.3
    outcome = fly(source, backend, sink, stop_wanted=lambda: time.monotonic() > stop_at)
    assert time.monotonic() - stop_at < 1.5  # one second, and a busy machine
    assert outcome.error is None
    assert outcome.stuck == ()
    assert len(sink.records) == outcome.frames > 3
    assert sink.closed
    assert source.closed
    assert backend.closed


def test_a_stop_does_not_wait_for_what_a_slow_sink_has_not_written():
    sink = FakeSink(seconds=0.25, capacity=32)
    stop_at = time.monotonic() + 0.2
    outcome = fly(FakeSource(10_000), FakeBackend(), sink, stop_wanted=lambda: time.monotonic() > stop_at)
    assert time.monotonic() - stop_at < 2.0
    assert sink.closed
    assert outcome.sinks[0]["dropped"] == outcome.frames - len(sink.records) > 0
    assert outcome.error is None


def test_a_camera_that_hangs_does_not_keep_a_run_from_stopping():
    sink = FakeSink()
    stop_at = time.monotonic() + 0.4
    source = FakeSource(3, live=True, period_s=0.05, hangs=True)
    outcome = fly(source, FakeBackend(), sink, stop_wanted=lambda: time.monotonic() > stop_at)
    assert time.monotonic() - stop_at < 2.0
    assert outcome.stuck == ("capture",)
    assert sink.closed
    assert len(sink.records) == 3


def test_a_sink_that_hangs_is_given_up_after_a_while(monkeypatch):
    monkeypatch.setattr(pipeline, "CLOSE_S", 0.3)
    hanging, good = FakeSink("hanging", seconds=3.0), FakeSink("good")
    stop_at = time.monotonic() + 0.1
    outcome = fly(
        FakeSource(10_000, live=True, period_s=0.01),
        FakeBackend(),
        hanging,
        good,
        stop_wanted=lambda: time.monotonic() > stop_at,
    )
    assert time.monotonic() - stop_at < 2.5
    assert outcome.stuck == ("sink hanging",)
    assert good.closed


@pytest.mark.parametrize(
    ("error", "line"),
    [
        pytest.param(SourceError("camera gone"), "camera gone", id="told by the source"),
        pytest.param(ValueError("odd\nsecond line"), "capture broke off: ValueError: odd", id="unexpected"),
    ],
)
def test_an_error_of_the_source_ends_the_run_and_keeps_what_came_before(error, line):
    sink = FakeSink()
    outcome = fly(FakeSource(5, error=error), FakeBackend(), sink)
    assert isinstance(outcome.error, DipsEdgeError)
    assert str(outcome.error).startswith(line)
    assert "\n" not in str(outcome.error)
    assert len(sink.records) == 5
    assert sink.closed


@pytest.mark.parametrize("live", [False, True], ids=["file", "live"])
def test_an_error_of_the_backend_ends_the_run_and_never_hangs(live):
    source, sink = FakeSource(10_000, live=live, period_s=0.001), FakeSink()
    backend = FakeBackend(error=RuntimeError("out of memory"), fails_at=3)
    started = time.monotonic()
    outcome = fly(source, backend, sink)
    assert time.monotonic() - started < 2.0
    assert str(outcome.error).startswith("inference broke off: RuntimeError: out of memory")
    assert len(sink.records) == 3
    assert sink.closed
    assert source.closed
    assert backend.closed


@pytest.mark.parametrize("live", [False, True], ids=["file", "live"])
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(SinkError("disk full"), "disk full", id="told by the sink"),
        pytest.param(OSError(28, "No space left on device"), "No space left on device", id="system"),
        pytest.param(KeyError(), "KeyError", id="unexpected"),
    ],
)
def test_a_sink_that_fails_is_told_once_and_the_run_goes_on(live, error, reason, caplog):
    bad, good = FakeSink("bad", error=error, fails_at=2), FakeSink("good", capacity=100)
    outcome = fly(FakeSource(20, live=live, period_s=0.002), FakeBackend(), bad, good)
    assert len(good.records) == outcome.frames > 2
    assert outcome.sinks[0]["failure"] == f"bad failed after 2 frame(s): {reason}"
    assert caplog.text.count("bad failed") == 1
    assert outcome.error is None
    assert bad.closed


def test_a_sink_that_cannot_be_closed_has_failed():
    sink = FakeSink("bad", close_error=SinkError("could not be finished"))
    outcome = fly(FakeSource(3), FakeBackend(), sink)
    assert outcome.sinks[0]["failure"] == "bad failed after 3 frame(s): could not be finished"


def test_a_run_without_a_working_sink_ends():
    source, bad = (
        FakeSource(100_000, period_s=0.001),
        FakeSink("bad", error=BrokenPipeError(32, "Broken pipe")),
    )
    outcome = fly(source, FakeBackend(), bad)
    assert source.delivered < 100
    assert outcome.reader_gone


def test_a_map_that_is_not_a_number_is_flagged_and_never_a_detection():
    sink = FakeSink()
    outcome = fly(FakeSource(3), FakeBackend(fill=float("nan")), sink)
    assert outcome.detections == 0
    assert [(r["state"], r["flags"], r["presence"]) for r in sink.records] == [
        ("SEARCHING", ["bad_map"], None)
    ] * 3
    assert [problems(record, 150.0) for record in sink.records] == [[]] * 3


def test_a_source_without_frames_still_gives_a_header():
    sink = FakeSink()
    outcome = fly(FakeSource(0), FakeBackend(), sink)
    assert (outcome.frames, outcome.fps, sink.headers, sink.records) == (0, None, [HEADER], [])
