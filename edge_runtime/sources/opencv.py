"""Opens OpenCV captures without the several lines FFmpeg and OpenCV print when that fails."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import cv2

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SILENT = 0  # OpenCV's LOG_LEVEL_SILENT
_FFMPEG_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
_one_at_a_time = threading.Lock()


def open_capture(target: str, api: int, parameters: Sequence[int] = ()) -> cv2.VideoCapture:
    """`cv2.VideoCapture` that keeps stderr for our own one line; check `.isOpened()`.

    `parameters`: `cv2.CAP_PROP_*` and value in turn, for what must be known when it is opened.
    """
    be_quiet()
    return cv2.VideoCapture(target, api, parameters) if parameters else cv2.VideoCapture(target, api)


@contextmanager
def ffmpeg_options(text: str) -> Iterator[None]:
    """FFmpeg's options of what is opened inside, as `name;value|name;value`.

    OpenCV takes them from the environment of the process only, so one capture is opened at a time. What the
    user has set there is kept and comes last, so that it decides.
    """
    with _one_at_a_time:
        users = os.environ.get(_FFMPEG_OPTIONS)
        os.environ[_FFMPEG_OPTIONS] = text if users is None else f"{text}|{users}"
        try:
            yield
        finally:
            if users is None:
                del os.environ[_FFMPEG_OPTIONS]
            else:
                os.environ[_FFMPEG_OPTIONS] = users


def be_quiet() -> None:
    """Silence the log of OpenCV's video code; its failures are seen in what it returns."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # read by OpenCV once, at the first capture
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "2")  # seconds; 10 otherwise
    logging = getattr(cv2.utils, "logging", cv2)  # OpenCV 5, and 4
    logging.setLogLevel(_SILENT)
