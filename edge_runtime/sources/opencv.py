"""Opens OpenCV captures without the several lines FFmpeg and OpenCV print when that fails."""

from __future__ import annotations

import os

import cv2

_SILENT = 0  # OpenCV's LOG_LEVEL_SILENT


def open_capture(target: str, api: int) -> cv2.VideoCapture:
    """`cv2.VideoCapture(target, api)` that keeps stderr for our own one line; check `.isOpened()`."""
    be_quiet()
    return cv2.VideoCapture(target, api)


def be_quiet() -> None:
    """Silence the log of OpenCV's video code; its failures are seen in what it returns."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # read by OpenCV once, at the first capture
    logging = getattr(cv2.utils, "logging", cv2)  # OpenCV 5, and 4
    logging.setLogLevel(_SILENT)
