"""When a reading counts as throttled, by each of the four rules."""

from __future__ import annotations

from typing import Any

import pytest

from edge_runtime.board.memory import MemoryReading
from edge_runtime.board.sensors import Reading
from edge_runtime.board.thermal import slows_down
from edge_runtime.board.throttle import Throttle

CALM: dict[str, Any] = {
    "rails_w": {},
    "temps_c": {},
    "gpu_mhz": 1020.0,
    "gpu_load": 0.5,
    "emc_mhz": None,
    "cpu_mhz": [],
    "cooling": {},
    "counters": {"oc3": 5},
    "alarms": [],
    "limits_mhz": {"GPU": 1020.0, "CPU 0": 1728.0},
    "memory": MemoryReading(None, None, None),
}
SLOW = {"gpu_load": 0.95, "gpu_mhz": 918.0}


@pytest.mark.parametrize(
    ("changes", "seconds", "causes"),
    [
        pytest.param([{}, {}, {}], 0, {}, id="calm"),
        pytest.param(
            [{}, {"cooling": {"gpu-throttle-alert": 1}}, {}],
            2,
            {"gpu-throttle-alert": 2},
            id="a throttle alert",
        ),
        pytest.param([{"cooling": {"cpufreq-cpu0": 3}}], 0, {"cpufreq-cpu0": 0}, id="the first has no time"),
        pytest.param([{}, {"cooling": {"pwm-fan": 2, "hot-surface-alert": 1}}], 0, {}, id="fan and warning"),
        pytest.param(
            [{}, {"counters": {"oc3": 7}}, {"counters": {"oc3": 7}}], 2, {"over-current oc3": 2}, id="events"
        ),
        pytest.param([{}, {"counters": {"oc3": 0}}], 0, {}, id="a counter that starts anew"),
        pytest.param(
            [{}, {"counters": {}}, {"counters": {"oc3": 6}}],
            2,
            {"over-current oc3": 2},
            id="events while the counter could not be read",
        ),
        pytest.param(
            [{}, {"limits_mhz": {"GPU": 1020.0, "CPU 0": 1113.6}}, {}],
            2,
            {"CPU 0 clock limit lowered": 2},
            id="a lower limit",
        ),
        pytest.param([{}, {"limits_mhz": {"GPU": 1000.0}}], 0, {}, id="a limit 2 % lower"),
        pytest.param(
            [{}, SLOW, SLOW, SLOW], 4, {"GPU clock below its limit when busy": 4}, id="busy but slow"
        ),
        pytest.param([{}, SLOW, {}, SLOW], 0, {}, id="busy but slow for one reading only"),
        pytest.param([{}, *[{**SLOW, "gpu_load": 0.8}] * 3], 0, {}, id="slow but not busy"),
        pytest.param([{}, *[{**SLOW, "gpu_load": None}] * 3], 0, {}, id="nobody knows how busy"),
        pytest.param(
            [{}, {"cooling": {"gpu-throttle-alert": 1}, "counters": {"oc3": 6}}],
            2,
            {"gpu-throttle-alert": 2, "over-current oc3": 2},
            id="two causes are the same seconds",
        ),
    ],
)
def test_seconds_are_those_before_a_throttled_reading(changes, seconds, causes):
    throttle = Throttle(can_tell=True)
    for number, change in enumerate(changes):
        throttle.add(2.0 * number, Reading(**{**CALM, **change}))
    assert throttle.seconds == seconds
    assert throttle.causes == causes
    assert len(throttle.told()) == bool(causes)


def test_a_machine_that_cannot_tell_says_so():
    throttle = Throttle(can_tell=False)
    for number in range(3):
        throttle.add(number, Reading(**{**CALM, "limits_mhz": {}, "counters": {}}))
    assert throttle.seconds is None


def test_events_are_counted_by_counter():
    throttle = Throttle(can_tell=True)
    for number, counts in enumerate([(1, 5), (1, 9), (0, 10), (2, 10)]):
        throttle.add(number, Reading(**{**CALM, "counters": {"oc1": counts[0], "oc3": counts[1]}}))
    assert throttle.events == {"oc1": 2, "oc3": 5}


@pytest.mark.parametrize(
    ("name", "slows"),
    [
        ("gpu-throttle-alert", True),
        ("soc012-throttle-alert", True),
        ("devfreq-17000000.gpu", True),
        ("thermal-cpufreq-0", True),
        ("cpufreq-cpu4", True),
        ("Processor", True),
        ("hot-surface-alert", False),
        ("pwm-fan", False),
        ("Fan", False),
    ],
)
def test_cooling_devices_that_slow_down_are_told_from_those_that_do_not(name, slows):
    assert slows_down(name) is slows
