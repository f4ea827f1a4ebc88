"""What is read of each board's layout: values, what is the power of the whole, what is noted."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from edge_runtime.board.clocks import clocks_fixed, find_emc
from edge_runtime.board.rails import choose_total
from edge_runtime.board.sensors import Sensors
from edge_runtime.board.thermal import Trips, read_fan_rpm, read_trips
from edge_runtime.doctor import Machine, Row, sensors
from edge_runtime.doctor.machine import Ran
from tests.edge_runtime.board.recordings import (
    AGX_ORIN,
    AGX_XAVIER,
    BOARDS,
    ORIN_NANO,
    PC,
    THOR,
    XAVIER_NX,
    refuse,
    unfold,
)

DRIVERS = "sys/bus/i2c/drivers"


@pytest.fixture
def board(tmp_path, monkeypatch):
    """Makes a board's tree the root, with the files that it refuses."""

    def make(name: str) -> Path:
        refuse(monkeypatch, unfold(name, tmp_path))
        return tmp_path

    return make


def test_every_tree_is_used_here():
    assert {ORIN_NANO, AGX_ORIN, XAVIER_NX, AGX_XAVIER, THOR, PC} == set(BOARDS)


@pytest.mark.parametrize(
    ("name", "rails_w", "total"),
    [
        pytest.param(
            ORIN_NANO, {"VDD_IN": 9.550, "VDD_CPU_GPU_CV": 3.090, "VDD_SOC": 2.404}, ("VDD_IN",), id=ORIN_NANO
        ),
        pytest.param(
            AGX_ORIN,
            {"VDD_GPU_SOC": 8.0, "VDD_CPU_CV": 5.0, "VIN_SYS_5V0": 4.5, "VDDQ_VDD2_1V8AO": 0.5},
            ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),
            id=AGX_ORIN,
        ),
        pytest.param(
            XAVIER_NX, {"VDD_IN": 6.0, "VDD_CPU_GPU_CV": 1.5, "VDD_SOC": 1.4}, ("VDD_IN",), id=XAVIER_NX
        ),
        pytest.param(
            AGX_XAVIER,
            {"GPU": 0.95, "CPU": 1.2, "SOC": 2.1, "CV": 0.0, "VDDRQ": 0.45, "SYS5V": 3.1},
            ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),
            id=AGX_XAVIER,
        ),
        pytest.param(
            THOR,
            {"VDD_GPU": 7.706, "VDD_CPU_SOC_MSS": 11.558, "VIN_SYS_5V0": 8.853, "VIN": 29.5},
            ("VIN",),
            id=THOR,
        ),
        pytest.param(PC, {}, (), id=PC),
    ],
)
def test_rails_are_read_in_watts_and_the_one_of_the_whole_is_known(board, name, rails_w, total):
    reading = Sensors(board(name)).read()
    assert reading.rails_w == pytest.approx(rails_w, abs=1e-3)
    assert choose_total(reading.rails_w) == total


def test_thor_without_the_carrier_boards_monitor_has_the_sum_of_the_modules_rails(board):
    root = board(THOR)
    (root / "sys/class/hwmon/hwmon4/name").unlink()
    assert choose_total(Sensors(root).read().rails_w) == ("VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0")


@pytest.mark.parametrize(
    ("name", "temps_c"),
    [
        (ORIN_NANO, {"cpu": 49.062, "gpu": 48.093, "soc0": 47, "soc1": 48.343, "soc2": 47.593, "tj": 49.062}),
        (AGX_ORIN, {"cpu": 47.4, "gpu": 43, "tj": 47.4}),
        (XAVIER_NX, {"CPU": 41.5, "GPU": 40, "AUX": 39.5, "AO": 40.5, "PMIC-Die": 100}),
        (AGX_XAVIER, {"CPU": 38, "thermal-fan-est": 38.4}),
        (THOR, {"cpu": 53.7, "soc012": 55.1, "soc345": 53.7, "tj": 55.1}),
        (PC, {"acpitz": 58, "x86_pkg_temp": 61, "Package id 0": 61}),
    ],
)
def test_zones_that_answer_are_read_and_the_others_left_out(board, name, temps_c):
    assert Sensors(board(name)).read().temps_c == pytest.approx(temps_c)


@pytest.mark.parametrize(
    ("name", "gpu_mhz", "gpu_load", "emc_mhz", "cpu_mhz", "fixed"),
    [
        pytest.param(ORIN_NANO, 1020, 0.73, 3199, [1728] * 4 + [1344] * 2, False, id=ORIN_NANO),
        pytest.param(AGX_ORIN, 306, 0.0, 3199, [2201.6] * 12, False, id=AGX_ORIN),
        pytest.param(XAVIER_NX, 1109.25, 0.99, 1600, [1420.8] * 4, False, id=XAVIER_NX),
        pytest.param(AGX_XAVIER, 318.75, 0.12, None, [1190.4], None, id=AGX_XAVIER),
        pytest.param(THOR, 315, None, 4266, [972] * 4, False, id=THOR),
        pytest.param(PC, None, None, None, [2899.998, 400.007], False, id=PC),
    ],
)
def test_clocks_are_read_in_mhz(board, name, gpu_mhz, gpu_load, emc_mhz, cpu_mhz, fixed):
    root = board(name)
    reading = Sensors(root).read()
    read = (reading.gpu_mhz, reading.gpu_load, reading.emc_mhz, clocks_fixed(root))
    assert read == (gpu_mhz, gpu_load, emc_mhz, fixed)
    assert reading.cpu_mhz == pytest.approx(cpu_mhz)


@pytest.mark.parametrize(
    ("name", "noted"),
    [
        pytest.param(
            ORIN_NANO,
            [
                "temperature of cv0, temperature of cv1, temperature of cv2: cannot be read "
                "(Resource temporarily unavailable)"
            ],
            id=ORIN_NANO,
        ),
        pytest.param(AGX_ORIN, [], id=AGX_ORIN),
        pytest.param(
            XAVIER_NX,
            [
                "CPUs 4, 5 are switched off, on a Jetson by the power mode",
                "over-current events: no counters (soctherm_oc) here",
            ],
            id=XAVIER_NX,
        ),
        pytest.param(
            AGX_XAVIER,
            ["memory clock: no file for it", "over-current events: no counters (soctherm_oc) here"],
            id=AGX_XAVIER,
        ),
        pytest.param(
            THOR,
            [
                "GPU load: the kernel has no file for it here",
                "temperature of gpu: cannot be read (Resource temporarily unavailable)",
            ],
            id=THOR,
        ),
        pytest.param(
            PC,
            [
                "power: no INA3221 or INA238 power monitor of a Jetson",
                "temperature of INT3400 Thermal: cannot be read (No data available)",
                "temperature of acpitz#2: cannot be read (reads -273.2, which cannot be)",
            ],
            id=PC,
        ),
    ],
)
def test_what_cannot_be_read_is_noted_with_the_reason(board, name, noted):
    found = Sensors(board(name))
    for _ in range(3):
        found.read()
    no_proc = {"memory: no /proc, this is not Linux"}
    assert sorted(set(found.notes()) - no_proc) == sorted(noted)


def test_orin_tells_events_cooling_and_memory_of_this_process(board):
    reading = Sensors(board(ORIN_NANO)).read()
    assert reading.counters == {"oc1": 0, "oc2": 0, "oc3": 27}
    assert reading.cooling == {"pwm-fan": 1}
    assert reading.alarms == []
    assert reading.limits_mhz == {"GPU": 1020, "CPU 0": 1728, "CPU 4": 1728}
    assert reading.memory.available == 5_100_000 * 1024
    assert reading.memory.rss is not None and reading.memory.rss % 52_000 == 0  # pages of any size
    assert reading.memory.swapped is None


def test_of_several_passive_trips_the_highest_slows_down(board):
    root = board(ORIN_NANO)
    assert read_trips(root)["tj"] == Trips(slows_c=99.0, off_c=104.5)
    assert read_fan_rpm(root) == 2140


def test_states_that_are_settings_are_no_cooling(board):
    root = board(PC)
    (root / "sys/class/thermal/cooling_device1/cur_state").write_text("2\n")
    assert Sensors(root).read().cooling == {"Processor": 2}


def test_a_rail_that_is_switched_off_is_left_out_and_noted(board):
    root = board(ORIN_NANO)
    (root / "sys/class/hwmon/hwmon1/in3_enable").write_text("0\n")
    found = Sensors(root)
    assert set(found.read().rails_w) == {"VDD_IN", "VDD_CPU_GPU_CV"}
    assert "rail VDD_SOC: switched off in the power monitor" in found.notes()


def test_alarms_of_the_power_monitor_are_told_by_rail(board):
    root = board(ORIN_NANO)
    (root / "sys/class/hwmon/hwmon1/curr1_crit_alarm").write_text("1\n")
    assert Sensors(root).read().alarms == ["VDD_IN critical"]


@pytest.mark.parametrize("gone", ["sys/class/hwmon", DRIVERS])
def test_the_power_monitor_is_found_by_either_way_and_once(board, gone):
    root = board(ORIN_NANO)
    for link in (root / gone).rglob("*"):
        if link.is_symlink():
            link.unlink()
    assert len(Sensors(root).rails) == 3


def test_a_memory_clock_that_only_root_may_see_is_noted(board, monkeypatch):
    root = board(ORIN_NANO)
    closed = root / "sys/kernel/debug"
    monkeypatch.setattr("os.access", lambda path, mode: closed not in (Path(path), *Path(path).parents))
    monkeypatch.setattr("edge_runtime.board.clocks.there", lambda path: Path(path) == closed)
    assert find_emc(root) is None
    assert "memory clock: /sys/kernel/debug needs root" in Sensors(root).notes()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param(
            ORIN_NANO,
            {
                "power": "VDD_IN 9.6 W, VDD_CPU_GPU_CV 3.1 W, VDD_SOC 2.4 W",
                "temperatures": "hottest of 6: cpu 49 degC, slows down from 99 degC on; fan 2140 rpm; "
                "no answer from cv0, cv1, cv2",
                "throttling": "none now; over-current events since boot: oc1 0, oc2 0, oc3 27",
                "memory clock": "3199 MHz",
            },
            id=ORIN_NANO,
        ),
        pytest.param(
            AGX_ORIN,
            {
                "power": "VDD_GPU_SOC 8.0 W, VDD_CPU_CV 5.0 W, VIN_SYS_5V0 4.5 W, VDDQ_VDD2_1V8AO 0.5 W, "
                "in all 17.5 W",
                "temperatures": "hottest of 3: cpu 47 degC, slows down from 99 degC on",
                "throttling": "none now; over-current events since boot: oc1 0, oc2 0, oc3 0",
                "memory clock": "3199 MHz",
            },
            id=AGX_ORIN,
        ),
        pytest.param(
            PC,
            {
                "power": "no power monitor of a Jetson: profile tells no watts",
                "temperatures": "hottest of 3: x86_pkg_temp 61 degC; "
                "no answer from acpitz#2, INT3400 Thermal",
                "throttling": "none now",
            },
            id=PC,
        ),
    ],
)
def test_the_doctor_tells_what_the_sensors_say(board, name, expected):
    assert {row.name: row.text for row in doctor_rows(board(name))} == expected


def test_the_doctor_says_when_the_board_is_slowed_down_or_may_not_be_read(board, monkeypatch):
    root = board(ORIN_NANO)
    (root / "sys/class/thermal/cooling_device4/cur_state").write_text("1\n")
    hwmon = root / "sys/class/hwmon/hwmon1"
    refuse(monkeypatch, {hwmon / f"in{number}_input": errno.EACCES for number in (1, 2, 3)})
    rows = {row.name: row for row in doctor_rows(root)}
    assert (rows["throttling"].state, rows["power"].state) == ("problem", "problem")
    assert rows["throttling"].text.startswith("now: gpu-throttle-alert")
    assert rows["power"].text == "VDD_IN, VDD_CPU_GPU_CV, VDD_SOC: cannot be read (Permission denied)"


def doctor_rows(root: Path) -> list[Row]:
    return sensors.rows(Machine(root, root, lambda command: Ran(None, why="gone"), lambda name: False))
