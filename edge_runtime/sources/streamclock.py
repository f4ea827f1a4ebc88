"""Capture times from a stream's own time stamps: what the network or a buffer held back counts as age.

A stream's stamps run on a clock we do not know, but as evenly as the camera shot. The frame that came with
the least delay so far tells how the two clocks differ; a frame that comes later than its stamp says was held
back, and is as old as that. What all frames have in common (encoder, shortest way) cannot be seen here.
"""

from __future__ import annotations

_DRIFT = 1e-3  # clocks of cameras differ by less than this; the difference may grow so fast, not faster
_MOST_BEHIND_NS = 1_000_000_000
_BEHIND_FOR_NS = 5_000_000_000
_SETTLED_NS = 100_000_000  # a burst is over when no frame came faster than it was shot for so long
_CATCH_UP_NS = 5_000_000_000  # after connecting, a server's buffer may come in a burst for so long


class StreamClock:
    """Of one connection. Not for several threads."""

    def __init__(self) -> None:
        self._least_ns: int | None = None  # least of arrival minus stamp, with the drift allowed for
        self._stamp_ns = self._arrival_ns = self._started_ns = self._burst_ns = 0
        self._in_time_ns = 0

    def capture_ns(self, stamp_ns: int, arrival_ns: int) -> int | None:
        """Capture time on the clock of `arrival_ns` (monotonic), at most `arrival_ns`.

        None for the first frames of a connection, as long as they come faster than they were shot: out of a
        server's buffer, too old, and nobody can say yet how old.
        """
        offset_ns = arrival_ns - stamp_ns
        step_ns, waited_ns = stamp_ns - self._stamp_ns, arrival_ns - self._arrival_ns
        self._stamp_ns, self._arrival_ns = stamp_ns, arrival_ns
        if self._least_ns is None:
            self._least_ns = offset_ns
            self._started_ns = self._burst_ns = self._in_time_ns = arrival_ns
            return None
        if step_ns <= 0:  # its clock jumped back, or there is none
            self._least_ns = offset_ns
        if offset_ns < self._least_ns - step_ns // 2:
            self._burst_ns = arrival_ns
        self._least_ns = min(self._least_ns + int(_DRIFT * waited_ns), offset_ns)
        if arrival_ns - self._burst_ns < _SETTLED_NS and arrival_ns - self._started_ns < _CATCH_UP_NS:
            return None
        if offset_ns - self._least_ns < _MOST_BEHIND_NS:
            self._in_time_ns = arrival_ns
        return stamp_ns + self._least_ns

    def runs_behind(self) -> bool:
        """For some seconds now every frame came over a second late: only a new connection catches up."""
        return self._arrival_ns - self._in_time_ns > _BEHIND_FOR_NS
