"""Temperatures, the degrees at which the board reacts, and what it does about them.

Names: kernel, Documentation/driver-api/thermal/sysfs-api.rst; NVIDIA's Jetson Linux Developer Guide. Zones of
parts that a module lacks (cv0 of an Orin Nano) or that are switched off (gpu of an idle Thor) answer EAGAIN.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from edge_runtime.board.sensor import Sensor, distinct, find, read_line, read_number

if TYPE_CHECKING:
    from pathlib import Path

# Those that slow something down. Not the fan, nor hot-surface-alert, which warns of touching it at 70 degC.
_THROTTLES = re.compile(r"throttle|^(thermal-)?(cpufreq|devfreq)-|^Processor$")
# Not cooling: their states are settings, or -1 at rest.
_SETTINGS = re.compile(r"TCC Offset|powerclamp|backlight|^LCD$", re.IGNORECASE)
_LOW_C, _HIGH_C = -60.0, 200.0  # a zone that is off reads -256 degC on older releases
_PC_CHIPS = {"coretemp", "k10temp", "zenpower"}


class Trips(NamedTuple):
    """Degrees at which a zone makes the board slow down, and switch off; None where not told."""

    slows_c: float | None
    off_c: float | None


def find_zones(root: Path) -> list[Sensor]:
    """A sensor in degC per thermal zone, named cpu, gpu, tj, ...; and the processor's own on a PC."""
    paths = find(root, "sys/class/thermal/thermal_zone*")
    named = [(_zone_name(path), path / "temp") for path in paths]
    for path in find(root, "sys/class/hwmon/hwmon*"):
        chip = read_line(path / "name") or ""
        if chip in _PC_CHIPS:
            named.append((read_line(path / "temp1_label") or chip, path / "temp1_input"))
    names = distinct(name for name, _ in named)
    return [Sensor(names[i], path, 1e-3, low=_LOW_C, high=_HIGH_C) for i, (_, path) in enumerate(named)]


def read_trips(root: Path) -> dict[str, Trips]:
    """By the name of the zone; of several passive trips the highest slows down, those below it only warn."""
    paths = find(root, "sys/class/thermal/thermal_zone*")
    names = distinct(_zone_name(path) for path in paths)
    trips = {}
    for i, path in enumerate(paths):
        passive, critical = _trip_temps(path, {"passive"}), _trip_temps(path, {"critical", "hot"})
        off_c = min(critical) if critical else None
        below = [temp_c for temp_c in passive if off_c is None or temp_c <= off_c]
        trips[names[i]] = Trips(max(below) if below else None, off_c)
    return trips


def find_cooling(root: Path) -> list[Sensor]:
    """A sensor of the state of every cooling device that acts; 0 is at rest. Many may share a name."""
    paths = find(root, "sys/class/thermal/cooling_device*")
    named = [(read_line(path / "type") or path.name, path / "cur_state") for path in paths]
    return [Sensor(name, path, low=0) for name, path in named if not _SETTINGS.search(name)]


def slows_down(cooling_device: str) -> bool:
    """Whether a cooling device of this name takes speed away when it is at work."""
    return _THROTTLES.search(cooling_device) is not None


def read_fan_rpm(root: Path) -> int | None:
    """Speed of the fan by its tachometer; None without one."""
    tachometers = [
        path for path in find(root, "sys/class/hwmon/hwmon*") if read_line(path / "name") == "pwm_tach"
    ]
    return next((rpm for rpm in (read_number(path / "rpm") for path in tachometers) if rpm is not None), None)


def _zone_name(zone: Path) -> str:
    name = read_line(zone / "type") or zone.name
    return re.sub(r"[-_]therm(al)?$", "", name)


def _trip_temps(zone: Path, kinds: set[str]) -> list[float]:
    temps = []
    for path in find(zone, "trip_point_*_type"):
        millis = read_number(zone / path.name.replace("_type", "_temp"))
        if read_line(path) in kinds and millis is not None and 0 < millis * 1e-3 < _HIGH_C:
            temps.append(millis * 1e-3)
    return temps
