"""How long each part of a frame took, told to an observer: `dips-edge profile` has one, a flight none.

begin(frame) ─work─▶ lap("pre") ─work─▶ lap("infer") ─▶ ...      each lap is a span for the observer
"""

from __future__ import annotations

from time import monotonic_ns, thread_time_ns
from typing import Protocol


class Observer(Protocol):
    """Is told of every span; calls come from several threads, those of one stage from one at a time."""

    def span(
        self, stage: str, thread: str, frame: int, start_ns: int, duration_ns: int, cpu_ns: int | None
    ) -> None:
        """One stage of frame `frame`, see `profiling.spans.Span`."""
        ...


class Laps:
    """The clock of one thread. Without an observer a lap is a look at the monotonic clock."""

    def __init__(self, thread: str, observer: Observer | None = None) -> None:
        self._thread, self._observer = thread, observer
        self._frame = self._at_ns = self._cpu_ns = 0

    def begin(self, frame: int = 0) -> int:
        """Start with a frame; the time now in monotonic ns."""
        self._frame = frame
        if self._observer is not None:
            self._cpu_ns = thread_time_ns()
        self._at_ns = monotonic_ns()
        return self._at_ns

    def lap(self, stage: str, frame: int | None = None) -> int:
        """A stage ends here and the next begins; the time now in monotonic ns.

        `frame`: where it was not known at the beginning.
        """
        now_ns = monotonic_ns()
        if self._observer is not None:
            if frame is not None:
                self._frame = frame
            cpu_ns = thread_time_ns()
            began_ns, self._at_ns = self._at_ns, now_ns
            spent_ns, self._cpu_ns = cpu_ns - self._cpu_ns, cpu_ns
            self._observer.span(stage, self._thread, self._frame, began_ns, now_ns - began_ns, spent_ns)
        return now_ns

    def between(self, stage: str, start_ns: int, end_ns: int) -> None:
        """A stretch of the frame's time in which no thread of ours works on it."""
        if self._observer is not None:
            self._observer.span(stage, "", self._frame, start_ns, max(0, end_ns - start_ns), None)
