"""Starts `stream_camera.py` under the system's Python and reads the moments its pictures were made."""

from __future__ import annotations

import functools
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from edge_runtime.frames import Frame

PYTHON = "/usr/bin/python3"
SCRIPT = Path(__file__).with_name("stream_camera.py")
PACKAGES = (
    "gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-base gstreamer1.0-plugins-good "
    "gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-tools"
)
_WRAP_MS = 1 << 20
_READY_S = 20


@functools.lru_cache(maxsize=None)
def what_is_missing() -> str | None:
    """Why no network camera can be started here; None where it can."""
    asked = (
        "import gi; gi.require_version('GstRtspServer', '1.0')\n"
        "from gi.repository import Gst, GstRtspServer; Gst.init(None)\n"
        "assert all(map(Gst.ElementFactory.find, ('x264enc', 'jpegenc', 'rtph264pay', 'mpegtsmux')))"
    )
    try:
        works = subprocess.run([PYTHON, "-c", asked], capture_output=True, timeout=30).returncode == 0
    except OSError:
        works = False
    return None if works else f"needs GStreamer's RTSP server: apt-get install {PACKAGES}"


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """A port of the loopback that nothing uses at the moment."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class NetworkCamera:
    """A camera process, from entering to leaving; `kind` and `options` as of `stream_camera.py`."""

    def __init__(self, kind: str, *options: str, port: int | None = None) -> None:
        missing = what_is_missing()
        if missing:
            pytest.skip(missing)
        self.port = port or free_port(socket.SOCK_STREAM if kind == "rtsp" else socket.SOCK_DGRAM)
        self.url = f"rtsp://127.0.0.1:{self.port}/cam"
        self._command = [PYTHON, str(SCRIPT), kind, str(self.port), *options]

    def __enter__(self) -> NetworkCamera:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, env=clean)
        os.set_blocking(self._process.stdout.fileno(), False)
        deadline_s = time.monotonic() + _READY_S
        while not (self._process.stdout.read() or b"").startswith(b"ready"):
            assert self._process.poll() is None, f"{self._command} ended at once"
            assert time.monotonic() < deadline_s, f"{self._command} does not get ready"
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def pause(self) -> None:
        """Stop sending and answering; connections stay open."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on."""
        self._process.send_signal(signal.SIGCONT)


def capture_error_ms(frame: Frame) -> float:
    """Claimed capture time minus the true one, read from the bar code."""
    bits = frame.image_bgr_u8[16, 16::32, 1] > 128
    made_ms = int(bits.dot(1 << np.arange(19, -1, -1)))
    error_ms = (frame.t_capture_ns / 1e6 - made_ms) % _WRAP_MS
    return float(error_ms if error_ms < _WRAP_MS / 2 else error_ms - _WRAP_MS)
