"""Age of live frames against a plain OpenCV loop, and recovery: `python -m tests.bench.bench_sources`.

Senders on the loopback write the moment each picture is made into it (`stream_camera.py`), so that both its
true age when it is handed over and the error of its capture time can be read from it. Needs the packages
named in `network_camera.py`.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import click
import cv2
import numpy as np

from edge_runtime.frames import Frame
from edge_runtime.sources import SourceOptions, open_source
from edge_runtime.sources.opencv import open_capture
from tests.edge_runtime.network_camera import NetworkCamera, capture_error_ms, what_is_missing
from tests.edge_runtime.tcp_server import HEAD, TcpServer, part

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

SENDERS = {
    "HTTP MJPEG": None,
    "RTSP MJPEG": ("rtsp", "rtsp://127.0.0.1:{}/cam", "--codec", "jpeg"),
    "RTSP H.264": ("rtsp", "rtsp://127.0.0.1:{}/cam"),
    "UDP MPEG-TS": ("ts", "udp://127.0.0.1:{}"),
    "RTP H.264": ("rtp", "rtp://127.0.0.1:{}"),
}
PATIENT = SourceOptions(open_s=10.0)


def send_mjpeg(client: socket.socket, _: bytes) -> None:
    """30 pictures a second with the bar code of `stream_camera.py`."""
    client.sendall(HEAD)
    while True:
        image = np.full((480, 640, 3), 96, np.uint8)
        now_ms = time.monotonic_ns() // 1_000_000
        for place in range(20):
            image[:32, place * 32 : place * 32 + 32] = 235 * (now_ms >> (19 - place) & 1)
        client.sendall(part(cv2.imencode(".jpg", image)[1].tobytes()))
        time.sleep(1 / 30)


@contextlib.contextmanager
def sender(name: str) -> Iterator[str]:
    """URI of a camera of this kind, while entered."""
    parts = SENDERS[name]
    if parts is None:
        with TcpServer(send_mjpeg) as server:
            yield server.url
    else:
        kind, uri, *options = parts
        with NetworkCamera(kind, *options) as camera:
            yield uri.format(camera.port)


def plain_loop(uri: str) -> Iterator[Frame]:
    """What `cv2.VideoCapture(uri)` gives with OpenCV's own settings."""
    capture = open_capture(uri, cv2.CAP_FFMPEG)
    index = 0
    while capture.isOpened() and (read := capture.read())[0]:
        yield Frame(np.asarray(read[1], np.uint8), index, time.monotonic_ns())
        index += 1


def ages(frames: Iterator[Frame], seconds: float, busy_s: float) -> tuple[list[float], list[float]]:
    """True ages at hand-over and errors of the capture times, ms; `busy_s`: how long a frame is worked on."""
    ages_ms, errors_ms, until_s = [], [], time.monotonic() + seconds
    for frame in frames:
        error_ms = capture_error_ms(frame)
        ages_ms.append(error_ms + (time.monotonic_ns() - frame.t_capture_ns) / 1e6)
        errors_ms.append(error_ms)
        time.sleep(busy_s)
        if time.monotonic() > until_s:
            break
    return ages_ms[5:], errors_ms[5:]


def shown(values: list[float]) -> str:
    """Median and 99th percentile."""
    return f"{np.percentile(values, 50):4.0f} / {np.percentile(values, 99):4.0f}" if values else "   - /    -"


def recovery_s() -> float:
    """From the return of an RTSP camera, five seconds dead, to the first new frame."""
    with NetworkCamera("rtsp") as camera:
        source = open_source(camera.url, PATIENT)
    time.sleep(5)
    with NetworkCamera("rtsp", port=camera.port):
        back_s = time.monotonic()
        while not source.reconnects:
            time.sleep(0.01)
        source.close()
        return time.monotonic() - back_s


@click.command()
@click.option("--seconds", default=8.0, show_default=True, help="Of each measurement.")
def main(seconds: float) -> None:
    """Print the tables."""
    if what_is_missing():
        raise click.ClickException(str(what_is_missing()))
    print("30 fps, 640 x 480, loopback; ms, p50 / p99. Age: made to handed over. Error: of the capture time.")
    print(f"{'':12} {'age':>12} {'error':>12} {'age, plain':>12} | 100 ms of work: {'age':>12} {'plain':>12}")
    for name in SENDERS:
        row = []
        for busy_s in (0.0, 0.1):
            with sender(name) as uri:
                source = open_source(uri, PATIENT)
                row += [shown(values) for values in ages(iter(source), seconds, busy_s)]
                source.close()
            with sender(name) as uri:
                loop = plain_loop(uri) if not uri.startswith("rtp:") else iter(())  # it knows no such URI
                row.append(shown(ages(loop, seconds, busy_s)[0]))
        print(f"{name:12} {row[0]:>12} {row[1]:>12} {row[2]:>12} | {'':15} {row[3]:>12} {row[5]:>12}")
    print(f"RTSP camera back after 5 s: first frame {recovery_s():.1f} s after it listens again")


if __name__ == "__main__":
    main()
