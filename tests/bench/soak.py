"""Does it stay the same after hours? `python -m tests.bench.soak` (200,000 frames, some ten minutes).

A real clip looped through the whole pipeline while the source dies at random (at times for longer than the
stall time), the engine breaks, and one sink is far too slow. Prints growth of memory after the warm-up,
threads, descriptors and missed records; exits 1 when one of them is out of bounds.
"""

from __future__ import annotations

import json
import logging
import os
import random
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import click
import cv2

from edge_runtime.backends import open_backend
from edge_runtime.frames import Frame
from edge_runtime.live import RunContext
from edge_runtime.logs import set_up
from edge_runtime.modelfile import ASSETS
from edge_runtime.pipeline import Pipeline
from edge_runtime.sinks import open_sink
from edge_runtime.tracking import Tracker, TrackSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from edge_runtime.backends.base import Backend
    from edge_runtime.sinks import Result

MOST_GROWTH_MB = 20.0
MOST_DESCRIPTORS = 3  # that come and go: the clip, the model while it is loaded again
STALL_MS = 200.0
WARM_UP = 0.2  # of the run
_DEATH_EVERY = 400  # frames, on average
_BREAK_EVERY = 4000


class LoopedClip:
    """A live source over a clip without end, decoded anew each time; it dies and comes back at random."""

    name, live, fps, skipped, connected = "looped", True, 25.0, 0, True

    def __init__(self, path: Path, count: int, seconds: float, period_s: float, dice: random.Random) -> None:
        self._path, self._count, self._seconds = path, count, seconds
        self._period_s, self._dice = period_s, dice
        self.reconnects = self.delivered = 0
        self.size: tuple[int, int] | None = None

    def __iter__(self) -> Iterator[Frame]:
        ends_s = time.monotonic() + self._seconds
        capture = cv2.VideoCapture(str(self._path))
        due_s = time.monotonic()
        while self.delivered < self._count and time.monotonic() < ends_s:
            if self._dice.random() < 1 / _DEATH_EVERY:
                capture.release()
                time.sleep(self._dice.choice([0.0, 0.01, 0.05, 1.5 * STALL_MS / 1e3]))
                capture = cv2.VideoCapture(str(self._path))
                self.reconnects += 1
            ok, image = capture.read()
            if not ok:
                capture.release()
                capture = cv2.VideoCapture(str(self._path))
                continue
            due_s = max(due_s + self._period_s, time.monotonic() - self._period_s)
            time.sleep(max(0.0, due_s - time.monotonic()))
            self.delivered += 1
            yield Frame(image, self.delivered - 1, time.monotonic_ns())  # type: ignore[arg-type]
        capture.release()

    def close(self) -> None:
        """The iterator ends by itself."""


class Breaking:
    """A backend that breaks at random, as a driver may."""

    def __init__(self, backend: Backend, dice: random.Random) -> None:
        self._backend, self._dice = backend, dice
        self.name, self.path, self.contract = backend.name, backend.path, backend.contract

    def infer(self, frames_u8: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self._dice.random() < 1 / _BREAK_EVERY:
            raise RuntimeError("broken for the soak")
        return self._backend.infer(frames_u8)

    def close(self) -> None:
        self._backend.close()


class SlowSink:
    """Takes 30 ms for what comes every 2."""

    name, capacity = "slow", 4

    def start(self, header: dict[str, Any]) -> None:
        """Nothing to begin."""

    def write(self, result: Result) -> None:
        time.sleep(0.03)

    def close(self) -> None:
        """Nothing to end."""


@dataclass
class Report:
    """What a soak has shown. Samples are (seconds, MB of resident memory, threads, descriptors)."""

    delivered: int = 0
    processed: int = 0
    recorded: int = 0
    dropped: int = 0
    reconnects: int = 0
    reloads: int = 0
    faults: int = 0
    slow_dropped: int = 0
    seconds: float = 0.0
    bad_records: list[str] = field(default_factory=list)
    samples: list[tuple[float, float, int, int]] = field(default_factory=list)
    error: str | None = None

    def _phases(self) -> tuple[list[tuple[float, float, int, int]], list[tuple[float, float, int, int]]]:
        """Samples of the fifth after the warm-up, and of the last fifth."""
        n = len(self.samples)
        part = max(1, int(n * WARM_UP))
        return self.samples[part : 2 * part], self.samples[-part:]

    @property
    def growth_mb(self) -> float:
        """Median resident memory of the last fifth over that of the fifth after the warm-up."""
        early, late = self._phases()
        return median(s[1] for s in late) - median(s[1] for s in early)

    @property
    def thread_growth(self) -> int:
        """Most threads of the last fifth over most of the fifth after the warm-up."""
        early, late = self._phases()
        return max(s[2] for s in late) - max(s[2] for s in early)

    @property
    def descriptor_growth(self) -> int:
        """The same of descriptors."""
        early, late = self._phases()
        return max(s[3] for s in late) - max(s[3] for s in early)

    @property
    def missed(self) -> int:
        """Frames delivered of which neither a record tells nor a counter that they were dropped."""
        return self.delivered - self.recorded - self.dropped

    def problems(self) -> list[str]:
        """What is out of bounds."""
        found = {
            f"memory grew by {self.growth_mb:.1f} MB": self.growth_mb >= MOST_GROWTH_MB,
            f"{self.thread_growth} threads more": self.thread_growth > 0,
            f"{self.descriptor_growth} descriptors more": self.descriptor_growth > MOST_DESCRIPTORS,
            f"{self.missed} records missed": self.missed != 0 or self.recorded != self.processed,
            f"the run broke off: {self.error}": self.error is not None,
        }
        return [text for text, is_so in found.items() if is_so] + self.bad_records[:5]


def soak(
    model: str,
    folder: Path,
    *,
    clip: Path | None = None,
    frames: int = sys.maxsize,
    seconds: float = float("inf"),
    period_s: float = 0.002,
    seed: int = 0,
) -> Report:
    """Fly for so many frames or seconds, whichever ends first; writes its records into `folder`."""
    dice = random.Random(seed)
    source = LoopedClip(clip or ASSETS / "demo.mp4", frames, seconds, period_s, dice)

    def reopen() -> Breaking:
        return Breaking(open_backend(model, "cpu", 1), dice)

    backend = reopen()
    path = folder / "soak.jsonl"
    context = RunContext()
    pipeline = Pipeline(
        source,
        backend,
        [open_sink(f"jsonl:{path}", context=context), SlowSink()],
        contract=backend.contract,
        header={"v": 1, "type": "header", "max_age_ms": 150.0},
        tracker=Tracker(TrackSettings(recover_after_ms=200.0)),
        context=context,
        reopen=reopen,
        stall_ms=STALL_MS,
        frozen_ms=0,  # a rendered clip may hold the same picture twice
    )
    report = Report()
    ended = threading.Event()
    sampler = threading.Thread(target=_sample, args=(report, ended, context), daemon=True)
    sampler.start()
    outcome = pipeline.run()
    ended.set()
    sampler.join(5)
    report.delivered, report.processed, report.dropped = source.delivered, outcome.frames, outcome.dropped
    report.reconnects, report.reloads, report.faults = source.reconnects, outcome.reloads, outcome.faults
    report.slow_dropped, report.seconds = outcome.sinks[1]["dropped"], outcome.seconds
    report.error = None if outcome.error is None else str(outcome.error)
    _check_records(path, report)
    return report


def _sample(report: Report, ended: threading.Event, context: RunContext) -> None:
    started = time.monotonic()
    page_mb = os.sysconf("SC_PAGE_SIZE") / 1e6
    while not ended.wait(0.25):
        context.stats()  # as a web page would
        resident_mb = int(Path("/proc/self/statm").read_text().split()[1]) * page_mb
        descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        report.samples.append(
            (time.monotonic() - started, resident_mb, threading.active_count(), descriptors)
        )


def _check_records(path: Path, report: Report) -> None:
    """Count the records; note those that break the order or claim what they must not."""
    last_idx = -1
    with path.open() as lines:
        next(lines)
        for number, line in enumerate(lines):
            record = json.loads(line)
            may = record["state"] == "TRACKING" and record["box_src"] == "det" and record["age_ms"] <= 150.0
            if record["seq"] != number or record["frame"]["idx"] <= last_idx or record["valid"] != may:
                report.bad_records.append(f"record {number} breaks a rule: {line[:200]}")
            last_idx = record["frame"]["idx"]
            report.recorded += 1


@click.command(context_settings={"show_default": True})
@click.option("--model", help="A model file.  [default: a tiny one: frames count, not the network]")
@click.option("--clip", type=click.Path(path_type=Path, exists=True), help="[default: the demo clip]")
@click.option("--frames", default=200_000)
@click.option("--seconds", default=float("inf"))
@click.option("--period-ms", default=3.0, help="Between two frames of the source.")
@click.option("--seed", default=0)
def main(
    model: str | None, clip: Path | None, frames: int, seconds: float, period_ms: float, seed: int
) -> None:
    """Soak, print, exit 1 when something is out of bounds."""
    from tests.edge_runtime.conftest import write_brightness_model

    set_up(quiet=True)
    logging.getLogger("edge_runtime").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        chosen = model or str(write_brightness_model(Path(folder) / "tiny.onnx"))
        report = soak(
            chosen,
            Path(folder),
            clip=clip,
            frames=frames,
            seconds=seconds,
            period_s=period_ms / 1e3,
            seed=seed,
        )
    first, last = report.samples[len(report.samples) // 5], report.samples[-1]
    print(
        f"{report.delivered} frames in {report.seconds:.0f} s: {report.recorded} records, "
        f"{report.dropped} dropped and counted, {report.missed} missed\n"
        f"source died {report.reconnects} times, engine reloaded {report.reloads} times, "
        f"{report.faults} faults, slow sink lost {report.slow_dropped}\n"
        f"memory {first[1]:.1f} MB after the warm-up, {last[1]:.1f} MB at the end: "
        f"grew {report.growth_mb:+.1f} MB (bound {MOST_GROWTH_MB:g})\n"
        f"threads {first[2]} -> {last[2]}, descriptors {first[3]} -> {last[3]}"
    )
    for problem in report.problems():
        print(f"MISS {problem}")
    sys.exit(1 if report.problems() else 0)


if __name__ == "__main__":
    main()
