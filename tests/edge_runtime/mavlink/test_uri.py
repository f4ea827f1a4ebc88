"""Every misspelt URI is one clear line."""

import sys
from pathlib import Path

import pytest

from edge_runtime.errors import MissingExtra, SinkError
from edge_runtime.sinks import open_sink
from edge_runtime.sinks.mavlink.uri import MavlinkOptions, parse


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param("udpout:127.0.0.1:14550", MavlinkOptions("udpout", "127.0.0.1", 14550), id="udpout"),
        pytest.param("udpin:[::1]:14550", MavlinkOptions("udpin", "::1", 14550), id="IPv6"),
        pytest.param("/dev/ttyTHS1:921600", MavlinkOptions("serial", "/dev/ttyTHS1", 921600), id="serial"),
        pytest.param(
            "udpout:fc:1?landing_target=px4&rate_hz=2.5&sysid=7&compid=105&gimbal=154&signing_key=/k%20y&link_id=2",
            MavlinkOptions("udpout", "fc", 1, 7, 105, "px4", 2.5, 154, Path("/k y"), 2),
            id="all options",
        ),
    ],
)
def test_options_are_read(target, expected):
    assert parse(target) == expected


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("udp:1.2.3.4:14550", "expected udpout:HOST:PORT"),
        ("udpout:14550", "expected udpout:HOST:PORT"),
        ("udpout::14550", "expected udpout:HOST:PORT"),
        ("udpout:host:0", "the port is '0', expected an integer from 1 to 65535"),
        ("udpout:host:port", "the port is 'port'"),
        ("udpout:host:99999", "the port is '99999'"),
        ("/dev/ttyTHS1", "names no baud rate; expected /dev/TTY:BAUD, such as /dev/ttyTHS1:921600"),
        ("/dev/ttyTHS1:fast", "the baud rate is 'fast'"),
        ("udpout:h:1?landing_target=betaflight", "landing_target is 'betaflight', expected ardupilot or px4"),
        ("udpout:h:1?rate_hz=nan", "rate_hz is 'nan', expected a number from 0 to 200"),
        ("udpout:h:1?rate_hz=-1", "rate_hz is '-1'"),
        ("udpout:h:1?compid=191", "compid is '191', expected an integer from 100 to 105"),
        ("udpout:h:1?sysid=0", "sysid is '0', expected an integer from 1 to 255"),
        ("udpout:h:1?sysid=²", "sysid is '²'"),
        ("udpout:h:1?gimbal", "option 'gimbal', expected gimbal=VALUE, once"),
        ("udpout:h:1?gimbal=1&gimbal=2", "option 'gimbal=2', expected gimbal=VALUE, once"),
        ("udpout:h:1?speed=3", "unknown option 'speed', expected landing_target, rate_hz"),
    ],
)
def test_a_misspelt_target_is_one_line(target, message):
    with pytest.raises(SinkError) as caught:
        parse(target)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        pytest.param("udpout:no.such.host.invalid:1", "cannot find the host", id="unknown host"),
        pytest.param("udpin:203.0.113.7:14550", "udpin:203.0.113.7:14550: ", id="not our address"),
        pytest.param("/dev/no-such-tty:57600", "/dev/no-such-tty:57600: No such file", id="no device"),
        pytest.param("/dev/null:57600", "is no serial device", id="no serial device"),
        pytest.param("/dev/null:57601", "baud rate 57601, expected one of 9600, ", id="odd baud rate"),
    ],
)
def test_what_cannot_be_opened_is_one_line(target, message):
    pytest.importorskip("pymavlink", reason="pymavlink is not installed")
    with pytest.raises(SinkError) as caught:
        open_sink(f"mavlink:{target}")
    assert message in str(caught.value)


def test_the_name_of_the_sink_does_not_show_where_the_key_is(tmp_path):
    pytest.importorskip("pymavlink", reason="pymavlink is not installed")
    key = tmp_path / "secret"
    key.write_bytes(bytes(32))
    key.chmod(0o600)
    sink = open_sink(f"mavlink:udpout:127.0.0.1:9?signing_key={key}")
    sink.close()
    assert sink.name == "mavlink:udpout:127.0.0.1:9"


def test_without_pymavlink_the_line_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymavlink.dialects.v20", None)
    with pytest.raises(MissingExtra, match=r"pip install 'dips-edge\[guidance\]'"):
        open_sink("mavlink:udpout:127.0.0.1:9")
