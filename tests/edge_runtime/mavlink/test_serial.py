"""A serial line, played by a pseudo terminal: packets, a full buffer, a device that goes and comes back."""

import os
import pty
import select
import time
import tty

import pytest

from edge_runtime.sinks.mavlink import messages, serialport
from edge_runtime.sinks.mavlink.serialport import Serial
from tests.edge_runtime.mavlink.flights import record
from tests.edge_runtime.mavlink.station import mavlink


class Line:
    """A pseudo terminal under a name that can be given to the next one, as udev does with a device."""

    def __init__(self, link):
        self.link = link
        self.plug()

    def plug(self):
        self.master, self.slave = pty.openpty()
        tty.setraw(self.master)
        self.link.unlink(missing_ok=True)
        self.link.symlink_to(os.ttyname(self.slave))

    def unplug(self):
        for fd in (self.master, self.slave):
            os.close(fd)

    def read(self, seconds):
        data = b""
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            if select.select([self.master], [], [], left_s)[0]:
                data += os.read(self.master, 4096)
        return data


@pytest.fixture
def line(tmp_path):
    line = Line(tmp_path / "ttyFC")
    yield line
    line.unplug()


def parsed(data):
    codec = mavlink.MAVLink(None)
    codec.robust_parsing = True
    return codec.parse_buffer(data) or []


def test_packets_go_both_ways(line, fly):
    sink = fly(f"{line.link}:115200?landing_target=ardupilot")
    sink.report(record())
    codec = mavlink.MAVLink(None, srcSystem=1, srcComponent=1)
    ask = mavlink.MAVLink_command_long_message(1, 100, 512, 0, 259, *(float("nan"),) * 6).pack(codec)
    os.write(line.master, b"\xfd\x09noise" + ask[:11])
    time.sleep(0.05)
    os.write(line.master, ask[11:] + ask)
    came = parsed(line.read(0.5))
    names = [m.get_type() for m in came]
    assert "BAD_DATA" not in names
    assert {"HEARTBEAT", "LANDING_TARGET", "COMMAND_ACK", "CAMERA_INFORMATION"} <= set(names)


def test_a_device_that_comes_back_is_used_again(line, fly, monkeypatch):
    monkeypatch.setattr(serialport, "REOPEN_S", 0.1)
    sink = fly(f"{line.link}:115200")
    assert b"\xfd" in line.read(0.3)
    line.unplug()
    time.sleep(0.1)
    sink.report(record())  # lost, and no error
    line.plug()
    came, until_s = b"", time.monotonic() + 5
    while b"\xfd" not in came and time.monotonic() < until_s:
        came += line.read(0.1)
    assert [m.get_type() for m in parsed(came)] == ["HEARTBEAT"] * 2


def test_what_a_full_line_cannot_take_is_lost_and_not_sent_later(line, fly):
    """Nobody reads until the buffers are full; then all is read, and only what is new comes after it."""
    sink = fly(f"{line.link}:921600?landing_target=ardupilot")
    while sink.link.lost == 0:
        sink.link.send(messages.statustext(messages.INFO, "fills the line"))
    for i in range(20):
        sink.report(record(i))
    line.read(0.3)
    last = record(20)
    sink.report(last)
    came = [m for m in parsed(line.read(0.2)) if m.get_type() == "LANDING_TARGET"]
    assert [m.time_usec for m in came] == [last["t_cap_mono_ns"] // 1000]


@pytest.mark.parametrize(("waiting", "expected_ms"), [(0, 10.0), (2822, 500.0)])
def test_the_time_a_packet_waits_in_the_kernel_counts_as_age(line, monkeypatch, waiting, expected_ms):
    port = Serial(str(line.link), 57600)
    monkeypatch.setattr(port, "_waiting", lambda: waiting)
    assert port.delay_ns(58) / 1e6 == pytest.approx(expected_ms, rel=0.02)
    port.close()


def test_a_packet_that_does_not_fit_into_the_buffer_is_lost_whole(line, monkeypatch):
    port = Serial(str(line.link), 57600)
    monkeypatch.setattr(port, "_waiting", lambda: 3990)
    assert not port.send(bytes(20), "serial")
    port.close()
    assert line.read(0.1) == b""
