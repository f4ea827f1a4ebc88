"""One network stream read by OpenCV's FFmpeg: quick to open, no frame held back, no wait without end."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import cv2

from edge_runtime.sources.healing import LinkLost, Shot
from edge_runtime.sources.opencv import ffmpeg_options, open_capture
from edge_runtime.sources.settings import whole
from edge_runtime.sources.streamclock import StreamClock

if TYPE_CHECKING:
    from edge_runtime.sources.base import SourceOptions

SETTINGS = {"threads": whole(1, 64)}  # of the decoder: each one more holds a frame back

# What FFmpeg reads to learn the format is not played afterwards; it need not read for the usual 5 s.
_QUICK = "fflags;nobuffer|analyzeduration;500000|probesize;500000"
# FFmpeg's parser gives a picture out when the next one begins (measured: 33 ms at 30 fps; motion JPEG 3 ms).
_HELD_FOR_A_FRAME = ("h264", "avc1", "hevc", "hev1", "hvc1")


class FfmpegLink:
    """Frames of `url` as they come out of the decoder, stamped by the stream's clock (`StreamClock`)."""

    def __init__(self, url: str, extra: str, threads: int, options: SourceOptions) -> None:
        """`extra`: further options of FFmpeg, `name;value|name;value`."""
        self._stall_s = options.stall_s
        self._clock = StreamClock()
        parameters = [
            *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(options.open_s * 1000)),
            *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(options.stall_s * 1000)),
            *(cv2.CAP_PROP_N_THREADS, threads),
        ]
        with ffmpeg_options("|".join(filter(None, (_QUICK, extra)))):
            self._capture = open_capture(url, cv2.CAP_FFMPEG, parameters)
        if not self._capture.isOpened():
            raise LinkLost("cannot be opened")
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if math.isfinite(fps) and 0 < fps <= 1000 else None
        codec = (
            int(self._capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=True).decode("latin-1")
        )
        held_s = 1 / self.fps if self.fps and codec.lower() in _HELD_FOR_A_FRAME else 0.0
        self._latency_ns = int(options.latency_ms * 1e6 + held_s * 1e9)

    def read(self) -> Shot:
        """The next frame that is not out of a server's buffer."""
        deadline_s = time.monotonic() + self._stall_s
        while time.monotonic() < deadline_s:
            started_s = time.monotonic()
            ok, image = self._capture.read()
            now_ns = time.monotonic_ns()
            if not ok:
                silent = now_ns / 1e9 - started_s >= 0.9 * self._stall_s
                raise LinkLost(f"silent for {self._stall_s:g} s" if silent else "the stream broke off")
            stamp_ns = int(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
            captured_ns = self._clock.capture_ns(stamp_ns, now_ns)
            if self._clock.runs_behind():
                raise LinkLost("the stream runs more than a second behind")
            if captured_ns is not None:
                return Shot(image, captured_ns - self._latency_ns)
        raise LinkLost(f"only old frames for {self._stall_s:g} s")

    def interrupt(self) -> None:
        """Nothing may be done to a capture that another thread uses; its time limits end the wait."""

    def close(self) -> None:
        """End the connection and the decoder."""
        self._capture.release()
