"""Listens to a run: spans of every stage from all threads, warm-up left out, statistics at the end.

threads ──span──▶ Meter ──▶ Samples per stage ──▶ `mode` of the report
                    └─ the newest spans, for a trace
"""

from __future__ import annotations

import time
from collections import deque
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from edge_runtime.profiling.samples import Samples
from edge_runtime.profiling.spans import Span

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_SPANS = 200_000  # some 20,000 frames of a trace, 30 MB of JSON


class Meter:
    """An `Observer`. Measuring begins when `warmup` frames have passed the judged stage.

    `begin_ns`: when that was, None before. `process_cpu_s`: CPU time of the process until then.
    """

    def __init__(
        self,
        total: str,
        *,
        warmup: int,
        deadline_ms: float,
        keep_spans: bool = False,
        on_begin: Callable[[int], None] = lambda begin_ns: None,
    ) -> None:
        """`total`: the judged stage, the last one of each frame. `on_begin`: told the time of it."""
        self.begin_ns: int | None = None
        self.end_ns = 0
        self.spans: deque[Span] = deque(maxlen=MOST_SPANS if keep_spans else 0)
        self._total = total
        self._deadline_ns = int(deadline_ms * 1e6)
        self._to_come = warmup
        self._on_begin = on_begin
        self._keep_spans = keep_spans
        self._samples: dict[str, Samples] = {}
        self._threads: dict[str, str] = {}
        self._cpu_begin_s = self._cpu_end_s = 0.0
        if warmup == 0:
            self._begin()

    @property
    def frames(self) -> int:
        """Measured so far."""
        found = self._samples.get(self._total)
        return 0 if found is None else found.n

    @property
    def warmed_up(self) -> int:
        """Frames of the warm-up still to come."""
        return self._to_come

    def span(
        self, stage: str, thread: str, frame: int, start_ns: int, duration_ns: int, cpu_ns: int | None
    ) -> None:
        """See `laps.Observer`."""
        if self.begin_ns is None:
            if stage == self._total:
                self._to_come -= 1
                if self._to_come <= 0:
                    self._begin()
            return
        if stage != self._total and start_ns < self.begin_ns:
            return  # half of it belongs to the warm-up
        samples = self._samples.get(stage)
        if samples is None:
            samples = Samples(self._deadline_ns if stage == self._total else None)
            self._samples[stage], self._threads[stage] = samples, thread
        samples.add(start_ns, duration_ns, cpu_ns)
        if stage == self._total:
            self.end_ns = monotonic_ns()
        if self._keep_spans:
            self.spans.append(Span(stage, thread, frame, start_ns, duration_ns, cpu_ns))

    def finish(self) -> None:
        """Measuring is over."""
        self._cpu_end_s = time.process_time()

    def report(self, order: tuple[str, ...], inside: dict[str, str] | None = None) -> dict[str, Any]:
        """`mode` of the report's schema. At least one frame must have been measured.

        Args:
            order: names of stages as a frame passes them; others follow.
            inside: part: the stage it is a part of.
        """
        assert self.begin_ns is not None, "no frame was measured"
        samples = self._samples[self._total]
        seconds = max(1e-9, (self.end_ns - self.begin_ns) / 1e9)
        found = dict(self._samples)
        names = [name for name in order if name in found] + [name for name in found if name not in order]
        stages = {
            name: {
                **found[name].statistics(),
                "thread": self._threads[name],
                "inside": (inside or {}).get(name),
            }
            for name in names
        }
        return {
            "frames": samples.n,
            "seconds": round(seconds, 4),
            "fps": round(samples.n / seconds, 3),
            "stages": stages,
            "total": self._total,
            "missed": {"count": samples.late, "share": round(samples.late / samples.n, 6)},
            "histogram": samples.histogram(),
            "timeline": samples.timeline(self.begin_ns, self.end_ns),
        }

    def process_cpu(self) -> dict[str, float | None]:
        """`cpu` of the report's pipeline: the whole process, threads of libraries included."""
        assert self.begin_ns is not None, "no frame was measured"
        spent_s = self._cpu_end_s - self._cpu_begin_s
        seconds = max(1e-9, (self.end_ns - self.begin_ns) / 1e9)
        return {
            "cores_busy": round(spent_s / seconds, 3),
            "ms_per_frame": round(1e3 * spent_s / self.frames, 4) if self.frames else None,
        }

    def _begin(self) -> None:
        self._cpu_begin_s = time.process_time()
        self.begin_ns = monotonic_ns()
        self._on_begin(self.begin_ns)
