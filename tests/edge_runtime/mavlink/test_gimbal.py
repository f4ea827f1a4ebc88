"""Gimbal rates: only with a fresh detection, still otherwise, control taken and given back."""

import math
import time

import pytest

from edge_runtime.sinks.mavlink.gimbal import MAX_RATE, Gimbal
from tests.edge_runtime.mavlink.flights import record
from tests.edge_runtime.mavlink.station import Station, mavlink

RATES = "GIMBAL_MANAGER_SET_PITCHYAW"


def rates(wanted):
    return [(m.fields["pitch_rate"], m.fields["yaw_rate"]) for m in wanted if "pitch_rate" in m.fields]


@pytest.mark.parametrize(
    ("ray", "pitch", "yaw"),
    [
        pytest.param((0.1, 0.0), 0.0, math.atan(0.1), id="right: yaw to the right"),
        pytest.param((0.0, -0.1), math.atan(0.1), 0.0, id="above: pitch up"),
        pytest.param((0.002, 0.002), 0.0, 0.0, id="in the middle: still"),
        pytest.param((-3.0, 3.0), -MAX_RATE, -MAX_RATE, id="far off: no faster than allowed"),
    ],
)
def test_rates_turn_towards_the_target(ray, pitch, yaw):
    assert rates(Gimbal(1, 1).follow(record(ray=ray), 0)) == [(pytest.approx(pitch), pytest.approx(yaw))]


def test_control_is_asked_for_until_it_is_granted_and_given_back_once():
    gimbal = Gimbal(1, 154)
    asked = []
    for second in range(4):
        asked += [m for m in gimbal.follow(record(), second * 10**9) if m.name == "command_long"]
        gimbal.acknowledged(0 if second == 2 else 4)
    assert len(asked) == 3
    assert [asked[0].fields[f"param{i}"] for i in (1, 2, 3, 4, 7)] == [1, 191, -1, -1, 0]
    assert asked[0].fields["target_component"] == 154
    *still, release = gimbal.release()
    assert rates(still) == [(0.0, 0.0)] * 5
    assert [release.fields[f"param{i}"] for i in (1, 2)] == [-3, -3]
    assert gimbal.release() == gimbal.hold() == []


@pytest.fixture
def flown(fly):
    """A sink that has just sent rates, and its station."""
    with Station() as station:
        sink = fly(f"udpout:127.0.0.1:{station.port}?gimbal=1")
        sink.report(record())
        station.wait_for(RATES)
        (configure,) = station.of("COMMAND_LONG")
        assert (configure.command, configure.target_component) == (1001, 1)
        station.send(mavlink.MAVLink_command_ack_message(1001, 0, 0, 0, 1, 191))
        yield sink, station


@pytest.mark.parametrize(
    ("what", "gives_back"),
    [
        pytest.param(lambda sink, context: sink.report(record(1, "COASTING")), False, id="coasting"),
        pytest.param(lambda sink, context: sink.report(record(1, "LOST")), True, id="lost"),
        pytest.param(lambda sink, context: sink.report(record(1, "SEARCHING")), True, id="stopped"),
        pytest.param(lambda sink, context: sink.report(record(1, "FAULT")), True, id="fault in a record"),
        pytest.param(lambda sink, context: context.health.fault("engine"), True, id="fault"),
        pytest.param(lambda sink, context: sink.report(record(1, age_ms=200)), False, id="too old"),
        pytest.param(lambda sink, context: sink.close(), True, id="exit"),
        pytest.param(lambda sink, context: None, False, id="no record any more"),
    ],
)
def test_the_gimbal_stands_still(flown, context, what, gives_back):
    sink, station = flown
    before_s = time.monotonic()
    what(sink, context)
    came = station.wait_for(RATES, 6)
    assert time.monotonic() - before_s < 0.6
    assert (came[0].pitch_rate, came[0].yaw_rate) != (0.0, 0.0)
    assert math.isnan(came[0].pitch)
    assert math.isnan(came[0].yaw)
    assert [(m.pitch_rate, m.yaw_rate) for m in came[1:]] == [(0.0, 0.0)] * 5
    time.sleep(0.05)
    assert len(station.of(RATES)) == 6
    released = [m for m in station.of("COMMAND_LONG") if m.param1 == -3]
    assert len(released) == gives_back
