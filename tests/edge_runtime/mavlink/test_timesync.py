"""TIMESYNC: answered at once, by the clock of every `time_usec`."""

import statistics
import struct
import time

import pytest

from edge_runtime.sinks.mavlink.link import Received
from edge_runtime.sinks.mavlink.timesync import reply
from tests.edge_runtime.mavlink.station import Station, free_port, mavlink


def request(tc1=0, system=0, component=0, ts1=-7):
    fields = {"tc1": tc1, "ts1": ts1, "target_system": system, "target_component": component}
    return Received("peer", 255, 190, "timesync", fields)


@pytest.mark.parametrize(
    ("asked", "speaker"),
    [
        pytest.param(request(), 191, id="to all"),
        pytest.param(request(system=1), 191, id="to the vehicle"),
        pytest.param(request(system=1, component=100), 100, id="to the camera"),
        pytest.param(request(system=1, component=191), 191, id="to the companion"),
        pytest.param(request(system=1, component=1), None, id="to the autopilot"),
        pytest.param(request(system=2), None, id="to another vehicle"),
        pytest.param(request(tc1=5), None, id="an answer, not a request"),
    ],
)
def test_a_request_is_answered_by_the_one_it_is_for(asked, speaker):
    answer = reply(asked, 1234, 1, 100)
    assert (None if answer is None else answer.compid) == speaker
    if answer is not None:
        assert answer.fields == {"tc1": 1234, "ts1": -7, "target_system": 255, "target_component": 190}


def test_the_offset_is_constant_and_no_wall_clock_is_in_it(fly, monkeypatch):
    port = free_port()
    fly(f"udpin:127.0.0.1:{port}")
    wall_s = time.time()
    monkeypatch.setattr(time, "time", lambda: wall_s + 3600)
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    offsets, trips = [], []
    with Station(port) as station:
        for i in range(60):
            asked_ns = time.monotonic_ns()
            station.send(mavlink.MAVLink_timesync_message(0, asked_ns))
            answer = station.wait_for("TIMESYNC", i + 1)[-1]
            came_ns = next(t for t, m in reversed(station.came) if m.get_type() == "TIMESYNC")
            assert answer.ts1 == asked_ns
            trips.append(came_ns - asked_ns)
            offsets.append(answer.tc1 - (asked_ns + came_ns) // 2)
    assert statistics.median(trips) < 5e6
    # our own clock at the other end: the offset is zero but for half of the trip
    assert all(abs(offset) <= trip / 2 for offset, trip in zip(offsets, trips))
    assert abs(statistics.median(offsets)) < 2e6


def test_the_ids_of_the_requester_come_back_in_the_extension(fly):
    port = free_port()
    fly(f"udpin:127.0.0.1:{port}")
    with Station(port) as station:
        plain = mavlink.MAVLink_timesync_message(0, 42)
        payload = struct.pack("<qqBB", 0, 42, 1, 100)
        station.send_bytes(plain._pack(station._codec, plain.crc_extra, payload))
        (answer,) = station.wait_for("TIMESYNC")
    assert answer.get_srcComponent() == 100
    assert bytes(answer.get_msgbuf())[10 + 16 : 10 + 18] == bytes((255, 190))
