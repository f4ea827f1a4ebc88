"""Whether the board took speed away, for how long, and why.

A reading counts as throttled when at least one of these holds:
1. a cooling device that slows something down is at work (`thermal.slows_down`);
2. an over-current counter rose since the reading before;
3. the highest clock allowed to the GPU or to a CPU is more than 5 % below the highest seen so far: thermal
   capping lowers it, and so does a change to a lower power mode;
4. the GPU is at least 90 % busy and its clock more than 5 % below what is allowed, in this reading and in the
   one before: one alone may be a clock on its way up.

There is no rule 4 for CPUs: see `clocks`. The time of a reading is that since the one before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_runtime.board.thermal import slows_down

if TYPE_CHECKING:
    from edge_runtime.board.sensors import Reading

_BELOW = 0.95
_BUSY = 0.9


class Throttle:
    """Adds up readings.

    Attributes:
        seconds: throttled so far; None while nothing on this machine could have told.
        causes: seconds by cause; two may hold at once.
        events: over-current events since the first reading, by counter.
    """

    def __init__(self, can_tell: bool) -> None:
        """`can_tell`: whether there are cooling devices that slow down or over-current counters."""
        self.seconds: float | None = 0.0 if can_tell else None
        self.causes: dict[str, float] = {}
        self.events: dict[str, int] = {}
        self._counters: dict[str, int] = {}
        self._highest_mhz: dict[str, float] = {}
        self._was_slow = False
        self._last_s: float | None = None

    def add(self, t_s: float, reading: Reading) -> None:
        """Take the reading made at `t_s`; times must not fall."""
        passed_s = 0.0 if self._last_s is None else t_s - self._last_s
        self._last_s = t_s
        causes = [name for name in reading.cooling if slows_down(name)]
        causes += [f"over-current {name}" for name in self._risen(reading)]
        causes += [f"{name} clock limit lowered" for name in self._lowered(reading)]
        slow = self._gpu_is_slow(reading)
        if slow and self._was_slow:
            causes.append("GPU clock below its limit when busy")
        self._was_slow = slow
        if reading.limits_mhz and self.seconds is None:
            self.seconds = 0.0
        if causes:
            self.seconds = (self.seconds or 0.0) + passed_s
        for cause in causes:
            self.causes[cause] = self.causes.get(cause, 0.0) + passed_s

    def told(self) -> list[str]:
        """A note on what slowed the board down; empty when nothing did."""
        if not self.causes:
            return []
        longest = sorted(self.causes.items(), key=lambda item: -item[1])
        return [f"throttled: {', '.join(f'{cause} {seconds:.0f} s' for cause, seconds in longest)}"]

    def _risen(self, reading: Reading) -> list[str]:
        """Counters that are higher than at the reading before."""
        risen = []
        for name, count in reading.counters.items():
            rise = count - self._counters.get(name, count)
            self.events[name] = self.events.get(name, 0) + max(0, rise)
            if rise > 0:
                risen.append(name)
        self._counters.update(reading.counters)
        return risen

    def _lowered(self, reading: Reading) -> list[str]:
        for name, mhz in reading.limits_mhz.items():
            self._highest_mhz[name] = max(mhz, self._highest_mhz.get(name, 0.0))
        return [name for name, mhz in reading.limits_mhz.items() if mhz < _BELOW * self._highest_mhz[name]]

    def _gpu_is_slow(self, reading: Reading) -> bool:
        limit_mhz = reading.limits_mhz.get("GPU")
        if reading.gpu_load is None or reading.gpu_mhz is None or limit_mhz is None:
            return False
        return reading.gpu_load >= _BUSY and reading.gpu_mhz < _BELOW * limit_mhz
