"""Who looks at the page in tests: a WebSocket client that reads answers, bare sockets, a flight."""

from __future__ import annotations

import inspect
import json
import socket
import struct
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from websockets.sync.client import connect

from edge_runtime.sinks.web import WebSink
from tests.edge_runtime.conftest import square_frame
from tests.edge_runtime.results import HEADER, result

if TYPE_CHECKING:
    from collections.abc import Iterator

    from websockets.sync.client import ClientConnection

    from edge_runtime.live import RunContext
    from edge_runtime.sinks import Result

# websockets 13, the last for Python 3.8, asks no environment for a proxy and queues one message.
NOT_YET = {"proxy", "max_queue"} - set(inspect.signature(connect).parameters)
PAGE_HEADER = {
    **HEADER,
    "max_age_ms": 150.0,
    "software": {"name": "dips-edge", "version": "9.9"},
    "model": {"name": "square.onnx"},
    "source": {"name": "rtsp://camera/live", "fps": 20.0},
}


@contextmanager
def page(target: str = "//127.0.0.1:0", context: RunContext | None = None) -> Iterator[WebSink]:
    """A page being served; closed again in less than a second."""
    sink = WebSink(target, context=context)
    sink.start(PAGE_HEADER)
    try:
        yield sink
    finally:
        started_s = time.monotonic()
        sink.close()
        assert time.monotonic() - started_s < 1.0
        assert "web server" not in [thread.name for thread in threading.enumerate()]


def place(sink: WebSink) -> tuple[str, int]:
    host, _, port = sink.url.partition("//")[2].rstrip("/").rpartition(":")
    return host, int(port)


def viewer(sink: WebSink, query: str = "", **options: Any) -> ClientConnection:
    """A WebSocket to the page's live pictures."""
    address = "ws" + sink.url[len("http") :] + "live" + query
    wanted = {"open_timeout": 5, "close_timeout": 1, "compression": None, "proxy": None, **options}
    return connect(address, **{name: value for name, value in wanted.items() if name not in NOT_YET})


def raw(sink: WebSink, request: bytes, timeout_s: float = 5.0) -> bytes:
    """Everything the server says to these bytes until it hangs up."""
    with socket.create_connection(place(sink), timeout=timeout_s) as line:
        heard = b""
        try:
            line.sendall(request)
            while part := line.recv(65536):
                heard += part
        except (ConnectionResetError, BrokenPipeError):
            pass
        return heard


def get(sink: WebSink, path: str = "/", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers with names in lower case, and body of one GET."""
    host, port = place(sink)
    fields = {"Host": f"{host}:{port}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    head, _, body = raw(sink, f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode()).partition(b"\r\n\r\n")
    status, *rest = head.decode().split("\r\n")
    found = dict(line.lower().split(": ", 1) for line in rest)
    return int(status.split()[1]), found, body


@dataclass
class Answer:
    """One answer as the page reads it."""

    body: dict[str, Any]
    picture: np.ndarray | None
    score_map: np.ndarray | None


def ask(line: ClientConnection, question: str = "next", timeout_s: float = 5.0) -> Answer:
    line.send(question)
    return read(line, timeout_s)


def read(line: ClientConnection, timeout_s: float = 5.0) -> Answer:
    message = line.recv(timeout=timeout_s)
    assert isinstance(message, bytes)
    (length,) = struct.unpack_from(">I", message)
    body = json.loads(message[4 : 4 + length])
    (jpeg_length,) = struct.unpack_from(">I", message, 4 + length)
    jpeg = message[8 + length : 8 + length + jpeg_length]
    rest = message[8 + length + jpeg_length :]
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
    width, height = body.get("map", (0, 0))
    assert len(rest) == width * height
    return Answer(body, picture, np.frombuffer(rest, np.uint8).reshape(height, width) if rest else None)


class Flight:
    """Writes results to a sink from a thread of its own until told to stop; the square moves to the right."""

    def __init__(self, sink: WebSink, period_s: float = 0.04, **changes: Any) -> None:
        self._sink, self._period_s, self._changes = sink, period_s, changes
        self._ended = threading.Event()
        self.written = 0
        self.slowest_write_s = 0.0
        self._thread = threading.Thread(target=self._fly)

    def __enter__(self) -> Flight:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _fly(self) -> None:
        while not self._ended.wait(self._period_s):
            one = moving(self.written, **self._changes)
            started_s = time.monotonic()
            self._sink.write(one)
            self.slowest_write_s = max(self.slowest_write_s, time.monotonic() - started_s)
            self.written += 1


def moving(index: int, **changes: Any) -> Result:
    """The square at a place that depends on `index`, as the tracker reports it."""
    one = result(index, square_frame(x=4 + 2 * index % 88))
    return replace(one, record={**one.record, "tid": 1, "state": "TRACKING", **changes})
