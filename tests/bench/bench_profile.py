"""Does profiling change what it measures, and is what it says true? Run by hand.

    python -m tests.bench.bench_profile [--model MODEL] [--frames N] [--rounds N]

Runs the pipeline with and without the profiler in turn on the same frames, as fast as it goes, and compares
frame times; and holds a stopwatch of its own beside the profiler: around the network, and from the moment a
frame leaves its source to the moment its record reaches a sink.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge_runtime import records
from edge_runtime.backends import open_backend
from edge_runtime.pipeline import Pipeline
from edge_runtime.profiling.meter import Meter
from edge_runtime.sources.synthetic import Synthetic
from edge_runtime.tracking import Tracker, TrackSettings


@dataclass
class Stopwatch:
    """A backend, a source and a sink that note the time by themselves."""

    backend: Any
    inferred_ms: list[float] = field(default_factory=list)
    left_ns: dict[int, int] = field(default_factory=dict)
    arrived_ms: list[float] = field(default_factory=list)

    name = "stopwatch"
    capacity = 8
    live = False
    reconnects = skipped = 0
    connected = True
    fps = 30.0
    size = (640, 480)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def infer(self, frames: Any) -> Any:
        started = time.perf_counter_ns()
        answer = self.backend.infer(frames)
        self.inferred_ms.append((time.perf_counter_ns() - started) / 1e6)
        return answer

    def __iter__(self) -> Any:
        for frame in Synthetic(self.size):
            self.left_ns[frame.index] = time.perf_counter_ns()
            yield frame

    def start(self, header: Any) -> None: ...

    def write(self, result: Any) -> None:
        passed_ns = time.perf_counter_ns() - self.left_ns.pop(result.frame.index)
        self.arrived_ms.append(passed_ns / 1e6)

    def close(self) -> None: ...


def one_run(backend: Any, frames: int, *, observed: bool) -> tuple[float, Stopwatch, Meter | None]:
    """Seconds per frame, and what was noted; the backend stays open."""
    watch = Stopwatch(backend)
    meter = Meter("age", warmup=0, deadline_ms=150.0) if observed else None
    model = {"name": "bench", "sha256": "0" * 64, "backend": backend.name}
    pipeline = Pipeline(
        watch,  # type: ignore[arg-type]
        watch,  # type: ignore[arg-type]
        [watch],
        contract=backend.contract,
        header=records.header(backend.contract, watch, model=model),  # type: ignore[arg-type]
        max_frames=frames,
        tracker=Tracker(TrackSettings()),
        observer=meter,
    )
    outcome = pipeline.run()
    if meter is not None:
        meter.finish()
    return outcome.seconds / outcome.frames, watch, meter


def spans_cost_us(count: int = 20_000) -> float:
    """Microseconds of one frame's spans, eight of them with CPU times, by themselves."""
    from edge_runtime.laps import Laps

    meter = Meter("age", warmup=0, deadline_ms=150.0)
    silent, laps = Laps("inference"), Laps("inference", meter)
    names = ("capture", "pre", "infer", "boxes", "track", "record", "sink")

    def through(watched: Laps) -> float:
        started = time.perf_counter()
        for number in range(count):
            watched.begin(number)
            for name in names:
                watched.lap(name)
            watched.between("wait", 0, 1)
            watched.between("age", 0, 1)
        return (time.perf_counter() - started) / count * 1e6

    return through(laps) - through(silent)


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--model", default="demo")
    flags.add_argument("--frames", type=int, default=60)
    flags.add_argument("--rounds", type=int, default=9)
    asked = flags.parse_args()
    backend = open_backend(asked.model, "auto", 1)
    one_run(backend, 10, observed=False)
    ratios, engine, age = [], [], []
    for number in range(asked.rounds):
        order = (True, False) if number % 2 else (False, True)
        seconds = {}
        for observed in order:
            seconds[observed], watch, meter = one_run(backend, asked.frames, observed=observed)
            if meter is not None:
                stages = meter.report(())["stages"]
                engine.append(stages["infer"]["p50_ms"] / float(np.median(watch.inferred_ms)))
                age.append(stages["age"]["p50_ms"] / float(np.median(watch.arrived_ms)))
        ratios.append(seconds[True] / seconds[False])
    frame_ms = 1e3 * statistics.median(seconds.values())
    cost_us = spans_cost_us()
    ratio, pairs = statistics.median(ratios), f"median of {asked.rounds} pairs"
    print(f"frame time with the profiler / without, {pairs}: {ratio:.4f}")
    share = f"{cost_us / frame_ms / 10:.3f} % of {frame_ms:.1f} ms"
    print(f"its spans by themselves: {cost_us:.1f} us a frame, {share}")
    print(f"p50 of the network, profiler / stopwatch: {statistics.median(engine):.4f}")
    print(f"p50 of capture to record, profiler / stopwatch to the sink: {statistics.median(age):.4f}")
    backend.close()


if __name__ == "__main__":
    main()
