"""Who wants CAMERA_TRACKING_IMAGE_STATUS how often: one schedule for each endpoint that asked.

SET_MESSAGE_INTERVAL ──ask──▶ Intervals ◀──due── each record (never a timer: nothing is sent twice)
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

MOST_ENDPOINTS = 16
DEFAULT_RATE_HZ = 5.0  # asked for "the default rate" without one in the URI


class Endpoint(NamedTuple):
    """Someone at the other end of a link: address, system and component."""

    peer: Hashable
    sysid: int
    compid: int


@dataclass
class _Schedule:
    interval_ns: int  # 0 is off
    next_ns: int

    def take(self, now_ns: int, slack_ns: int) -> bool:
        """Is it time? The rate holds on average; an interval missed is not made up for."""
        if not self.interval_ns or now_ns + slack_ns < self.next_ns:
            return False
        on_time_ns = self.next_ns + self.interval_ns
        self.next_ns = on_time_ns if on_time_ns > now_ns else now_ns + self.interval_ns
        return True


class Intervals:
    """Schedules of all endpoints; any thread may call."""

    def __init__(self, default_rate_hz: float) -> None:
        self._default_ns = int(1e9 / default_rate_hz) if default_rate_hz else 0
        self._lock = threading.Lock()
        self._asked: dict[Endpoint, _Schedule] = {}
        self._unasked: dict[Hashable, _Schedule] = {}
        self._frame_ns = 0
        self._last_ns: int | None = None

    def ask(self, endpoint: Endpoint, interval_us: float, now_ns: int) -> bool:
        """Set an interval: > 0 µs, 0 the default rate, -1 off. False when there are too many endpoints."""
        default_ns = self._default_ns or int(1e9 / DEFAULT_RATE_HZ)
        interval_ns = 0 if interval_us < 0 else int(interval_us * 1000) or default_ns
        with self._lock:
            if endpoint not in self._asked and len(self._asked) >= MOST_ENDPOINTS:
                return False
            self._asked[endpoint] = _Schedule(interval_ns, now_ns)
        return True

    def due(self, peers: Iterable[Hashable], now_ns: int) -> list[Hashable]:
        """Those of the connected `peers` to whom the record that came just now is to go."""
        with self._lock:
            slack_ns = self._slack(now_ns)
            return [p for p in self._connected(peers) if sum(s.take(now_ns, slack_ns) for s in self._of(p))]

    def listening(self, peers: Iterable[Hashable]) -> list[Hashable]:
        """Those who get the message at all."""
        with self._lock:
            return [p for p in self._connected(peers) if any(s.interval_ns for s in self._of(p))]

    def _slack(self, now_ns: int) -> int:
        """Half a frame: of two records the one nearer to the due time counts, whatever their jitter."""
        if self._last_ns is not None:
            passed_ns = min(now_ns - self._last_ns, 1_000_000_000)
            self._frame_ns = passed_ns if not self._frame_ns else (7 * self._frame_ns + passed_ns) // 8
        self._last_ns = now_ns
        return self._frame_ns // 2

    def _connected(self, peers: Iterable[Hashable]) -> list[Hashable]:
        present = list(peers)
        self._asked = {e: s for e, s in self._asked.items() if e.peer in present}
        self._unasked = {p: self._unasked.get(p) or _Schedule(self._default_ns, 0) for p in present}
        return present

    def _of(self, peer: Hashable) -> list[_Schedule]:
        return [s for e, s in self._asked.items() if e.peer == peer] or [self._unasked[peer]]
