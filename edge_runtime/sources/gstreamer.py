"""GStreamer pipelines, where OpenCV was built with GStreamer: `gst:PIPELINE ! appsink`, and CSI cameras.

`csi://0?width=1280&height=720&fps=30&flip=2` is NVIDIA's camera stack (nvarguscamerasrc) as such a pipeline.
"""

from __future__ import annotations

import math
import re
import shlex
import shutil
import subprocess
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import cv2

from edge_runtime.errors import SourceError
from edge_runtime.sources.healing import HealingSource, LinkLost, Shot
from edge_runtime.sources.opencv import open_capture
from edge_runtime.sources.redact import redact
from edge_runtime.sources.settings import LIVE, live_options, number, take, whole
from edge_runtime.sources.streamclock import StreamClock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_runtime.sources.base import SourceOptions

_CSI_SETTINGS = {
    **LIVE,
    "width": whole(1, 16384),
    "height": whole(1, 16384),
    "fps": number(0.1, 1000),
    "flip": whole(0, 7),  # nvvidconv's flip-method: 2 turns the picture by 180 degrees
    "mode": whole(0, 99),  # sensor-mode
}
_NEWEST_ONLY = {"drop": "true", "max-buffers": "1", "sync": "false"}  # of appsink, unless it says otherwise
_INSPECT_S = 10.0
_APPSINK = re.compile(r"(?<![\w=-])appsink(?![\w-])[^!]*")


def open_csi(scheme: str, target: str, options: SourceOptions) -> HealingSource:
    """`csi://N`: camera N of a Jetson's camera connectors."""
    sensor, values = take(target, _CSI_SETTINGS, scheme, others_stay=False)
    name = f"csi://{sensor}"
    if not re.fullmatch(r"\d{1,2}", sensor):
        raise SourceError(f"{redact(name)}: expected csi://0 or another camera's number")
    hint = "is the camera connected? if it was working before: sudo systemctl restart nvargus-daemon"
    return _open(name, csi_pipeline(int(sensor), values), live_options(options, values), hint)


def open_pipeline(_scheme: str, target: str, options: SourceOptions) -> HealingSource:
    """`gst:` and a pipeline in the notation of gst-launch-1.0 that ends in an appsink."""
    name = redact(f"gst:{target}")
    if not _APPSINK.search(target):
        raise SourceError(f"{name}: the pipeline has no appsink; expected gst:SOURCE ! ... ! appsink")
    return _open(name, with_newest_only(target), options, "try it with gst-launch-1.0, fakesink for appsink")


def csi_pipeline(sensor: int, values: Mapping[str, Any]) -> str:
    """The pipeline from camera to BGR frames; what `values` leaves open the driver chooses."""
    mode = f" sensor-mode={values['mode']}" if "mode" in values else ""
    rate = values.get("fps")
    caps = ["video/x-raw(memory:NVMM)"]
    caps += [f"{key}=(int){values[key]}" for key in ("width", "height") if key in values]
    caps += [f"framerate=(fraction){round(rate * 1000)}/1000"] if rate else []
    return with_newest_only(
        f"nvarguscamerasrc sensor-id={sensor}{mode} ! {', '.join(caps)} "
        f"! nvvidconv flip-method={values.get('flip', 0)} ! video/x-raw, format=(string)BGRx "
        "! videoconvert ! video/x-raw, format=(string)BGR ! appsink"
    )


def with_newest_only(pipeline: str) -> str:
    """`appsink` keeps one frame, the newest, and does not hold it back; its own settings stay."""
    found = _APPSINK.search(pipeline)
    assert found is not None
    words = [f"{key}={value}" for key, value in _NEWEST_ONLY.items() if f"{key}=" not in found[0]]
    return pipeline[: found.start()] + " ".join([found[0].rstrip(), *words]) + pipeline[found.end() :]


def has_gstreamer() -> bool:
    """Whether this OpenCV was built with GStreamer; the packages of PyPI were not."""
    return bool(cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER))


def _open(name: str, pipeline: str, options: SourceOptions, hint: str) -> HealingSource:
    if not has_gstreamer():
        raise SourceError(
            f"{name}: this OpenCV ({cv2.__version__}) was built without GStreamer; use the OpenCV of JetPack "
            "or of the system (apt install python3-opencv), and remove opencv-python from this environment"
        )
    missing = missing_element(pipeline)
    if missing is not None:
        raise SourceError(
            f"{name}: GStreamer has no element {missing} here; install the plugin that brings it"
        )
    return HealingSource(name, partial(PipelineLink, pipeline, options, hint), options, hint=hint)


def missing_element(pipeline: str) -> str | None:
    """First element that is not installed: OpenCV would play what is left of the pipeline, or wait for ever.

    None where that cannot be told, for lack of gst-inspect-1.0.
    """
    inspect = shutil.which("gst-inspect-1.0")
    try:
        words = shlex.split(pipeline)
    except ValueError:  # an open quote; GStreamer will refuse it
        words = []
    if inspect is None:
        return None
    heads = [word for before, word in zip(["!", *words], words) if before == "!"]
    for name in filter(re.compile(r"[A-Za-z][\w-]*").fullmatch, heads):
        try:
            found = subprocess.run([inspect, "--exists", name], capture_output=True, timeout=_INSPECT_S)
        except (OSError, subprocess.TimeoutExpired):
            return None
        if found.returncode == 1:
            return name
    return None


class PipelineLink:
    """One running pipeline, stamped by its buffers' time stamps (`StreamClock`)."""

    def __init__(self, pipeline: str, options: SourceOptions, hint: str) -> None:
        self._latency_ns = int(options.latency_ms * 1e6)
        self._stall_s = options.stall_s
        self._clock = StreamClock()
        limits = [
            *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(options.open_s * 1000)),
            *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(options.stall_s * 1000)),
        ]
        self._capture = open_capture(pipeline, cv2.CAP_GSTREAMER, limits)
        if not self._capture.isOpened():  # an OpenCV before 4.8 knows no limits here
            self._capture = open_capture(pipeline, cv2.CAP_GSTREAMER)
        if not self._capture.isOpened():
            raise LinkLost(f"GStreamer cannot run this pipeline; {hint}")
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if math.isfinite(fps) and 0 < fps <= 1000 else None

    def read(self) -> Shot:
        """The next frame."""
        while True:
            ok, image = self._capture.read()
            now_ns = time.monotonic_ns()
            if not ok:
                raise LinkLost("the pipeline ended, failed or fell silent")
            stamp_ns = int(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
            captured_ns = self._clock.capture_ns(stamp_ns, now_ns)
            if self._clock.runs_behind():
                raise LinkLost("the pipeline runs more than a second behind")
            if captured_ns is not None:
                return Shot(image, captured_ns - self._latency_ns)

    def interrupt(self) -> None:
        """Nothing may be done to a capture that another thread uses; its time limits end the wait."""

    def close(self) -> None:
        """Stop the pipeline."""
        self._capture.release()
