"""Notices what does not happen: no frame, no result. Works on the monotonic clock only.

capture ──frame──▶         ┌─▶ Health (heartbeats stop)
inference ──began, done──▶ Watchdog ─┼─▶ a fault for the tracker (`take_fault`)
what others have seen ──fault──▶     └─▶ systemd, while a restart would not help
"""

from __future__ import annotations

import logging
import threading
from time import monotonic_ns
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_runtime.live import Health

log = logging.getLogger(__name__)

PERIODS = 3  # without a frame, or results, before something is wrong
LEAST_STALL_MS = 200.0
STUCK_S = 10.0  # one inference that takes longer has hung: only a new process helps
DOWN_S = 30.0  # so long may an engine fail to come back before a new process is tried
_POLL_S = 0.02
_SMOOTHING = 0.1  # of the mean time between results


def stall_ms_for(fps: float | None) -> float:
    """Default: three frame periods, at least 200 ms."""
    return LEAST_STALL_MS if not fps else max(LEAST_STALL_MS, PERIODS * 1000.0 / fps)


class Watchdog:
    """Judges a run's flow by when things last happened. `frame` is for the capture thread, `began` and `done`
    for the inference thread, `watch` is the body of a thread of its own.
    """

    def __init__(
        self,
        health: Health,
        *,
        stall_ms: float | None,
        every_poll: Callable[[int, bool], None] = lambda now_ns, alive: None,
        engine_down_s: Callable[[int], float] = lambda now_ns: 0.0,
    ) -> None:
        """`stall_ms`: longest time without a frame; None for a file, which is never late.

        `every_poll(now_ns, alive)`: called some 50 times a second; `alive` is false when only a new process
        can help. `engine_down_s`: see `EngineGuard.down_s`.
        """
        self._health = health
        self._stall_ns = None if stall_ms is None else int(stall_ms * 1e6)
        self._every_poll = every_poll
        self._engine_down_s = engine_down_s
        self._lock = threading.Lock()
        self._fault: str | None = None
        self._expects_frames = True
        self._frame_ns: int | None = None
        self._began_ns: int | None = None
        self._done_ns: int | None = None
        self._period_ns = 0.0
        self._ended = threading.Event()

    def frame(self, now_ns: int) -> None:
        """A frame has come."""
        before_ns, self._frame_ns = self._frame_ns, now_ns
        if self._stall_ns is not None and before_ns is not None and now_ns - before_ns > self._stall_ns:
            self.fault(f"no frame for {(now_ns - before_ns) / 1e6:.0f} ms")

    def no_more_frames(self) -> None:
        """The source is through, or the run is told to stop: from now on none is missed."""
        self._expects_frames = False

    def began(self, now_ns: int) -> None:
        """The inference thread has taken a frame."""
        self._began_ns = now_ns

    def done(self, now_ns: int) -> None:
        """Its result is out."""
        began_ns, self._began_ns = self._began_ns, None
        if began_ns is not None:
            took_ns = now_ns - began_ns
            self._period_ns += (took_ns - self._period_ns) * (_SMOOTHING if self._period_ns else 1.0)

    def fault(self, reason: str) -> None:
        """Nothing can be trusted, for this reason; said again as long as it lasts."""
        with self._lock:
            self._fault = reason
        if self._health.fault(reason):
            log.warning("FAULT: %s", reason)

    def take_fault(self) -> str | None:
        """What went wrong since the last call; None when nothing did."""
        with self._lock:
            fault, self._fault = self._fault, None
        return fault

    def cause(self, now_ns: int) -> str | None:
        """What is overdue at this moment."""
        if self._stall_ns is None:
            return None
        began_ns, frame_ns = self._began_ns, self._frame_ns
        if began_ns is not None and self._period_ns:
            limit_ns = max(self._stall_ns, PERIODS * self._period_ns)
            if now_ns - began_ns > limit_ns:
                return f"no result for {limit_ns / 1e6:.0f} ms"
        if self._expects_frames and frame_ns is not None and now_ns - frame_ns > self._stall_ns:
            return f"no frame for {self._stall_ns / 1e6:.0f} ms"
        return None

    def alive(self, now_ns: int) -> bool:
        """False when a new process should be tried: inference hangs, or the engine does not come back."""
        began_ns = self._began_ns
        hangs = began_ns is not None and now_ns - began_ns > STUCK_S * 1e9
        return not hangs and self._engine_down_s(now_ns) < DOWN_S

    def watch(self) -> None:
        """Until `end`: look for causes."""
        while not self._ended.wait(_POLL_S):
            now_ns = monotonic_ns()
            cause = self.cause(now_ns)
            if cause is not None:
                self.fault(cause)
            self._every_poll(now_ns, self.alive(now_ns))

    def end(self) -> None:
        """Let `watch` return."""
        self._ended.set()
