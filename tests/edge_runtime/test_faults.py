"""What goes wrong in flight: told in every record, never raised, and over when its cause is."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from edge_runtime.backends.onnx_cpu import OnnxCpu
from edge_runtime.frames import Frame
from edge_runtime.live import RunContext
from edge_runtime.pipeline import Pipeline
from edge_runtime.sources import SourceOptions, open_source
from edge_runtime.summary import live_line
from edge_runtime.tracking import Tracker, TrackSettings
from tests.edge_runtime.conftest import CONTRACT, square_frame
from tests.edge_runtime.fakes import FakeBackend, FakeSink, FakeSource
from tests.edge_runtime.record_rules import problems
from tests.edge_runtime.tcp_server import TcpServer, stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from edge_runtime.outcome import Outcome

HEADER = {"v": 1, "type": "header"}
PERIOD_S = 0.01
PATIENT_MS, PATIENCE_S = 10_000.0, 20.0  # no pause of a busy machine takes so long
QUICK = TrackSettings(recover_after_ms=100.0)


class ScriptedCamera(FakeSource):
    """A live source that sleeps and shows what it is told; None is a picture never seen before.

    After its script it goes on with new pictures until `enough`, which a busy machine may need.
    """

    def __init__(self, script: Sequence[tuple[float, np.ndarray | None]], reconnects_at: int = -1) -> None:
        super().__init__(len(script), live=True)
        self._script = script
        self._reconnects_at = reconnects_at
        self.enough: Callable[[], bool] = lambda: True

    def _pauses(self) -> Iterator[tuple[float, np.ndarray | None]]:
        yield from self._script
        until_s = time.monotonic() + PATIENCE_S
        while not self.enough() and time.monotonic() < until_s:
            yield PERIOD_S, None

    def __iter__(self) -> Iterator[Frame]:
        for index, (pause_s, image) in enumerate(self._pauses()):
            time.sleep(pause_s)
            self.reconnects = int(0 <= self._reconnects_at <= index)
            if image is None:
                image = square_frame()
                image[0, :2] = divmod(index, 256)[0], divmod(index, 256)[1], 0
            yield Frame(image, index, time.monotonic_ns())


def flown(
    source: FakeSource,
    backend: Any = None,
    *,
    stall_ms: float = PATIENT_MS,
    until: Sequence[str] = (),
    **options: Any,
) -> tuple[Outcome, list[dict[str, Any]], RunContext]:
    """Outcome, records and context of a run with a quick tracker; every record keeps every rule.

    A scripted camera goes on until the states have been those of `until`, if it is given, and no longer than
    `PATIENCE_S`.
    """
    sink, context = FakeSink(capacity=10_000), options.pop("context", RunContext())
    if isinstance(source, ScriptedCamera) and until:
        source.enough = lambda: len(runs(list(sink.records))) >= len(until)
    pipeline = Pipeline(
        source,
        backend or FakeBackend(),
        [sink],
        contract=CONTRACT,
        header=HEADER,
        tracker=options.pop("tracker", Tracker(QUICK)),
        context=context,
        stall_ms=stall_ms,
        **options,
    )
    outcome = pipeline.run()
    assert [problems(record, 150.0) for record in sink.records] == [[]] * len(sink.records)
    assert [record["seq"] for record in sink.records] == list(range(len(sink.records)))
    return outcome, sink.records, context


OVER_A_FAULT = ["SEARCHING", "TRACKING", "FAULT", "SEARCHING", "TRACKING"]


def runs(records: list[dict[str, Any]]) -> list[str]:
    """States in order, repetitions left out."""
    states = [record["state"] for record in records]
    return [state for i, state in enumerate(states) if i == 0 or state != states[i - 1]]


def test_a_broken_engine_is_a_fault_and_work_goes_on_with_the_next_one():
    backends = [FakeBackend(error=RuntimeError("no context"), fails_at=15), FakeBackend()]
    source = ScriptedCamera([(PERIOD_S, None)] * 60)
    outcome, records, context = flown(source, backends[0], reopen=lambda: backends[1], until=OVER_A_FAULT)
    assert outcome.error is None
    assert runs(records) == OVER_A_FAULT
    assert [r["flags"] for r in records].count(["engine_failed"]) == 1
    assert {r["tid"] for r in records if r["tid"]} == {1, 2}
    assert (outcome.faults, outcome.reloads, context.health.healthy()) == (1, 1, True)
    assert backends[0].closed
    assert backends[1].closed


def test_a_broken_engine_of_a_file_costs_one_frame_and_no_record():
    backends = [FakeBackend(error=RuntimeError("no context"), fails_at=5), FakeBackend()]
    outcome, records, _ = flown(FakeSource(60), backends[0], reopen=lambda: backends[1])
    assert len(records) == 60
    assert outcome.error is None
    assert "engine_failed" in records[5]["flags"]


def test_an_engine_that_never_comes_back_is_a_fault_in_every_record():
    def no_engine() -> FakeBackend:
        raise RuntimeError("out of memory")

    broken = FakeBackend(error=RuntimeError("no context"), fails_at=5)
    outcome, records, context = flown(ScriptedCamera([(PERIOD_S, None)] * 40), broken, reopen=no_engine)
    assert {r["state"] for r in records[6:]} == {"FAULT"}
    assert not any(r["valid"] for r in records[5:])
    assert context.health.reason == "engine: RuntimeError: out of memory"
    assert outcome.error is None


def test_a_frozen_camera_is_flagged_at_once_and_a_fault_after_the_stall_time():
    still = square_frame()
    script = [(PERIOD_S, None)] * 15 + [(PERIOD_S, still)] * 60 + [(PERIOD_S, None)] * 40
    _, records, context = flown(ScriptedCamera(script), frozen_ms=300, until=OVER_A_FAULT)
    assert runs(records) == OVER_A_FAULT
    flagged = [r for r in records if "frozen" in r["flags"]]
    assert {r["frame"]["idx"] for r in flagged} <= set(range(16, 75))
    first_fault = next(r for r in records if r["state"] == "FAULT")
    frozen_ms = (first_fault["t_cap_mono_ns"] - flagged[0]["t_cap_mono_ns"]) / 1e6
    assert frozen_ms > 200  # 300, less a few periods
    assert 15 < first_fault["frame"]["idx"] < 75  # while it is frozen
    assert context.health.healthy()


def test_zero_never_looks_for_a_frozen_camera():
    script = [(PERIOD_S, square_frame())] * 150
    _, records, _ = flown(ScriptedCamera(script), frozen_ms=0, stall_ms=1000)
    assert "FAULT" not in runs(records)
    assert not any(r["flags"] == ["frozen"] for r in records)


def test_a_stall_stops_the_heartbeats_and_is_told_by_the_first_records_after_it():
    """1.5 s without a frame while the limit is half a second: seen from outside meanwhile."""
    context, seen = RunContext(), []
    done = threading.Event()

    def heart() -> None:
        while not done.wait(0.005):
            seen.append((time.monotonic(), context.health.healthy()))

    thread = threading.Thread(target=heart)
    thread.start()
    script = [(PERIOD_S, None)] * 15 + [(1.5, None)] + [(PERIOD_S, None)] * 40
    source = ScriptedCamera(script)
    outcome, records, _ = flown(source, stall_ms=500, context=context, until=OVER_A_FAULT)
    done.set()
    thread.join()
    first = next(r for r in records if r["frame"]["idx"] >= 15)
    assert first["state"] == "FAULT"
    assert not first["valid"]
    assert outcome.faults == 1
    gap_began_s = next(r for r in records[::-1] if r["frame"]["idx"] < 15)["t_emit_mono_ns"] / 1e9
    silent_s = min(t for t, healthy in seen if t > gap_began_s and not healthy)
    assert 0.4 < silent_s - gap_began_s < 1.4  # half a second and a little, before the next frame
    assert runs(records)[-3:] == ["FAULT", "SEARCHING", "TRACKING"]


def test_an_inference_that_hangs_is_a_fault_and_its_late_result_is_not_valid():
    class Hanging(FakeBackend):
        def infer(self, frames_u8: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            time.sleep(1.2 if self.calls == 12 else 0.0)
            return super().infer(frames_u8)

    source = ScriptedCamera([(PERIOD_S, None)] * 80)
    outcome, records, _ = flown(source, Hanging(), stall_ms=500, until=OVER_A_FAULT)
    assert outcome.faults == 1
    assert [r["state"] for r in records if r["age_ms"] > 1000] == ["FAULT"]
    assert runs(records)[-3:] == ["FAULT", "SEARCHING", "TRACKING"]


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(np.zeros((96, 128, 3), np.uint8), id="black"),
        pytest.param(np.full((96, 128, 3), 255, np.uint8), id="white"),
        pytest.param(np.full((96, 128, 3), (0, 135, 0), np.uint8), id="green, as broken decoders give it"),
        pytest.param(np.vstack([square_frame()[:48], square_frame(x=0)[48:]]), id="torn"),
        pytest.param(np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8), id="noise"),
        pytest.param(np.full((1, 1, 3), 200, np.uint8), id="a single pixel"),
        pytest.param(np.full((3, 2000, 3), 200, np.uint8), id="a thin strip"),
        pytest.param(cv2.resize(square_frame(), (1921, 1081)), id="large and odd"),
    ],
)
def test_no_picture_whatsoever_raises(model_path, image):
    outcome, records, _ = flown(ScriptedCamera([(PERIOD_S, image)] * 3), OnnxCpu(model_path, 1))
    assert outcome.error is None
    assert outcome.frames >= 1
    assert records[0]["frame"]["w"] == image.shape[1]


def test_the_end_of_a_live_source_is_no_fault_however_long_the_sinks_take():
    slow = FakeSink("slow", seconds=0.2, capacity=8)
    source, context = FakeSource(10, live=True, period_s=0.01), RunContext()
    pipeline = Pipeline(
        source, FakeBackend(), [slow], contract=CONTRACT, header=HEADER, context=context, stall_ms=500
    )
    assert pipeline.run().faults == 0
    assert len(slow.records) > 3


def test_a_reconnect_is_flagged_once_and_counted():
    outcome, records, _ = flown(ScriptedCamera([(PERIOD_S, None)] * 20, reconnects_at=8))
    (flagged,) = (r for r in records if "reconnected" in r["flags"])
    assert flagged["frame"]["idx"] >= 8
    assert outcome.reconnects == 1


def test_a_network_camera_killed_and_started_again_is_a_fault_and_then_work_as_before():
    """A real server: records while it lives, heartbeats stopped while it is dead, a flag when it is back."""
    options = SourceOptions(open_s=5.0, stall_s=5.0, retry_first_s=0.02, retry_most_s=0.05)
    first = TcpServer(stream(fps=100))
    source, sink, context = open_source(first.url, options), FakeSink(capacity=10_000), RunContext()
    backend = FakeBackend()
    pipeline = Pipeline(
        source,
        backend,
        [sink],
        contract=CONTRACT,
        header=HEADER,
        context=context,
        stall_ms=1000,
        frozen_ms=0,
    )
    ended: list[Outcome] = []
    stop = threading.Event()
    flight = threading.Thread(target=lambda: ended.append(pipeline.run(stop.is_set)))
    flight.start()
    wait_until(lambda: len(sink.records) > 5)
    first.__exit__()
    wait_until(lambda: not context.health.healthy())
    with TcpServer(stream(fps=100), first.port):
        wait_until(lambda: context.health.healthy() and len(sink.records) > 20)
        stop.set()
        flight.join(10)
    assert [problems(record, 150.0) for record in sink.records] == [[]] * len(sink.records)
    states = runs(sink.records)
    assert states[0] == states[-1] == "TRACKING"
    assert "FAULT" in states
    assert sum("reconnected" in record["flags"] for record in sink.records) == 1
    (outcome,) = ended
    assert (outcome.reconnects, outcome.faults, outcome.stuck, outcome.error) == (1, 1, (), None)


def wait_until(condition: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    """Fail when it does not come true."""
    deadline_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline_s, "did not come true"
        time.sleep(0.005)


def test_a_step_of_the_wall_clock_changes_no_age_and_no_state(monkeypatch):
    real = time.time_ns
    steps = iter([0, 3_600_000_000_000, -7_200_000_000_000] * 1000)
    monkeypatch.setattr(time, "time_ns", lambda: real() + next(steps))
    tracked = ["SEARCHING", "TRACKING"]
    _, records, _ = flown(ScriptedCamera([(PERIOD_S, None)] * 25), until=tracked)
    assert runs(records) == tracked
    assert max(r["age_ms"] for r in records) < PATIENT_MS  # the steps are hours
    captured = [r["t_cap_mono_ns"] for r in records]
    assert captured == sorted(captured)


def test_an_operators_stop_lets_go_of_the_track():
    context = RunContext()

    class Stops(FakeBackend):
        def infer(self, frames_u8: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            if self.calls == 10:
                context.controls.stop_tracking()
            return super().infer(frames_u8)

    _, records, _ = flown(FakeSource(30), Stops(), context=context)
    assert runs(records) == ["SEARCHING", "TRACKING", "SEARCHING"]
    assert records[10]["state"] == "SEARCHING"


def test_a_stop_closes_a_live_source_that_waits_so_that_nothing_is_stuck():
    class Waiting(FakeSource):
        def __init__(self) -> None:
            super().__init__(0, live=True)
            self._closing = threading.Event()

        def __iter__(self) -> Iterator[Frame]:
            self._closing.wait()
            return iter(())

        def close(self) -> None:
            super().close()
            self._closing.set()

    stop_at = time.monotonic() + 0.1
    pipeline = Pipeline(Waiting(), FakeBackend(), [FakeSink()], contract=CONTRACT, header=HEADER)
    outcome = pipeline.run(stop_wanted=lambda: time.monotonic() > stop_at)
    assert (outcome.stuck, outcome.error) == ((), None)


def test_live_figures_are_json_and_make_a_line():
    context = RunContext()
    before = context.stats()
    slow = FakeSink("slow", seconds=0.05, capacity=1)
    source = FakeSource(60, live=True, period_s=0.004)
    pipeline = Pipeline(
        source, FakeBackend(), [slow], contract=CONTRACT, header=HEADER, context=context, stall_ms=PATIENT_MS
    )
    pipeline.run()
    stats = context.stats()
    assert before == {}
    assert json.loads(json.dumps(stats, allow_nan=False)) == stats
    assert set(stats["stages"]) == {"capture", "wait", "pre", "infer", "post", "record", "age", "slow"}
    assert stats["stages"]["age"]["recent"]["count"] == stats["stages"]["age"]["total"]["count"]
    assert stats["dropped"]["slow"] == stats["sinks"][0]["dropped"] > 0
    assert stats["frames"] + stats["dropped"]["frames"] == 60
    assert [(t["from"], t["to"]) for t in stats["transitions"]] == [("SEARCHING", "TRACKING")]
    assert "TRACKING" in live_line(stats)
    assert f"slow {stats['dropped']['slow']}" in live_line(stats)
    assert "\n" not in live_line(stats)
