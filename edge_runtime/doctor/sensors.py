"""What the board's sensors tell this user, as `dips-edge profile` will read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_runtime.board.clocks import debug_is_closed
from edge_runtime.board.rails import choose_total
from edge_runtime.board.sensors import OC_MEANINGS, Sensors
from edge_runtime.board.thermal import read_fan_rpm, slows_down
from edge_runtime.doctor.machine import Row

if TYPE_CHECKING:
    from pathlib import Path

    from edge_runtime.board.sensors import Reading
    from edge_runtime.doctor.machine import Machine


def rows(machine: Machine) -> list[Row]:
    sensors = Sensors(machine.root)
    reading = sensors.read()
    sensors.close()
    found = [_power(sensors, reading), _temperatures(sensors, reading, read_fan_rpm(machine.root))]
    if sensors.counters or any(slows_down(device.name) for device in sensors.cooling):
        found.append(_throttling(reading))
    if sensors.is_jetson:
        found.append(_memory_clock(reading, machine.root))
    return found


def _power(sensors: Sensors, reading: Reading) -> Row:
    if not sensors.rails:
        return Row("power", "missing", "no power monitor of a Jetson: profile tells no watts")
    told = [f"{name} {power_w:.1f} W" for name, power_w in reading.rails_w.items()]
    failed = [rail for rail in sensors.rails if rail.name not in reading.rails_w]
    whys = sorted({factor.why for rail in failed for factor in rail.factors if factor.why})
    silent = (
        f"{', '.join(rail.name for rail in failed)}: cannot be read ({', '.join(whys)})" if failed else ""
    )
    if not told:
        return Row("power", "problem", silent, "let this user read below /sys/class/hwmon")
    total = choose_total(reading.rails_w)
    if len(total) > 1:
        told.append(f"in all {sum(reading.rails_w[name] for name in total):.1f} W")
    elif not total:
        told.append("none of them known to measure the whole")
    return Row("power", "ok", "; ".join([", ".join(told), *([silent] if silent else [])]))


def _temperatures(sensors: Sensors, reading: Reading, fan_rpm: int | None) -> Row:
    if not reading.temps_c:
        why = next((zone.why for zone in sensors.zones), "no zones in /sys/class/thermal")
        return Row("temperatures", "problem" if sensors.is_jetson else "missing", f"none: {why}")
    name, temp_c = max(reading.temps_c.items(), key=lambda item: item[1])
    text = f"hottest of {len(reading.temps_c)}: {name} {temp_c:.0f} degC"
    slows_c = sensors.trips[name].slows_c if name in sensors.trips else None
    if slows_c is not None:
        text += f", slows down from {slows_c:g} degC on"
    if fan_rpm is not None:
        text += f"; fan {fan_rpm} rpm"
    silent = [zone.name for zone in sensors.zones if zone.name not in reading.temps_c]
    return Row("temperatures", "ok", text + (f"; no answer from {', '.join(silent)}" if silent else ""))


def _throttling(reading: Reading) -> Row:
    events = [f"{name} {count}" for name, count in reading.counters.items()]
    since = f"; over-current events since boot: {', '.join(events)}" if events else ""
    slowing = [name for name in reading.cooling if slows_down(name)]
    if slowing:
        advice = "let it cool, or choose a lower power mode"
        return Row("throttling", "problem", f"now: {', '.join(slowing)}{since}", advice)
    meant = [OC_MEANINGS[name] for name, count in reading.counters.items() if count and name in OC_MEANINGS]
    advice = f"{', '.join(meant)}: check the power supply and its cable, or choose a lower power mode"
    return Row("throttling", "ok", f"none now{since}", advice if meant else "")


def _memory_clock(reading: Reading, root: Path) -> Row:
    if reading.emc_mhz is not None:
        return Row("memory clock", "ok", f"{reading.emc_mhz:.0f} MHz")
    if debug_is_closed(root):
        advice = "to have it in a profile, run that as root"
        return Row("memory clock", "missing", "/sys/kernel/debug needs root", advice)
    return Row("memory clock", "missing", "no file of the kernel tells it")
