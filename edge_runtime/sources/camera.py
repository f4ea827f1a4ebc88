"""Cameras of the Linux video interface (V4L2), such as USB cameras, stamped by their driver."""

from __future__ import annotations

import logging
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2

from edge_runtime.errors import SourceError
from edge_runtime.sources.healing import HealingSource, LinkLost, Shot
from edge_runtime.sources.opencv import open_capture
from edge_runtime.sources.settings import LIVE, Setting, live_options, number, take, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_runtime.sources.base import SourceOptions

log = logging.getLogger(__name__)

DEVICES = Path("/dev")
_BUFFERS = 3  # one being filled, one full, one that we read: with fewer the driver has to throw frames away
_PLAUSIBLE_AGE_NS = 1_000_000_000  # a driver's time stamp older than this is of another clock


def _fourcc(text: str) -> int:
    if len(text) != 4 or not text.isascii():
        raise ValueError(text)
    return int.from_bytes(text.upper().encode(), "little")


_SETTINGS = {
    **LIVE,
    "fourcc": Setting(_fourcc, "a pixel format of four characters such as MJPG or YUYV"),
    "width": whole(1, 16384),
    "height": whole(1, 16384),
    "fps": number(0.1, 1000),
}
# in the order in which a driver wants them: what sizes there are depends on the format, the rates on both
_PROPERTIES = {
    "fourcc": cv2.CAP_PROP_FOURCC,
    "width": cv2.CAP_PROP_FRAME_WIDTH,
    "height": cv2.CAP_PROP_FRAME_HEIGHT,
    "fps": cv2.CAP_PROP_FPS,
}


def open_camera(scheme: str, target: str, options: SourceOptions) -> HealingSource:
    """`/dev/video0?width=1280&height=720&fps=30&fourcc=MJPG`; what is not named the driver chooses."""
    device, values = take(target, _SETTINGS, scheme, others_stay=False)
    options = live_options(options, values)
    if not Path(device).exists() and not options.wait:
        raise SourceError(f"{device}: no such camera; {_found_cameras()}")
    return HealingSource(device, partial(CameraLink, device, values, options), options)


class CameraLink:
    """One opening of a camera. OpenCV gives up a `read` after 2 s; an unplugged camera fails at once."""

    def __init__(self, device: str, wanted: Mapping[str, Any], options: SourceOptions) -> None:
        self._latency_ns = int(options.latency_ms * 1e6)
        if not Path(device).exists():
            raise LinkLost(f"no such camera; {_found_cameras()}")
        self._capture = open_capture(device, cv2.CAP_V4L2)
        if not self._capture.isOpened():
            raise LinkLost(f"cannot open this camera (in use, or no permission); {_found_cameras()}")
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, _BUFFERS)
        for name in _PROPERTIES:
            if name in wanted:
                self._capture.set(_PROPERTIES[name], wanted[name])
        _tell_differences(device, self._capture, wanted)
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if fps > 0 else None
        self._silent = "the camera opens but delivers no frame; unplug it and plug it in again"

    def read(self) -> Shot:
        """The next frame, stamped by the driver where that is on the monotonic clock."""
        if not self._capture.grab():
            raise LinkLost(self._silent)
        grabbed_ns = time.monotonic_ns()
        ok, image = self._capture.retrieve()
        if not ok:
            raise LinkLost(self._silent)
        self._silent = "the camera stopped delivering frames"
        now_ns = time.monotonic_ns()
        stamp_ns = int(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
        plausible = 0 <= now_ns - stamp_ns < _PLAUSIBLE_AGE_NS
        captured_ns = stamp_ns if plausible else grabbed_ns - self._latency_ns
        return Shot(image, captured_ns, decode_ns=now_ns - grabbed_ns)

    def interrupt(self) -> None:
        """Nothing can be done from outside; OpenCV ends the wait."""

    def close(self) -> None:
        """Release the device."""
        self._capture.release()


def _tell_differences(device: str, capture: cv2.VideoCapture, wanted: Mapping[str, Any]) -> None:
    """One line for what the camera took as the nearest it can do."""
    got = {name: capture.get(key) for name, key in _PROPERTIES.items() if name in wanted}
    others = [
        f"{name} {_shown(name, got[name])} instead of {_shown(name, wanted[name])}"
        for name in got
        if got[name] > 0 and abs(got[name] - wanted[name]) > 0.01 * wanted[name]
    ]
    if others:
        log.warning("%s: the camera gives %s", device, ", ".join(others))


def _shown(name: str, value: float) -> str:
    return int(value).to_bytes(4, "little").decode("latin-1") if name == "fourcc" else f"{value:g}"


def _found_cameras() -> str:
    """`cameras here: /dev/video0 (HD Webcam)` for an error message."""
    found = []
    for node in sorted(DEVICES.glob("video*")):
        label = Path("/sys/class/video4linux") / node.name / "name"
        name = label.read_text().strip() if label.is_file() else "unnamed"
        found.append(f"{node} ({name})")
    return f"cameras here: {', '.join(found)}" if found else "no camera is connected"
