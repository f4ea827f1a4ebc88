"""What the threads of one run share beside frames and results: health, requests from outside, live figures.

pipeline ──fault, recover──▶ Health ──healthy──▶ heartbeats, web page
sinks (an operator's command) ──▶ Controls ──take──▶ inference thread
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Box = tuple[float, float, float, float]

MOST_REQUESTS = 16  # an operator sends a few; whoever floods us loses the oldest


class Health:
    """Whether results may be trusted at all; written by the pipeline, read by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reason: str | None = "starting"
        self.faults = 0  # how often it went from healthy to not

    def fault(self, reason: str) -> bool:
        """Not healthy from now on. True when it was healthy before."""
        with self._lock:
            was_healthy = self._reason is None
            self._reason = reason
            self.faults += was_healthy
            return was_healthy

    def recover(self) -> None:
        """Healthy again."""
        with self._lock:
            self._reason = None

    @property
    def reason(self) -> str | None:
        """Why it is not healthy; None when it is."""
        return self._reason

    def healthy(self) -> bool:
        """May heartbeats be sent?"""
        return self._reason is None


@dataclass(frozen=True)
class Request:
    """What an operator asked for. `kind`: "stop" (let go of the track) or "seed" (look there first).

    `box_xyxy`: fractions of the frame, of a seed.
    """

    kind: str
    t_mono_ns: int
    box_xyxy: Box | None = None


class Controls:
    """Requests from sinks to the tracker; never blocks."""

    def __init__(self) -> None:
        self._requests: deque[Request] = deque(maxlen=MOST_REQUESTS)

    def stop_tracking(self) -> None:
        """Let go of the track; the search starts anew."""
        self._requests.append(Request("stop", time.monotonic_ns()))

    def seed(self, box_xyxy: Box) -> None:
        """Look in this part of the frame first. Being accepted is not being locked on."""
        self._requests.append(Request("seed", time.monotonic_ns(), box_xyxy))

    def take(self) -> list[Request]:
        """All requests since the last call, oldest first; called by the inference thread only."""
        taken = []
        while self._requests:
            taken.append(self._requests.popleft())
        return taken


@dataclass
class RunContext:
    """What a sink may know of its run; made before the sinks, so ask it anew each time.

    `stats()`: JSON-able live figures as `figures.live_figures` describes them; `{}` until there is a
    pipeline, which puts its own in.
    """

    health: Health = field(default_factory=Health)
    controls: Controls = field(default_factory=Controls)
    stats: Callable[[], dict[str, Any]] = dict
