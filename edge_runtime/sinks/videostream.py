"""A video file that survives the death of its process, and its index, added when there is time for it.

frames ──StreamWriter──▶ out.partial.mkv ──index──▶ out.mp4

FFmpeg keeps the newest 256 KB of a file to itself, which may be half a minute of video; of a pipe it keeps
nothing. So the coder writes into a pipe, and a thread from there into the file, packet by packet.
"""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_runtime.errors import SinkError
from edge_runtime.sources.opencv import be_quiet, open_capture

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PIPE_BYTES = 1 << 16


def can_index() -> bool:
    """Whether this OpenCV can copy coded packets from one file into another (from 4.8 on)."""
    return hasattr(cv2, "VIDEOWRITER_PROP_RAW_VIDEO") and hasattr(cv2, "CAP_PROP_CODEC_EXTRADATA_INDEX")


class StreamWriter:
    """Codes frames of one size into `path` (.mkv or .avi); what was written is in the file at once."""

    def __init__(self, path: Path, fourcc: int, fps: float, size: tuple[int, int]) -> None:
        """Raises SinkError when OpenCV cannot code such a video, OSError when the file cannot be written."""
        self._error: OSError | None = None
        self._file = path.open("wb", buffering=0)
        with tempfile.TemporaryDirectory(prefix="dips-edge-") as folder:
            pipe = Path(folder) / f"pipe{path.suffix}"
            os.mkfifo(pipe)
            self._pipe = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
            be_quiet()
            self._writer = cv2.VideoWriter(str(pipe), cv2.CAP_FFMPEG, fourcc, fps, size)
        if not self._writer.isOpened():
            os.close(self._pipe)
            self._file.close()
            raise SinkError(f"{path}: this OpenCV cannot write such a video; try another suffix")
        os.set_blocking(self._pipe, True)
        self._copier = threading.Thread(target=self._copy, name=f"copy {path.name}", daemon=True)
        self._copier.start()

    def write(self, picture: NDArray[np.uint8]) -> None:
        """Code one frame. Raises OSError when the file could not be written."""
        self._writer.write(picture)
        if self._error is not None:
            raise self._error

    def release(self) -> None:
        """End the file. Raises OSError when not all of it could be written."""
        self._writer.release()
        self._copier.join()
        self._file.close()
        if self._error is not None:
            raise self._error

    def _copy(self) -> None:
        """Pipe to file until the coder closes it; after an error what comes is thrown away, so none waits."""
        while packets := os.read(self._pipe, _PIPE_BYTES):
            if self._error is not None:
                continue
            try:
                written = 0
                while written < len(packets):
                    written += self._file.write(packets[written:])
            except OSError as error:
                self._error = error
        os.close(self._pipe)


def index(stream: Path, target: Path, fourcc: int, fps: float) -> None:
    """Copy the coded frames of `stream` into `target`, whose container has an index; nothing is coded anew.

    Raises:
        SinkError: `stream` cannot be read or `target` not written whole.
    """
    be_quiet()
    reader = cv2.VideoCapture(str(stream), cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1])
    size = int(reader.get(cv2.CAP_PROP_FRAME_WIDTH)), int(reader.get(cv2.CAP_PROP_FRAME_HEIGHT))
    raw = [cv2.VIDEOWRITER_PROP_RAW_VIDEO, 1]
    writer = cv2.VideoWriter(str(target), cv2.CAP_FFMPEG, fourcc, fps, size, raw)
    if not reader.isOpened() or not writer.isOpened():
        raise SinkError(f"{stream}: the video could not be given an index")
    _, head = reader.retrieve(flag=int(reader.get(cv2.CAP_PROP_CODEC_EXTRADATA_INDEX)))
    while (read := reader.read())[0]:
        packet = read[1].ravel()
        is_key = reader.get(cv2.CAP_PROP_LRF_HAS_KEY_FRAME) != 0
        writer.set(cv2.VIDEOWRITER_PROP_KEY_FLAG, float(is_key))
        if is_key and head is not None:  # Matroska keeps these aside, others want them here
            packet = np.concatenate([head.ravel(), packet])
        writer.write(packet[None])
    writer.release()
    reader.release()
    if not open_capture(str(target), cv2.CAP_FFMPEG).isOpened():
        raise SinkError(f"{stream}: the video could not be given an index")
