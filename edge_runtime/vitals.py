"""What is done at regular times while a run goes on: live figures renewed, logged, systemd told.

watchdog thread ──poll──▶ Vitals ──▶ log line every N s, WATCHDOG=1, windows of the stages
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

from edge_runtime.stats import WINDOW_S

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge_runtime.stats import Stage
    from edge_runtime.systemd import Notifier

log = logging.getLogger(__name__)

_PINGS_PER_LIMIT = 3  # systemd advises at least two
_SECOND_NS = 1_000_000_000


class Vitals:
    """Used by the watchdog thread; `fps` by any."""

    def __init__(
        self,
        *,
        frames: Callable[[], int],
        stages: Sequence[Stage],
        line: Callable[[], str],
        every_s: float | None,
        notifier: Notifier,
    ) -> None:
        """`frames()`: processed so far. `line()`: the log line; said every `every_s`, never with None."""
        self._frames = frames
        self._stages = stages
        self._line = line
        self._every_ns = None if every_s is None else int(every_s * _SECOND_NS)
        self._notifier = notifier
        self._counted: deque[tuple[int, int]] = deque(maxlen=int(WINDOW_S) + 1)  # (time, frames) each second
        self._told_ns = self._turned_ns = self._pinged_ns = 0

    def start(self, now_ns: int) -> None:
        """All is open and the threads run."""
        self._told_ns = self._turned_ns = self._pinged_ns = now_ns
        self._counted.append((now_ns, 0))
        self._notifier.ready()

    def poll(self, now_ns: int, alive: bool) -> None:
        """Do what is due. systemd hears nothing while not `alive`: it starts a new process then."""
        limit_ns = self._notifier.watchdog_ns
        if alive and limit_ns is not None and now_ns - self._pinged_ns >= limit_ns // _PINGS_PER_LIMIT:
            self._pinged_ns = now_ns
            self._notifier.watchdog()
        if now_ns - self._counted[-1][0] >= _SECOND_NS:
            self._counted.append((now_ns, self._frames()))
        if now_ns - self._turned_ns >= WINDOW_S * _SECOND_NS:
            self._turned_ns = now_ns
            for stage in self._stages:
                stage.turn()
        if self._every_ns is not None and now_ns - self._told_ns >= self._every_ns:
            self._told_ns = now_ns
            text = self._line()
            log.info("%s", text)
            self._notifier.status(text.splitlines()[0])

    def end(self) -> None:
        """The run is on its way out."""
        self._notifier.stopping()

    def fps(self) -> float | None:
        """Frames per second over the newest ten seconds; None in the first second."""
        counted = list(self._counted)
        if len(counted) < 2:
            return None
        (t0_ns, before), (t1_ns, after) = counted[0], counted[-1]
        return (after - before) / (t1_ns - t0_ns) * _SECOND_NS
