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

# Half a second is enough to learn the format, not the usual 5 s. What is read for it is played, too (no
# `fflags;nobuffer`): it may hold the only key frame for seconds. `StreamClock` leaves out what is old.
_QUICK = "analyzeduration;500000|probesize;500000"
# FFmpeg's parser gives a picture out when the next one begins, each thread but the first holds another one
# (measured: 33 ms at 30 fps and one thread, 66 ms with two; motion JPEG 3 ms).
_HELD_FOR_A_FRAME = ("h264", "avc1", "hevc", "hev1", "hvc1")


class FfmpegLink:
    """Frames of `url` as they come out of the decoder, stamped by the stream's clock (`StreamClock`)."""

    def __init__(self, url: str, extra: str, threads: int, options: SourceOptions) -> None:
        """Returns with the first picture decoded. `extra`: options of FFmpeg, `name;value|name;value`.

        A stream that we join between two key frames shows nothing until the next one. How long a read may
        wait is fixed when OpenCV opens a stream: `stall_s` first, and `open_s` where that was too short.
        """
        self._clock = StreamClock()
        for self._patience_s in sorted({min(options.stall_s, options.open_s), options.open_s}):
            self._capture = _open(url, extra, threads, options.open_s, self._patience_s)
            if self._capture.read()[0]:
                break
            self._capture.release()
        else:
            raise LinkLost(f"connected, but no picture within {options.open_s:g} s")
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if math.isfinite(fps) and 0 < fps <= 1000 else None
        codec = (
            int(self._capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=True).decode("latin-1")
        )
        held_s = threads / self.fps if self.fps and codec.lower() in _HELD_FOR_A_FRAME else 0.0
        self._latency_ns = int(options.latency_ms * 1e6 + held_s * 1e9)
        self._clock.capture_ns(self._stamp_ns(), time.monotonic_ns())

    def read(self) -> Shot:
        """The next frame that is not out of a server's buffer."""
        deadline_s = time.monotonic() + self._patience_s
        while (started_s := time.monotonic()) < deadline_s:
            ok, image = self._capture.read()
            now_ns = time.monotonic_ns()
            if not ok:
                silent = time.monotonic() - started_s >= 0.9 * self._patience_s
                raise LinkLost(f"silent for {self._patience_s:g} s" if silent else "the stream broke off")
            captured_ns = self._clock.capture_ns(self._stamp_ns(), now_ns)
            if self._clock.runs_behind():
                raise LinkLost("the stream runs more than a second behind")
            if captured_ns is not None:
                return Shot(image, captured_ns - self._latency_ns)
        raise LinkLost(f"only old frames for {self._patience_s:g} s")

    def _stamp_ns(self) -> int:
        """The stream's own time of the frame just read."""
        return int(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)

    def interrupt(self) -> None:
        """Nothing may be done to a capture that another thread uses; its time limits end the wait."""

    def close(self) -> None:
        """End the connection and the decoder."""
        self._capture.release()


class CannotOpen(LinkLost):
    """FFmpeg did not even get to know what the stream holds."""


def _open(url: str, extra: str, threads: int, open_s: float, read_s: float) -> cv2.VideoCapture:
    parameters = [
        *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(open_s * 1000)),
        *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(read_s * 1000)),
        *(cv2.CAP_PROP_N_THREADS, threads),
    ]
    with ffmpeg_options("|".join(filter(None, (_QUICK, extra)))):
        capture = open_capture(url, cv2.CAP_FFMPEG, parameters)
    if not capture.isOpened():
        raise CannotOpen("cannot be opened")
    return capture
