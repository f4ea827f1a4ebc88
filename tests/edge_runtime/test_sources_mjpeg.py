"""Motion JPEG over HTTP from servers of the test: what is delivered, healing, refusals, limits, leaks."""

import logging
import os
import re
import socket
import threading
import time
import traceback
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.errors import SourceError
from edge_runtime.sources import SourceOptions, open_source
from tests.edge_runtime.tcp_server import HEAD, TcpServer, jpeg, part, pictures, say, stream

QUICK = SourceOptions(open_s=0.7, stall_s=0.3, retry_first_s=0.02, retry_most_s=0.05)


def take(source, count: int) -> list:
    """The next `count` frames."""
    frames = iter(source)
    return [next(frames) for _ in range(count)]


def wait_until(condition, seconds: float = 10.0) -> None:
    """Fail when it does not come true."""
    deadline_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline_s, "did not come true"
        time.sleep(0.005)


def brightness(frame) -> int:
    return int(np.median(frame.image_bgr_u8))


def test_pictures_come_as_they_are_sent_with_the_time_of_their_arrival():
    with TcpServer(stream(fps=50)) as server:
        source = open_source(server.url, QUICK)
        assert (source.live, source.size, source.name, source.connected) == (True, (32, 32), server.url, True)
        frames = take(source, 20)
        age_ms = (time.monotonic_ns() - frames[-1].t_capture_ns) / 1e6
        source.close()
    assert [brightness(f) for f in frames] == pytest.approx([f.index for f in frames], abs=1)
    assert np.diff([f.t_capture_ns for f in frames]).min() > 0
    assert -1e-6 < age_ms < 50
    assert source.skipped == source.reconnects == 0


def test_who_is_slow_gets_the_newest_picture_and_a_gap():
    with TcpServer(stream(fps=100)) as server:
        source = open_source(server.url, QUICK)
        frames = iter(source)
        first = next(frames)
        time.sleep(0.5)
        next(frames)  # may be the one that came while the first was taken
        newest = next(frames)
        age_ms = (time.monotonic_ns() - newest.t_capture_ns) / 1e6
        source.close()
    assert newest.index - first.index >= 25
    assert source.dropped >= 24
    assert age_ms < 60


def test_a_servers_time_stamps_tell_how_long_a_picture_was_held_back():
    def talk(client, _):
        client.sendall(HEAD)
        for i in range(10**6):
            held_back = 0.15 if i == 20 else 0.0
            stamp = time.time() - 100.0
            time.sleep(0.02 + held_back)
            client.sendall(part(jpeg(i), f"X-Timestamp: {stamp:.6f}"))

    with TcpServer(talk) as server:
        source = open_source(server.url, QUICK)
        ages_ms = [
            (time.monotonic_ns() - frame.t_capture_ns) / 1e6
            for frame in (take(source, 1)[0] for _ in range(30))
        ]
        source.close()
    assert 140 <= max(ages_ms) <= 300
    assert np.median(ages_ms) < 60


def test_of_pictures_that_were_held_up_only_the_last_is_handed_on():
    go = threading.Event()

    def talk(client, _):
        client.sendall(HEAD + part(jpeg(0)))
        go.wait(5)
        client.sendall(b"".join(part(jpeg(10 * i, side=256)) for i in range(1, 21)))
        for text in pictures(fps=20):
            client.sendall(text)

    with TcpServer(talk) as server:
        source = open_source(server.url, SourceOptions(stall_s=5))
        frames = iter(source)
        assert next(frames).index == 0
        go.set()
        late = next(frames)
        source.close()
    assert late.index >= 20
    assert source.dropped >= 19


def test_the_last_picture_before_the_end_counts():
    with TcpServer(say(HEAD + part(jpeg(5)))) as server:
        source = open_source(server.url, QUICK)
        assert [brightness(frame) for frame in take(source, 3)] == [5, 5, 5]  # one of each connection
        assert source.reconnects >= 2
        source.close()


def test_a_known_latency_is_taken_off():
    with TcpServer(stream(fps=50)) as server:
        source = open_source(server.url + "?latency_ms=500&w=1", QUICK)
        frame = take(source, 1)[0]
        source.close()
        assert 500 <= (time.monotonic_ns() - frame.t_capture_ns) / 1e6 < 700
        assert server.requests[0].startswith(b"GET /video?w=1 HTTP/1.1\r\n")


def test_a_server_killed_and_started_again_is_found_again(caplog):
    with TcpServer(stream(fps=100)) as first:
        source = open_source(first.url, QUICK)
        frames = iter(source)
        before = [next(frames) for _ in range(3)][-1]
    wait_until(lambda: not source.connected)
    time.sleep(0.3)  # several vain attempts
    with caplog.at_level(logging.INFO), TcpServer(stream(fps=100), first.port):
        wait_until(lambda: source.reconnects == 1)
        after = [next(frames) for _ in range(3)][-1]
        assert source.connected
        source.close()
    assert after.index > before.index + 3
    assert "connected again after" in caplog.text


@pytest.mark.parametrize(
    "silence",
    [
        pytest.param(lambda client: time.sleep(3), id="nothing"),
        pytest.param(
            lambda client: [client.sendall(b"\0") or time.sleep(0.05) for _ in range(60)], id="drops"
        ),
        pytest.param(lambda client: client.sendall(os.urandom(2_000_000)) or time.sleep(3), id="garbage"),
        pytest.param(
            lambda client: client.sendall(part(jpeg(9))[:-99]) or time.sleep(3), id="half a picture"
        ),
    ],
)
def test_a_stream_that_falls_silent_is_given_up_and_made_anew(silence):
    def talk(client, _):
        client.sendall(HEAD + part(jpeg(1)) + part(jpeg(2)))
        silence(client)

    with TcpServer(talk) as server:
        source = open_source(server.url, QUICK)
        started_s = time.monotonic()
        wait_until(lambda: source.reconnects >= 2)
        assert 0.5 < time.monotonic() - started_s < 5
        source.close()


def test_damaged_pictures_are_skipped_and_counted(caplog):
    whole, size = jpeg(50), jpeg(50).index(b"\xff\xc0") + 5
    broken = whole[:size] + b"\0\0\0\0" + whole[size + 4 :]  # no picture is 0 pixels high

    def talk(client, _):
        client.sendall(HEAD)
        for i in range(10**6):
            client.sendall(part(broken if i % 3 == 1 else whole))
            time.sleep(0.02)

    with TcpServer(talk) as server:
        source = open_source(server.url, QUICK)
        frames = take(source, 12)
        source.close()
    assert {brightness(f) for f in frames} <= {49, 50, 51}
    assert source.skipped >= 3
    assert caplog.text.count("cannot be decoded") == 1


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("talk", "message"),
    [
        pytest.param(say(b"HTTP/1.1 404 Not Found\r\n\r\n"), r"no stream of this path \(404\)", id="404"),
        pytest.param(say(b"HTTP/1.1 500 No\r\n\r\n"), r"the server refuses \(500\)", id="500"),
        pytest.param(
            say(b"HTTP/1.1 401 No\r\n\r\n"), r"refuses this user name or password \(401\)", id="401"
        ),
        pytest.param(say(b"SSH-2.0-OpenSSH_9\r\n"), "answers, but not as an HTTP server does", id="ssh"),
        pytest.param(say(b"\0" * 99_999), "answers, but not as an HTTP server does", id="garbage"),
        pytest.param(say(OK + b"X: y\r\n" * 9999), "not as an HTTP server does", id="headers without end"),
        pytest.param(say(b""), "answers, but not as an HTTP server does", id="hangs up"),
        pytest.param(say(b"", then_wait_s=9), "does not answer", id="silent"),
        pytest.param(say(OK, b"X-", then_wait_s=9), "does not answer", id="half an answer"),
        pytest.param(
            say(OK + b"Content-Type: text/html\r\n\r\nx"), "sends text/html, expected motion", id="page"
        ),
        pytest.param(
            say(OK + b"Content-Type: image/jpeg\r\n\r\n" + jpeg(1)), "gives one picture", id="picture"
        ),
        pytest.param(say(HEAD), "the server ended the stream", id="no picture"),
        pytest.param(say(HEAD, then_wait_s=9), "silent for|no picture for", id="never a picture"),
        pytest.param(say(b"HTTP/1.1 302 F\r\nLocation: /video\r\n\r\n"), "in a circle", id="circle"),
        pytest.param(say(b"HTTP/1.1 302 F\r\nLocation: file:///etc\r\n\r\n"), "that is no HTTP", id="file"),
    ],
)
def test_what_is_no_stream_is_refused_in_one_line(talk, message, capfd):
    with TcpServer(talk) as server:
        url = server.url.replace("//", "//user:sec%20ret@")
        started_s = time.monotonic()
        with pytest.raises(SourceError, match=message) as caught:
            open_source(url, QUICK)
    assert time.monotonic() - started_s < 4
    assert "\n" not in str(caught.value)
    shown = "".join(traceback.format_exception(caught.type, caught.value, caught.tb)) + capfd.readouterr().err
    assert not re.search("sec%20ret|sec ret", shown)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        pytest.param("http://127.0.0.1:{}/x", "nothing listens on 127.0.0.1 port", id="closed port"),
        pytest.param("http://nowhere.invalid/x", "no host of the name nowhere.invalid", id="unknown host"),
        pytest.param("http:///x", "no host; expected http://HOST", id="no host"),
    ],
)
def test_a_host_that_cannot_be_reached_is_told(url, message):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(SourceError, match=message):
        open_source(url.format(port), QUICK)


def test_a_server_without_encryption_is_told():
    plain = say(b"HTTP/1.1 400 Plain\r\n\r\n")
    with TcpServer(plain, listens=False) as server, pytest.raises(SourceError, match="speak TLS"):
        open_source(server.url.replace("http:", "https:"), QUICK)


@pytest.mark.parametrize("kind", ['Basic realm="x"', 'Digest realm="x", nonce="7", qop="auth"'])
def test_a_login_is_given_when_it_is_asked_for(kind):
    def talk(client, request):
        if b"\r\nAuthorization: " + kind[:6].encode() in request:
            stream()(client, request)
        else:
            client.sendall(f"HTTP/1.1 401 No\r\nWWW-Authenticate: {kind}\r\n\r\n".encode())

    with TcpServer(talk) as server:
        source = open_source(server.url.replace("//", "//u:p%40@"), QUICK)
        assert source.name == server.url.replace("//", "//***@")
        source.close()
        with pytest.raises(SourceError, match="wants a user name and password"):
            open_source(server.url, QUICK)
        assert b"Authorization" not in server.requests[0]


def test_a_password_does_not_follow_to_another_host():
    def moved(client, _):
        client.sendall(f"HTTP/1.1 302 F\r\nLocation: http://localhost:{other.port}/v\r\n\r\n".encode())

    asks = say(b"HTTP/1.1 401 N\r\nWWW-Authenticate: Basic\r\n\r\n")
    with TcpServer(asks) as other, TcpServer(moved) as server:
        with pytest.raises(SourceError, match="wants a user name"):
            open_source(server.url.replace("//", "//u:p@"), QUICK)
        assert b"Authorization" not in b"".join(other.requests)


def test_chunked_answers_are_read():
    def talk(client, _):
        client.sendall(HEAD[:-2] + b"Transfer-Encoding: chunked\r\n\r\n")
        for text in pictures():
            for half in (text[:300], text[300:]):
                client.sendall(b"%x\r\n%s\r\n" % (len(half), half))

    with TcpServer(talk) as server:
        source = open_source(server.url, QUICK)
        assert len(take(source, 5)) == 5
        source.close()


def test_waiting_for_a_server_that_is_not_there_yet(caplog):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    source = open_source(f"http://u:secret@127.0.0.1:{port}/video?wait=1", QUICK)
    wait_until(lambda: "nothing listens" in caplog.text)
    assert (source.connected, source.size) == (False, None)
    time.sleep(0.3)
    with TcpServer(stream(), port):
        assert take(source, 1)[0].index == 0
        source.close()
    assert source.reconnects == 0
    assert caplog.text.count("nothing listens") == 1  # once, not with every attempt
    assert "secret" not in caplog.text


@pytest.mark.parametrize("where", ["first frame", "between frames", "connecting"])
def test_closing_wakes_whoever_waits_within_a_second(where):
    talk = say(HEAD + part(jpeg(1)) * (where == "between frames"), then_wait_s=9)
    slow = SourceOptions(open_s=30, stall_s=30, wait=where != "between frames")
    with TcpServer(say(b"", then_wait_s=9) if where == "connecting" else talk) as server:
        source = open_source(server.url, slow)
        frames = iter(source)
        if where == "between frames":
            next(frames)
        threading.Timer(0.2, source.close).start()
        started_s = time.monotonic()
        assert list(frames) == []
        assert time.monotonic() - started_s < 1.2
    source.close()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors through /proc")
def test_two_hundred_reconnects_leave_nothing_behind():
    options = SourceOptions(open_s=2.0, stall_s=1.0, retry_first_s=0.001, retry_most_s=0.002)
    with TcpServer(stream(fps=1000, count=2)) as server:
        source = open_source(server.url, options)
        drain = threading.Thread(target=lambda: [None for _ in source])
        drain.start()
        wait_until(lambda: source.reconnects >= 20)
        files, memory_mb = open_files(), resident_mb()
        wait_until(lambda: source.reconnects >= 220, 60)
        assert open_files() <= files + 6  # the server's side of the connections of this moment
        assert resident_mb() < memory_mb + 10
        source.close()
        drain.join(2)
        assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("source ")]


def test_attempts_become_rarer():
    options = SourceOptions(open_s=1.0, stall_s=0.5, retry_first_s=0.02, retry_most_s=0.16, wait=True)
    with TcpServer(say(b"HTTP/1.1 503 No\r\n\r\n")) as server:
        source = open_source(server.url, options)
        time.sleep(0.8)
        source.close()
    # pauses of 0.02, 0.04, 0.08, 0.16, 0.16, ... s, each by a quarter longer or shorter
    assert 4 <= len(server.requests) <= 9
