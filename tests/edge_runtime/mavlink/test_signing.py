"""Signing: the key file, time that only rises, and what is refused on the wire."""

import time

import pytest

from edge_runtime.errors import SinkError
from edge_runtime.sinks.mavlink.signing import (
    EPOCH_S,
    RESERVE,
    TICKS_PER_S,
    SigningClock,
    read_key,
    time_file,
)
from tests.edge_runtime.mavlink.station import Station, free_port, mavlink

KEY = bytes(range(32))
NOW_S = 1_795_000_000.0


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "mavlink.key"
    path.write_bytes(KEY)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    "content", [pytest.param(KEY, id="raw"), pytest.param(KEY.hex().encode() + b"\n", id="hexadecimal")]
)
def test_a_key_is_32_bytes(key_file, content):
    key_file.write_bytes(content)
    assert read_key(key_file) == KEY


@pytest.mark.parametrize(
    ("mode", "content", "message"),
    [
        (0o644, KEY, "has mode 0644, expected 0600; run: chmod 600"),
        (0o640, KEY, "has mode 0640"),
        (0o600, KEY[:31], "has 31 bytes, expected 32, or 64 hexadecimal digits"),
        (0o600, b"correct horse battery staple", "has 28 bytes"),
        (0o600, b"", "has 0 bytes"),
    ],
)
def test_a_key_that_cannot_be_used_is_one_line(key_file, mode, content, message):
    key_file.write_bytes(content)
    key_file.chmod(mode)
    with pytest.raises(SinkError, match=message):
        read_key(key_file)


def test_a_missing_key_is_one_line(tmp_path):
    with pytest.raises(SinkError, match=r"signing key .*: No such file"):
        read_key(tmp_path / "none")


def test_time_follows_the_monotonic_clock_whatever_wall_time_does(tmp_path):
    wall, mono = [NOW_S], [0]
    clock = SigningClock(tmp_path / "t", lambda: wall[0], lambda: mono[0])
    assert clock.now() == int((NOW_S - EPOCH_S) * TICKS_PER_S)
    wall[0] = 0.0
    mono[0] = 2_000_000_000
    assert clock.now() == int((NOW_S - EPOCH_S + 2) * TICKS_PER_S)


@pytest.mark.parametrize(
    "passed_s", [0.0, 0.5, -3600.0, -NOW_S], ids=["at once", "soon", "an hour back", "1970"]
)
def test_a_restart_starts_after_all_that_was_used(tmp_path, passed_s):
    mono = [0]
    first = SigningClock(tmp_path / "t", lambda: NOW_S, lambda: mono[0])
    for seconds in range(60):  # killed at any moment: nothing is written at the end
        mono[0] = seconds * 1_000_000_000
        first.keep()
    used = first.now()
    again = SigningClock(tmp_path / "t", lambda: NOW_S + 59 + passed_s, lambda: mono[0])
    assert used < again.now() <= used + RESERVE + TICKS_PER_S


def test_an_unset_clock_without_a_kept_time_is_refused(tmp_path):
    with pytest.raises(
        SinkError, match=r"it says 1970-01-01, and .* keeps no earlier time; set the clock once"
    ):
        SigningClock(tmp_path / "t", lambda: 3600.0)


@pytest.mark.parametrize("content", ["", "x", "-5", str(2**48)])
def test_a_damaged_time_file_is_refused(tmp_path, content):
    (tmp_path / "t").write_text(content)
    with pytest.raises(SinkError, match="does not hold a signing time"):
        SigningClock(tmp_path / "t", lambda: NOW_S)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(SinkError, match=r"cannot keep the signing time in .*: No such file"):
        SigningClock(tmp_path / "none" / "t", lambda: NOW_S)


def test_only_the_right_key_is_heard_and_understood(fly, key_file):
    port = free_port()
    sink = fly(f"udpin:127.0.0.1:{port}?signing_key={key_file}&link_id=3")
    with Station(port, key=KEY) as friend, Station(port) as unsigned, Station(port, key=bytes(32)) as wrong:
        for stranger in (unsigned, wrong):
            for _ in range(20):
                stranger.send_command(512, 259)
        assert friend.command(512, 259).result == 0
        friend.wait_for("HEARTBEAT", 2)
        time.sleep(0.1)
        assert unsigned.names() == []
        assert wrong.names() == []
        good = [m for _, m in friend.came if m.get_type() != "BAD_DATA"]
        assert all(m.get_signed() and m.get_link_id() == 3 for m in good)
        stamps = [int.from_bytes(bytes(m.get_msgbuf())[-12:-6], "little") for m in good]
        assert stamps == sorted(set(stamps))
        now = (time.time() - EPOCH_S) * TICKS_PER_S
        assert abs(stamps[-1] - now) < 5 * TICKS_PER_S
    assert sink.link.refused == 40


def test_a_forged_time_does_not_shut_out_the_true_sender(fly, key_file):
    port = free_port()
    fly(f"udpin:127.0.0.1:{port}?signing_key={key_file}")
    with Station(port, key=KEY) as friend, Station(port, key=bytes(32)) as forger:
        forger._codec.signing.timestamp = 2**48 - 100
        forger.send_command(512, 259)
        assert friend.command(512, 259).result == 0


def test_a_packet_played_again_is_refused(fly, key_file):
    port = free_port()
    sink = fly(f"udpin:127.0.0.1:{port}?signing_key={key_file}")
    with Station(port, key=KEY) as friend:
        packet = mavlink.MAVLink_command_long_message(1, 100, 2010, 0, *(0.0,) * 7).pack(friend._codec)
        friend.send_bytes(packet)
        friend.wait_for("COMMAND_ACK")
        friend.send_bytes(packet)
        friend.heartbeat()
        time.sleep(0.2)
        assert len(friend.of("COMMAND_ACK")) == 1
    assert sink.link.refused == 1


def test_the_time_is_kept_beside_the_key_for_each_link(fly, key_file):
    sink = fly(f"udpout:127.0.0.1:{free_port()}?signing_key={key_file}&link_id=3")
    sink.close()
    assert time_file(key_file, 3).read_text().strip().isdigit()
    assert sorted(p.name for p in key_file.parent.iterdir()) == ["mavlink.key", "mavlink.key.link3.time"]


def test_a_disk_that_fills_up_in_flight_is_told_once(tmp_path, caplog):
    mono = [0]
    clock = SigningClock(tmp_path / "t", lambda: NOW_S, lambda: mono[0])
    (tmp_path / "t.new").mkdir()  # as good as a full disk
    for seconds in range(30):
        mono[0] = seconds * 1_000_000_000
        clock.keep()
    assert clock.now() == int((NOW_S - EPOCH_S + 29) * TICKS_PER_S)
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "cannot keep the signing time" in caplog.text
