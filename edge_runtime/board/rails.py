"""Watts by rail, from the power monitors of Jetsons: INA3221 on the module, INA238 on Thor's carrier board.

hwmon (JetPack 5 and newer)  in1_label, in1_input mV, curr1_input mA     one with power1_input uW (INA238)
iio   (JetPack 4)            rail_name_0, in_power0_input mW             below drivers/ina3221x

Names: kernel, Documentation/hwmon/ina3221.rst; NVIDIA's Jetson Linux Developer Guide, "Platform Power and
Performance". The INA3221 has three channels; in4 to in6 are shunt voltages, in7 and curr4 are sums.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from edge_runtime.board.sensor import Sensor, distinct, find, read_line, read_number, there

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# What feeds the whole of it, best first. VIN is the carrier board's input, the others are the module's: the
# carrier board, its cameras and its fan come on top. Modules without such a rail have several in parallel.
# AGX Orin's VDDQ_VDD2_1V8AO hangs on VIN_SYS_5V0 and is in it already.
_TOTALS: tuple[tuple[str, ...], ...] = (
    ("VIN",),  # AGX Thor Developer Kit
    ("VDD_IN",),  # Orin Nano, Orin NX, Xavier NX, TX2
    ("POM_5V_IN",),  # Nano
    ("5V_IN",),
    ("VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0"),  # Thor
    ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),  # AGX Orin
    ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),  # AGX Xavier
)
_MILLI, _MICRO = 1e-3, 1e-6
_LIMIT = 2000.0  # volts, amperes, watts: far above any board
_ALARMS = {"crit": "critical", "max": "warning"}


class Rail(NamedTuple):
    """One supply.

    Attributes:
        name: as the board's device tree has it.
        factors: their product is the power in W: volts and amperes, or watts alone.
        alarms: over-current flags of the monitor; each reading of the chip clears them.
    """

    name: str
    factors: tuple[Sensor, ...]
    alarms: tuple[Sensor, ...] = ()

    def read_w(self) -> float | None:
        """Power in W, negative by a little at no load; None when a factor cannot be read."""
        power_w = 1.0
        for factor in self.factors:
            value = factor.read()
            if value is None:
                return None
            power_w *= value
        return power_w


def find_rails(root: Path) -> tuple[list[Rail], list[str]]:
    """The rails that are switched on, and a note on each that is not."""
    rails: list[Rail] = []
    notes: list[str] = []
    for chip in _chips(root):
        found = _of_chip(chip) if read_line(chip / "rail_name_0") is None else _of_iio(chip)
        for rail, off in found:
            if off:
                notes.append(f"rail {rail.name}: switched off in the power monitor")
            else:
                rails.append(rail)
    names = distinct(rail.name for rail in rails)
    return [rail._replace(name=names[i]) for i, rail in enumerate(rails)], notes


def choose_total(names: Iterable[str]) -> tuple[str, ...]:
    """Of these rails, those whose sum is what the whole takes; empty when there are none such."""
    there = set(names)
    return next((total for total in _TOTALS if there.issuperset(total)), ())


def _chips(root: Path) -> list[Path]:
    """Directories of power monitors, each once by whatever way it is found."""
    hwmon = [path for path in find(root, "sys/class/hwmon/hwmon*") if _is_monitor(path)]
    i2c = find(root, "sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*")
    iio = find(root, "sys/bus/i2c/drivers/ina3221x/*/iio[:_]device*")
    chips: dict[str, Path] = {}
    for path in (*hwmon, *i2c, *iio):
        chips.setdefault(os.path.realpath(path), path)
    return list(chips.values())


def _is_monitor(hwmon: Path) -> bool:
    return (read_line(hwmon / "name") or "").startswith("ina")


def _of_chip(hwmon: Path) -> list[tuple[Rail, bool]]:
    """Rails of a chip that hwmon drives, each with whether it is switched off."""
    found = []
    single = read_line(hwmon / "label")  # INA238: one channel, named for the whole chip
    power = hwmon / "power1_input"
    if single and there(power):
        found.append((Rail(single, (Sensor(single, power, _MICRO, low=-_LIMIT, high=_LIMIT),)), False))
    for path in find(hwmon, "in*_label"):
        number, name = path.name[2:-6], read_line(path)
        current = hwmon / f"curr{number}_input"
        if not name or name == "NC" or not there(current):  # not connected, a sum of shunt voltages
            continue
        volts = Sensor(name, hwmon / f"in{number}_input", _MILLI, low=-_LIMIT, high=_LIMIT)
        amperes = Sensor(name, current, _MILLI, low=-_LIMIT, high=_LIMIT)
        off = read_number(hwmon / f"in{number}_enable") == 0
        found.append((Rail(name, (volts, amperes), _alarms(hwmon, number, name)), off))
    return found


def _alarms(hwmon: Path, number: str, name: str) -> tuple[Sensor, ...]:
    paths = {word: hwmon / f"curr{number}_{kind}_alarm" for kind, word in _ALARMS.items()}
    return tuple(Sensor(f"{name} {word}", path, low=0, high=1) for word, path in paths.items() if there(path))


def _of_iio(device: Path) -> list[tuple[Rail, bool]]:
    """Rails of a chip that JetPack 4's own driver drives; it has no switch."""
    found = []
    for path in find(device, "rail_name_*"):
        name, power = read_line(path), device / f"in_power{path.name[10:]}_input"
        if name and name != "NC":
            found.append((Rail(name, (Sensor(name, power, _MILLI, low=-_LIMIT, high=_LIMIT),)), False))
    return found
