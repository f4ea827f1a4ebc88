"""Cameras that send JPEG pictures over HTTP without end (multipart/x-mixed-replace), read by a socket.

Every picture is taken off the wire as it comes and only the newest is decoded, so nothing queues up. Its
capture time is the arrival of its first byte, or the server's own `X-Timestamp` through a `StreamClock`.
"""

from __future__ import annotations

import re
import time
from functools import partial
from typing import TYPE_CHECKING

from edge_runtime.errors import SourceError
from edge_runtime.imagefile import decode_image
from edge_runtime.sources.healing import HealingSource, LinkLost, Shot
from edge_runtime.sources.httpstream import HttpStream
from edge_runtime.sources.jpegs import JpegCutter
from edge_runtime.sources.redact import redact
from edge_runtime.sources.rtsp import host_and_port
from edge_runtime.sources.settings import LIVE, flag, live_options, take
from edge_runtime.sources.streamclock import StreamClock

if TYPE_CHECKING:
    from edge_runtime.sources.base import SourceOptions

_SETTINGS = {**LIVE, "insecure": flag()}
_STAMP = re.compile(rb"^x-timestamp:\s*(\d+(?:\.\d+)?)\s*$", re.IGNORECASE | re.MULTILINE)


def open_mjpeg(scheme: str, target: str, options: SourceOptions) -> HealingSource:
    """`http(s)://user:password@host:8080/video`; our own settings are taken off the query."""
    address, values = take(target, _SETTINGS, scheme, others_stay=True)
    url = f"{scheme}://{address}"
    name = redact(url)
    if not host_and_port(url, name, 80)[0]:
        raise SourceError(f"{name}: no host; expected {scheme}://HOST[:PORT]/PATH")
    options = live_options(options, values)
    connect = partial(MjpegLink, url, options, insecure=values.get("insecure", False))
    return HealingSource(name, connect, options, decode_image)


class MjpegLink:
    """One HTTP answer, read picture by picture."""

    fps: float | None = None

    def __init__(self, url: str, options: SourceOptions, *, insecure: bool) -> None:
        self._options = options
        self._stream = HttpStream(url, options.open_s, insecure=insecure)
        self._cutter = JpegCutter()
        self._clock = StreamClock()
        self._began_ns = 0  # arrival of the first byte of the picture under way

    def read(self) -> Shot:
        """The newest picture of those that have arrived, not decoded."""
        deadline_s = time.monotonic() + self._options.stall_s
        while (left_s := deadline_s - time.monotonic()) > 0:
            data = self._stream.receive(left_s)
            arrived_ns = time.monotonic_ns()
            began_ns = self._began_ns if self._cutter.in_picture else arrived_ns
            pictures = self._cutter.feed(data)
            if len(pictures) > 1:
                began_ns = arrived_ns
            self._began_ns = arrived_ns if pictures else began_ns
            shot = self._newest(pictures, began_ns)
            if shot is not None:
                return shot
        raise LinkLost(f"no picture for {self._options.stall_s:g} s")

    def _newest(self, pictures: list[tuple[bytes, bytes]], arrived_ns: int) -> Shot | None:
        captured_ns: int | None = arrived_ns
        for _, text in pictures:
            stamp = _STAMP.search(text)
            if stamp:
                captured_ns = self._clock.capture_ns(int(float(stamp[1]) * 1e9), arrived_ns)
        if self._clock.runs_behind():
            raise LinkLost("the stream runs more than a second behind")
        if not pictures or captured_ns is None:
            return None
        return Shot(pictures[-1][0], captured_ns - int(self._options.latency_ms * 1e6))

    def interrupt(self) -> None:
        """End the wait for bytes."""
        self._stream.interrupt()

    def close(self) -> None:
        """Hang up."""
        self._stream.close()
