"""The page's server under clients of all manners: answers, refusals, limits, a flight that never waits."""

import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from edge_runtime.errors import SinkError
from edge_runtime.live import RunContext
from edge_runtime.pipeline import Pipeline
from edge_runtime.sinks.web import WebSink, server
from tests.edge_runtime.conftest import CONTRACT
from tests.edge_runtime.fakes import FakeBackend, FakeSource
from tests.edge_runtime.results import result
from tests.edge_runtime.web.viewers import (
    PAGE_HEADER,
    Flight,
    ask,
    get,
    moving,
    page,
    place,
    raw,
    read,
    viewer,
)

TOKEN = "correct horse/battery"
QUERY = "?token=correct%20horse%2Fbattery"


def test_the_page_and_its_files_come_with_their_types_and_forbid_everything_from_outside():
    with page() as sink:
        for path, kind in [("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")]:
            status, headers, body = get(sink, path)
            assert (status, headers["content-type"]) == (200, f"{kind}; charset=utf-8")
            assert len(body) == int(headers["content-length"])
            assert b"{query}" not in body
            assert "default-src 'none'" in headers["content-security-policy"]
            assert headers["referrer-policy"] == "no-referrer"
            assert set(re.findall(rb"https?://[\w.]+", body)) <= {
                b"http://www.w3.org"
            }  # a name, never fetched


def test_an_answer_holds_picture_record_age_and_figures_of_one_frame():
    context = RunContext(stats=lambda: {"frames": 7, "healthy": True})
    with page(context=context) as sink:
        newest = moving(3)
        sink.write(newest)
        with viewer(sink) as line:
            answer = ask(line)
            again = ask(line)
    body = answer.body
    assert body["record"] == newest.record
    assert body["header"]["software"]["version"] == "9.9"
    assert body["stats"] == {"frames": 7, "healthy": True}
    assert len(body["history"]) == 120
    assert any(bin_ is not None for bin_ in body["history"][-3:])
    assert newest.record["age_ms"] < body["age_ms"] < 5000  # recomputed as it is sent
    difference = np.abs(answer.picture.astype(int) - newest.frame.image_bgr_u8)
    assert difference.mean() < 3
    assert answer.score_map is None
    assert again.picture is None  # the same frame is never sent as a new one
    assert "record" not in again.body
    assert "header" not in again.body
    assert 400 < again.body["held_ms"] < 3000


def test_the_heat_map_comes_only_when_asked_for():
    with page() as sink, viewer(sink) as line:
        sink.write(moving(0))
        answer = ask(line, "next heat")
    assert answer.body["map"] == [64, 48]
    assert answer.score_map.max() == 255
    assert answer.score_map.min() == 0


def test_pictures_are_scaled_to_the_width_asked_for():
    with page("//127.0.0.1:0?width=100") as sink, viewer(sink) as line:
        sink.write(result(image=np.zeros((300, 400, 3), np.uint8)))
        assert ask(line).picture.shape == (75, 100, 3)


def test_nothing_is_encoded_while_nobody_asks():
    with page() as sink:
        for index in range(50):
            sink.write(moving(index))
        with viewer(sink) as line:
            time.sleep(0.1)
            assert sink.board.encoded == 0
            assert ask(line).body["record"]["seq"] == 0  # every `moving` has a builder of its own
            assert sink.board.encoded == 1


def test_one_picture_is_encoded_once_for_all_who_watch():
    with page() as sink, viewer(sink) as first, viewer(sink) as second:
        sink.write(moving(0))
        assert ask(first).picture is not None
        assert ask(second, "next heat").picture is not None
        assert sink.board.encoded == 1


def test_a_viewer_that_draws_slowly_gets_the_newest_frame_and_no_queue():
    with page() as sink, viewer(sink) as line, Flight(sink, 0.01) as flight:
        for _ in range(3):
            before = flight.written
            frame = ask(line).body["record"]["frame"]["idx"]
            assert frame >= before - 1
            time.sleep(0.2)
        assert sink.board.encoded <= 4


def test_pictures_come_at_most_at_the_rate_asked_for():
    with page("//127.0.0.1:0?fps=10") as sink, viewer(sink) as line, Flight(sink, 0.005):
        started_s = time.monotonic()
        for _ in range(6):
            ask(line)
        assert time.monotonic() - started_s >= 0.49


def test_a_viewer_that_never_reads_holds_up_neither_the_flight_nor_others():
    with page("//127.0.0.1:0?fps=60&width=4096") as sink:
        noise = np.random.default_rng(0).integers(0, 255, (700, 900, 3), np.uint8)
        with viewer(sink, max_queue=1) as deaf, viewer(sink) as other:
            for _ in range(200):
                deaf.send("next")
            for index in range(20):
                started_s = time.monotonic()
                sink.write(result(index, noise))
                assert time.monotonic() - started_s < 0.3
                assert ask(other).picture is not None


@pytest.mark.parametrize("question", ["", "stop", "x" * 1000, b"next", '{"cmd":"stop"}'])
def test_anything_but_the_question_ends_the_conversation(question):
    with page() as sink, viewer(sink) as line:
        line.send(question)
        with pytest.raises(ConnectionClosed) as closed:
            line.recv(timeout=5)
        assert closed.value.rcvd.code in (1008, 1009)


@pytest.mark.parametrize(
    "path",
    ["/", "/page.css", "/page.js", "/live", "/?token=", "/?token=wrong", "/?token=correct", "/nothing"],
)
def test_without_the_token_everything_is_refused(path):
    with page(f"//0.0.0.0:0{QUERY}") as sink:
        status, _, body = get(sink, path)
    assert status == 403
    assert body == b"a token is needed: open the page with ?token=...\n"


def test_with_the_token_page_and_pictures_come():
    with page(f"//0.0.0.0:0{QUERY}") as sink:
        assert get(sink, f"/{QUERY}", Host="drone.local:8080")[0] == 200
        assert f'src="page.js{QUERY}"'.encode() in get(sink, f"/{QUERY}")[2]
        sink.write(moving(0))
        with viewer(sink, QUERY) as line:
            assert ask(line).picture is not None
        with pytest.raises(InvalidStatus) as refused, viewer(sink, "?token=wrong-wrong"):
            pass
        assert refused.value.response.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Host": "evil.example:80"}, id="a name that was bent to this machine"),
        pytest.param({"Host": ""}, id="no host"),
        pytest.param({"Host": "localhost\r\nHost: evil.example"}, id="two hosts"),
        pytest.param({"Host": "localhost.evil.example"}, id="a name that only begins well"),
        pytest.param({"Host": "[::1"}, id="broken host"),
        pytest.param({"Origin": "http://evil.example"}, id="a script of another site"),
        pytest.param({"Origin": "null"}, id="a sandboxed frame"),
        pytest.param({"Origin": "http://[bad"}, id="broken origin"),
    ],
)
def test_other_sites_cannot_use_a_browser_on_this_machine(headers):
    with page() as sink:
        assert get(sink, "/", **headers)[0] == 403
        assert get(sink, "/", Host="localhost:1", Origin="http://localhost:1")[0] == 200


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc", b"405", id="POST"
        ),
        pytest.param(b"DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"405", id="DELETE"),
        pytest.param(b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", b"404", id="outside"),
        pytest.param(b"GET //[ HTTP/1.1\r\nHost: localhost\r\n\r\n", b"404", id="broken path"),
        pytest.param(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n", b"426", id="no upgrade"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"405", id="TLS"),
        pytest.param(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n", b"", id="GET with a body"
        ),
        pytest.param(b"GET /\r\n\r\n", b"", id="HTTP/0.9"),
    ],
)
def test_requests_that_make_no_sense_are_refused_by_protocol_and_not_logged(
    request_bytes, status, caplog, capfd
):
    with page() as sink:
        heard = raw(sink, request_bytes)
        assert heard.split(b" ", 2)[1:2] == ([status] if status else [])
        assert get(sink)[0] == 200
    assert not [record for record in caplog.records if record.levelname != "INFO"]
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("query", ["", QUERY])
def test_bytes_that_are_no_text_are_refused_before_and_behind_the_token(query, capfd):
    with page(f"//127.0.0.1:0{query}") as sink:
        for path in (b"/\xff", b"/?token=\xff\xfe", b"/%ff?token=%ff"):
            heard = raw(sink, b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
            expected = b"200" if path.startswith(b"/?") and not query else b"403" if query else b"404"
            assert heard[9:12] in (b"", expected)  # the library hangs up from 17 on
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", id="address"),
        pytest.param(b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", id="one header"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000 + b"\r\n", id="many headers"),
        pytest.param(b"a" * 5_000_000, id="no request at all"),
    ],
)
def test_oversized_requests_are_cut_off(request_bytes, capfd):
    with page() as sink:
        heard = raw(sink, request_bytes)
        assert heard[:12] in (b"", b"HTTP/1.1 414", b"HTTP/1.1 431", b"HTTP/1.1 400", b"HTTP/1.1 405")
        assert get(sink)[0] == 200
    assert "Traceback" not in capfd.readouterr().err


def test_who_never_finishes_a_request_is_hung_up_on(monkeypatch):
    monkeypatch.setattr(server, "OPEN_S", 0.3)
    with page() as sink, socket.create_connection(place(sink), timeout=5) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost:")
        started_s = time.monotonic()
        assert slow.recv(10) == b""
        assert time.monotonic() - started_s < 3


def test_many_silent_connections_neither_lock_viewers_out_nor_slow_the_flight():
    descriptors = []
    with page() as sink, viewer(sink) as line, Flight(sink, 0.01) as flight:
        for _ in range(200):
            descriptors.append(socket.create_connection(place(sink), timeout=5))
        assert get(sink)[0] == 200
        assert ask(line).picture is not None
        for one in descriptors:
            one.close()
    assert flight.slowest_write_s < 0.3


def test_viewers_beyond_the_limit_are_told_so_until_one_leaves():
    with page() as sink, ExitStack() as lines:
        last = [lines.enter_context(viewer(sink)) for _ in range(server.MOST_VIEWERS)][-1]
        with pytest.raises(InvalidStatus) as refused, viewer(sink):
            pass
        assert refused.value.response.status_code == 503
        last.close()
        deadline_s = time.monotonic() + 5
        while sink.server.viewers == server.MOST_VIEWERS and time.monotonic() < deadline_s:
            time.sleep(0.01)
        with viewer(sink) as line:
            sink.write(moving(0))
            assert ask(line).picture is not None


def test_figures_that_break_cost_the_figures_only():
    def broken():
        raise RuntimeError("no figures today")

    with page(context=RunContext(stats=broken)) as sink, viewer(sink) as line:
        sink.write(moving(0))
        answer = ask(line)
    assert answer.picture is not None
    assert answer.body["stats"] == {}


def test_closing_does_not_wait_for_viewers_whose_next_picture_is_far_off():
    with page("//127.0.0.1:0?fps=0.1") as sink, viewer(sink) as line:
        sink.write(moving(0))
        ask(line)
        line.send("next")
        time.sleep(0.1)
        started_s = time.monotonic()
        sink.close()
        assert time.monotonic() - started_s < 0.5
        with pytest.raises(ConnectionClosed) as closed:
            line.recv(timeout=5)
        assert closed.value.rcvd.code == 1001  # the page says: run ended


def test_closing_says_goodbye_to_viewers_and_hangs_up_on_the_rest_within_a_second():
    threads = threading.active_count()
    with ExitStack() as lines:
        with page() as sink:
            waiting = lines.enter_context(viewer(sink))
            waiting.send("next")
            lines.enter_context(viewer(sink))
            silent = lines.enter_context(socket.create_connection(place(sink), timeout=5))
            silent.sendall(b"GET /")
            time.sleep(0.1)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                read(waiting)
        assert closed.value.rcvd.code == 1001
        with suppress(ConnectionResetError):
            assert silent.recv(10) == b""
    assert threading.active_count() == threads
    with socket.create_server(place(sink)):
        pass


def test_a_run_shows_its_own_figures_and_is_not_held_up_by_its_page():
    context = RunContext()
    sink = WebSink("//127.0.0.1:0", context=context)
    source = FakeSource(100, live=True, period_s=0.01)
    pipeline = Pipeline(source, FakeBackend(), [sink], contract=CONTRACT, header=PAGE_HEADER, context=context)
    with ThreadPoolExecutor(1) as pool:
        outcome = pool.submit(pipeline.run)
        with viewer(sink) as line:
            answers = [ask(line) for _ in range(12)]
    stats = next(one.body["stats"] for one in reversed(answers) if "stats" in one.body)
    assert stats["source"]["name"] == "fake"
    assert stats["healthy"] is (stats["reason"] is None)
    assert stats["stages"]["age"]["recent"]["count"] > 0
    assert [one["name"] for one in stats["sinks"]] == [sink.name]
    seen = [one.body["record"]["seq"] for one in answers if "record" in one.body]
    assert len(seen) > 2
    assert seen == sorted(set(seen))
    done = outcome.result()
    assert done.frames + done.dropped == 100
    assert done.sinks == [{"name": sink.name, "written": done.frames, "dropped": 0, "failure": None}]


def test_a_server_that_breaks_ends_its_sink_with_one_line(monkeypatch, capfd):
    def breaks(*_, **__):
        raise OSError("no more descriptors")

    monkeypatch.setattr(server, "serve", breaks)
    with page() as sink:
        deadline_s = time.monotonic() + 5
        while sink.server.failure is None and time.monotonic() < deadline_s:
            time.sleep(0.01)
        with pytest.raises(SinkError, match="the web server broke off: OSError: no more descriptors"):
            sink.write(moving(0))
    assert "Traceback" not in capfd.readouterr().err
