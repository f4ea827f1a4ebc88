"""UDP: each record in a datagram of its own, the header for those who come late, nobody there is no error."""

import json
import socket

import pytest

from edge_runtime.errors import SinkError
from edge_runtime.sinks import open_sink, udp
from tests.edge_runtime.results import HEADER, result


@pytest.fixture
def listener():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        bound.settimeout(5)
        yield bound


def uri_of(listener):
    return f"udp://127.0.0.1:{listener.getsockname()[1]}"


def heard(listener):
    return json.loads(listener.recv(65536))


def test_header_and_records_come_one_a_datagram_in_order(listener):
    sink = open_sink(uri_of(listener))
    results = [result(index) for index in range(5)]
    sink.start(HEADER)
    for one in results:
        sink.write(one)
    sink.close()
    assert [heard(listener) for _ in range(6)] == [HEADER, *(one.record for one in results)]


def test_who_comes_late_gets_the_header_within_seconds_and_only_beside_a_record(listener, monkeypatch):
    now_s = [100.0]
    monkeypatch.setattr(udp, "monotonic", lambda: now_s[0])
    sink = open_sink(uri_of(listener))
    sink.start(HEADER)
    for _ in range(7):
        now_s[0] += 0.5
        sink.write(result())
    sink.close()
    kinds = [heard(listener)["type"] for _ in range(9)]
    assert kinds == ["header", *["track"] * 3, "header", *["track"] * 4]
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.recv(1)


def test_nobody_listening_is_no_error():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    sink = open_sink(f"udp://127.0.0.1:{port}")
    sink.start(HEADER)
    for index in range(20):
        sink.write(result(index))
    sink.close()


def test_a_link_that_is_down_is_counted_and_the_rest_is_sent(listener, monkeypatch):
    sink = open_sink(uri_of(listener))
    real = sink._socket

    class DownNowAndThen:
        calls = 0

        def sendto(self, line, place):
            self.calls += 1
            if self.calls % 2 == 0:
                raise OSError(udp.errno.ENETUNREACH, "Network is unreachable")
            real.sendto(line, place)

        close = real.close

    monkeypatch.setattr(sink, "_socket", DownNowAndThen())
    sink.start(HEADER)
    for index in range(4):
        sink.write(result(index))
    sink.close()
    assert sink.undelivered == 2
    assert [heard(listener).get("frame", {}).get("idx") for _ in range(3)] == [None, 1, 3]


def test_a_record_longer_than_a_datagram_is_reported_once_and_the_next_one_comes(listener, caplog):
    sink = open_sink(uri_of(listener))
    sink.start(HEADER)
    long = result(1)
    long.record["others"] = [{"box": [0.1, 0.2, 0.3, 0.4], "score": 0.5}] * 2000
    for one in (long, long, result(2)):
        sink.write(one)
    sink.close()
    assert [heard(listener)["type"], heard(listener)["frame"]["idx"]] == ["header", 2]
    assert sink.too_long == 2
    first, last = (record.getMessage() for record in caplog.records)
    assert "bytes is longer than a datagram; not sent" in first
    assert "2 record(s) were longer than a datagram and not sent" in last


def test_ipv6_in_brackets_is_an_address():
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as bound:
        try:
            bound.bind(("::1", 0))
        except OSError as error:
            pytest.skip(f"no IPv6 here: {error}")
        bound.settimeout(5)
        sink = open_sink(f"udp://[::1]:{bound.getsockname()[1]}")
        sink.start(HEADER)
        sink.close()
        assert heard(bound) == HEADER


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        pytest.param("udp:5005", "names no host and port; expected udp://HOST:PORT", id="only a port"),
        pytest.param("udp://127.0.0.1", "names no host and port", id="no port"),
        pytest.param("udp://127.0.0.1:0", "names no host and port", id="port 0"),
        pytest.param("udp://127.0.0.1:99999", "Port out of range", id="port too large"),
        pytest.param("udp://127.0.0.1:x", "expected udp://HOST:PORT", id="port in words"),
        pytest.param("udp://127.0.0.1:5/path", "takes no path or options", id="path"),
        pytest.param("udp://127.0.0.1:5?ttl=3", "takes no path or options", id="option"),
        pytest.param("udp://me:secret@127.0.0.1:5", "takes no user or password", id="password"),
        pytest.param("udp://me:secret@127.0.0.1", "takes no user or password", id="password, no port"),
        pytest.param("udp://no.such.host.invalid:5", "no address is known for", id="unknown host"),
    ],
)
def test_what_cannot_work_is_one_line(uri, message):
    with pytest.raises(SinkError, match=message) as raised:
        open_sink(uri)
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)
