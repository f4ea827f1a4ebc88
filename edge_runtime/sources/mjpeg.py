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
_CATCH_UP_S = 0.05
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
        """The newest picture of those that have arrived, not decoded.

        After a hold-up many arrive at once. All but the last are older than their arrival says, so it goes on
        reading while there is more, for a short time: a sender without a pause must not keep it for ever.
        """
        deadline_s = time.monotonic() + self._options.stall_s
        shot, passed_over = None, 0
        while shot is None or (self._stream.has_more() and time.monotonic() < deadline_s):
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise LinkLost(f"no picture for {self._options.stall_s:g} s")
            try:
                pictures, began_ns = self._receive(left_s)
            except LinkLost:
                if shot is None:
                    raise
                break  # what it gave before it ended counts; the next `read` will tell
            captured_ns = self._captured_ns(pictures, began_ns)
            passed_over += len(pictures)
            if captured_ns is not None:
                if shot is None:
                    deadline_s = min(deadline_s, time.monotonic() + _CATCH_UP_S)
                shot = Shot(pictures[-1][0], captured_ns, passed_over - 1)
        return shot

    def _receive(self, timeout_s: float) -> tuple[list[tuple[bytes, bytes]], int]:
        """Pictures finished by what arrives next, and when the first byte of the last one came."""
        data = self._stream.receive(timeout_s)
        arrived_ns = time.monotonic_ns()
        began_ns = self._began_ns if self._cutter.in_picture else arrived_ns
        pictures = self._cutter.feed(data)
        self._began_ns = arrived_ns if pictures else began_ns
        return pictures, arrived_ns if len(pictures) > 1 else began_ns

    def _captured_ns(self, pictures: list[tuple[bytes, bytes]], began_ns: int) -> int | None:
        """Capture time of the last of `pictures`; None without one, or while its server catches up."""
        captured_ns: int | None = began_ns if pictures else None
        for _, text in pictures:
            stamp = _STAMP.search(text)
            if stamp:
                captured_ns = self._clock.capture_ns(int(float(stamp[1]) * 1e9), began_ns)
        if self._clock.runs_behind():
            raise LinkLost("the stream runs more than a second behind")
        return None if captured_ns is None else captured_ns - int(self._options.latency_ms * 1e6)

    def interrupt(self) -> None:
        """End the wait for bytes."""
        self._stream.interrupt()

    def close(self) -> None:
        """Hang up."""
        self._stream.close()
