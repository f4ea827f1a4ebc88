"""Cameras of the Linux video interface (V4L2), such as USB cameras: the newest frame, as it comes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import cv2
import numpy as np

from edge_runtime.errors import SourceError
from edge_runtime.frames import Frame
from edge_runtime.sources.opencv import open_capture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

DEVICES = Path("/dev")
_SETTINGS = {"width": cv2.CAP_PROP_FRAME_WIDTH, "height": cv2.CAP_PROP_FRAME_HEIGHT, "fps": cv2.CAP_PROP_FPS}
_PLAUSIBLE_AGE_NS = 1_000_000_000  # a driver's time stamp older than this is of another clock


class Camera:
    """A live `Source` over `/dev/videoN`, optionally with `?width=1280&height=720&fps=30` behind it."""

    live = True
    skipped = 0

    def __init__(self, target: str) -> None:
        device, _, query = target.partition("?")
        self.name = device
        wanted = _parse_settings(device, query)
        if not Path(device).exists():
            raise SourceError(f"{device}: no such camera; {_found_cameras()}")
        self._capture = open_capture(device, cv2.CAP_V4L2)
        if not self._capture.isOpened():
            raise SourceError(
                f"{device}: cannot open this camera (in use, or no permission); {_found_cameras()}"
            )
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        for setting, value in wanted.items():
            self._capture.set(setting, value)
        self._first: NDArray[np.uint8] | None = self._read()
        if self._first is None:
            self.close()
            raise SourceError(
                f"{device}: the camera opens but delivers no frame; unplug it and plug it in again"
            )
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if fps > 0 else None
        self.size: tuple[int, int] | None = (self._first.shape[1], self._first.shape[0])

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        self._first = None  # read when opened, stale by now
        while (image := self._read()) is not None:
            yield Frame(image, index, self._capture_time_ns())
            index += 1
        raise SourceError(f"{self.name}: the camera stopped delivering frames after {index}")

    def close(self) -> None:
        """Release the device."""
        self._capture.release()

    def _read(self) -> NDArray[np.uint8] | None:
        ok, image = self._capture.read()
        return np.asarray(image, np.uint8) if ok else None

    def _capture_time_ns(self) -> int:
        """The driver's time stamp of the frame where it is on the monotonic clock, else now."""
        now = time.monotonic_ns()
        stamp = int(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
        return stamp if 0 <= now - stamp < _PLAUSIBLE_AGE_NS else now


def _parse_settings(device: str, query: str) -> dict[int, float]:
    wanted = {}
    for key, text in parse_qsl(query, keep_blank_values=True):
        if key not in _SETTINGS or not text.replace(".", "", 1).isdigit():
            raise SourceError(
                f"{device}: bad setting {key}={text}, expected numbers for {', '.join(_SETTINGS)}"
            )
        wanted[_SETTINGS[key]] = float(text)
    return wanted


def _found_cameras() -> str:
    """`cameras here: /dev/video0 (HD Webcam)` for an error message."""
    found = []
    for node in sorted(DEVICES.glob("video*")):
        label = Path("/sys/class/video4linux") / node.name / "name"
        name = label.read_text().strip() if label.is_file() else "unnamed"
        found.append(f"{node} ({name})")
    return f"cameras here: {', '.join(found)}" if found else "no camera is connected"
