"""Figures over all readings of a run, in constant memory, and what people should know beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge_runtime.board.rails import choose_total
from edge_runtime.board.sensors import OC_MEANINGS
from edge_runtime.board.thermal import slows_down
from edge_runtime.board.throttle import Throttle

if TYPE_CHECKING:
    from edge_runtime.board.sensors import Reading, Sensors

_NEAR_C = 3.0  # this close below the point where the board slows down is worth a note
_SWAPPED_BYTES = 10e6  # less than this comes and goes on any machine


class Range:
    """First, last, lowest, mean and highest of what came, in constant memory."""

    def __init__(self) -> None:
        self.n = 0

    def add(self, value: float | None) -> None:
        if value is None:
            return
        if self.n == 0:
            self.start = self.low = self.high = value
            self.sum = 0.0
        self.n += 1
        self.sum += value
        self.end = value
        self.low, self.high = min(self.low, value), max(self.high, value)

    def as_dict(self) -> dict[str, float] | None:
        if self.n == 0:
            return None
        values = {"start": self.start, "end": self.end, "min": self.low, "mean": self.sum / self.n}
        return {name: round(value, 3) for name, value in {**values, "max": self.high}.items()}


class Summary:
    """Adds up every reading, kept or not.

    Attributes:
        total: the rails whose sum is the power of the whole; empty until a reading has such.
    """

    def __init__(self, sensors: Sensors) -> None:
        self.total: tuple[str, ...] = ()
        self._trips = sensors.trips
        self._throttle = Throttle(
            bool(sensors.counters) or any(slows_down(device.name) for device in sensors.cooling)
        )
        self._power = Range()
        self._temps: dict[str, Range] = {}
        self._gpu, self._cpu, self._emc, self._rss, self._swapped = (Range() for _ in range(5))
        self._alarms: dict[str, int] = {}
        self._rails: set[str] = set()
        self._readings = 0

    def add(self, t_s: float, reading: Reading) -> None:
        """Take the reading made at `t_s`; times must not fall."""
        self._readings += 1
        self._throttle.add(t_s, reading)
        self._rails.update(reading.rails_w)
        self.total = self.total or choose_total(reading.rails_w)
        if self.total and all(name in reading.rails_w for name in self.total):
            self._power.add(sum(reading.rails_w[name] for name in self.total))
        for name, temp_c in reading.temps_c.items():
            self._temps.setdefault(name, Range()).add(temp_c)
        self._gpu.add(reading.gpu_mhz)
        self._cpu.add(sum(reading.cpu_mhz) / len(reading.cpu_mhz) if reading.cpu_mhz else None)
        self._emc.add(reading.emc_mhz)
        self._rss.add(reading.memory.rss)
        self._swapped.add(reading.memory.swapped)
        for name in reading.alarms:
            self._alarms[name] = self._alarms.get(name, 0) + 1

    def as_dict(self) -> dict[str, Any]:
        """`summary` of the profile's `board`."""
        seconds, events = self._throttle.seconds, self._throttle.events
        return {
            "power_w": self._power.as_dict(),
            "temps_c": {name: figures.as_dict() for name, figures in self._temps.items()},
            "gpu_mhz": self._gpu.as_dict(),
            "cpu_mhz": self._cpu.as_dict(),
            "emc_mhz": self._emc.as_dict(),
            "rss_bytes": self._rss.as_dict(),
            "oc_events": sum(events.values()) if events else None,
            "throttled_s": None if seconds is None else round(seconds, 3),
        }

    def notes(self) -> list[str]:
        """What people should know beside the figures."""
        notes = self._throttle.told()
        for name, rise in self._throttle.events.items():
            if rise:
                meaning = OC_MEANINGS.get(name)
                notes.append(f"over-current events {name}: {rise}{f' ({meaning})' if meaning else ''}")
        for name, count in self._alarms.items():
            notes.append(f"rail {name} current exceeded in {count} of {self._readings} readings")
        for name, figures in self._temps.items():
            slows_c = self._trips[name].slows_c if name in self._trips else None
            if slows_c is not None and figures.high >= slows_c - _NEAR_C:
                notes.append(f"{name} reached {figures.high:.1f} degC; slows down from {slows_c:g} degC on")
        if self._swapped.n and self._swapped.end - self._swapped.start > _SWAPPED_BYTES:
            grown_mb = (self._swapped.end - self._swapped.start) / 1e6
            notes.append(f"memory was short: {grown_mb:.0f} MB went to swap meanwhile")
        if self._rails and not self.total:
            rails = ", ".join(sorted(self._rails))
            notes.append(f"power of the whole: none of the rails {rails} is known to measure it")
        return notes
