"""All sensors of this machine, found once and read together.

root ──Sensors──▶ read() ──▶ Reading      notes() ──▶ what could not be read, and why
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from edge_runtime.board.clocks import (
    debug_is_closed,
    find_emc,
    find_gpu,
    find_policies,
    read_cpus_off,
)
from edge_runtime.board.memory import Memory, MemoryReading
from edge_runtime.board.rails import find_rails
from edge_runtime.board.sensor import Sensor, find, there
from edge_runtime.board.thermal import find_cooling, find_zones, read_trips
from edge_runtime.jetson import read_board, read_l4t

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# Orin's three counters, by NVIDIA's Developer Guide; other boards may count other things.
OC_MEANINGS = {"oc1": "under-voltage", "oc2": "average over-current", "oc3": "instantaneous over-current"}


class Reading(NamedTuple):
    """Everything at one moment; what cannot be read is left out or None.

    Attributes:
        rails_w: power by rail.
        temps_c: by thermal zone.
        gpu_load: 0 to 1.
        cpu_mhz: per CPU that is switched on, by number.
        cooling: state of every cooling device that is at work, by name; the highest of those that share one.
        counters: over-current events since boot, by counter; all of them or none.
        alarms: over-current flags of the power monitors that are set.
        limits_mhz: highest clock allowed now, by what it limits.
    """

    rails_w: dict[str, float]
    temps_c: dict[str, float]
    gpu_mhz: float | None
    gpu_load: float | None
    emc_mhz: float | None
    cpu_mhz: list[float]
    cooling: dict[str, int]
    counters: dict[str, int]
    alarms: list[str]
    limits_mhz: dict[str, float]
    memory: MemoryReading


class Sensors:
    """Reading them never raises. Files stay open until `close`."""

    def __init__(self, root: Path) -> None:
        self.rails, self._found = find_rails(root)
        self.zones = find_zones(root)
        self.trips = read_trips(root)
        self.cooling = find_cooling(root)
        self.counters = find_counters(root)
        self.gpu = find_gpu(root)
        self.emc = find_emc(root)
        self.policies = find_policies(root)
        self._memory = Memory(root)
        self.is_jetson = read_l4t(root) is not None or "jetson" in (read_board(root) or "").lower()
        self._found += self._missing(root)

    def read(self) -> Reading:
        """All of them now, one after the other; some 1 ms on a Jetson, most of it waiting for the I2C bus."""
        limits = _values({} if self.gpu is None else {"GPU": self.gpu.limit_mhz})
        limits.update(_values({f"CPU {policy.cpus[0]}": policy.limit_mhz for policy in self.policies}))
        cpus: dict[int, float] = {}
        for policy in self.policies:
            mhz = policy.mhz.read()
            cpus.update({} if mhz is None else dict.fromkeys(policy.cpus, mhz))
        cooling: dict[str, int] = {}
        for device in self.cooling:
            state = device.read()
            if state:
                cooling[device.name] = max(int(state), cooling.get(device.name, 0))
        powers = {rail.name: rail.read_w() for rail in self.rails}
        return Reading(
            rails_w={name: power_w for name, power_w in powers.items() if power_w is not None},
            temps_c=_values({zone.name: zone for zone in self.zones}),
            gpu_mhz=None if self.gpu is None else self.gpu.mhz.read(),
            gpu_load=None if self.gpu is None or self.gpu.load is None else self.gpu.load.read(),
            emc_mhz=None if self.emc is None else self.emc.read(),
            cpu_mhz=[cpus[number] for number in sorted(cpus)],
            cooling=cooling,
            counters=self._read_counters(),
            alarms=[alarm.name for rail in self.rails for alarm in rail.alarms if alarm.read()],
            limits_mhz=limits,
            memory=self._memory.read(),
        )

    def notes(self) -> list[str]:
        """What is not there, and what failed in the readings so far, one line per reason."""
        never: dict[str, list[str]] = {}
        notes = list(self._found)
        for name, sensor in self._named():
            if sensor.failed and not sensor.good:
                never.setdefault(sensor.why, []).append(name)
            elif sensor.failed:
                total = sensor.good + sensor.failed
                notes.append(f"{name}: {sensor.failed} of {total} readings failed ({sensor.why})")
        return [*notes, *(f"{', '.join(names)}: cannot be read ({why})" for why, names in never.items())]

    def close(self) -> None:
        """Close the files; another reading would open them again."""
        for _, sensor in self._named():
            sensor.close()
        self._memory.close()

    def _read_counters(self) -> dict[str, int]:
        counts = _values(self.counters)
        whole = len(counts) == len(self.counters)
        return {name: int(count) for name, count in counts.items()} if whole else {}

    def _named(self) -> list[tuple[str, Sensor]]:
        """Every sensor with what to call it in a note."""
        named = [(f"rail {rail.name}", factor) for rail in self.rails for factor in rail.factors]
        named += [(f"alarm of {alarm.name} current", alarm) for rail in self.rails for alarm in rail.alarms]
        named += [(f"temperature of {zone.name}", zone) for zone in self.zones]
        named += [(f"cooling device {device.name}", device) for device in self.cooling]
        others = [*self.counters.values(), *([] if self.emc is None else [self.emc])]
        if self.gpu is not None:
            others += [sensor for sensor in self.gpu if sensor is not None]
        for policy in self.policies:
            others += [policy.mhz, policy.limit_mhz]
        return [*named, *((sensor.name, sensor) for sensor in others)]

    def _missing(self, root: Path) -> Iterable[str]:
        """Notes on what there is no file for."""
        if not there(root / "proc"):
            yield "memory: no /proc, this is not Linux"
        if not self.rails:
            hint = "; in a container, mount the host's /sys" if self.is_jetson else ""
            yield f"power: no INA3221 or INA238 power monitor of a Jetson{hint}"
        if not self.zones:
            yield "temperatures: no zones in /sys/class/thermal"
        if not self.policies:
            yield "CPU clocks: no cpufreq in /sys/devices/system/cpu"
        off = read_cpus_off(root)
        if off:
            yield f"CPUs {', '.join(map(str, off))} are switched off, on a Jetson by the power mode"
        if not self.is_jetson:
            return
        if self.gpu is None:
            yield "GPU clock: no GPU in /sys/class/devfreq"
        elif self.gpu.load is None:
            yield "GPU load: the kernel has no file for it here"
        if self.emc is None:
            closed = debug_is_closed(root)
            yield f"memory clock: {'/sys/kernel/debug needs root' if closed else 'no file for it'}"
        if not self.counters:
            yield "over-current events: no counters (soctherm_oc) here"


def find_counters(root: Path) -> dict[str, Sensor]:
    """Over-current counters by name, e.g. oc1: `oc1_event_cnt` of the hwmon device soctherm_oc."""
    paths = find(root, "sys/class/hwmon/hwmon*/oc*_event_cnt")
    named = {path.name[: -len("_event_cnt")]: path for path in paths}
    return {name: Sensor(f"over-current events {name}", path, low=0) for name, path in named.items()}


def _values(sensors: dict[str, Sensor]) -> dict[str, float]:
    read = {name: sensor.read() for name, sensor in sensors.items()}
    return {name: value for name, value in read.items() if value is not None}
