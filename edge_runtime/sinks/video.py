"""The frames with what was found drawn on them, as a video file that appears only when it is whole."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from edge_runtime.errors import SinkError
from edge_runtime.overlay import draw
from edge_runtime.sources.opencv import be_quiet, open_capture

if TYPE_CHECKING:
    from edge_runtime.live import RunContext
    from edge_runtime.records import Record
    from edge_runtime.sinks.base import Result

_FOURCC = {".mp4": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}  # coders every OpenCV has
_DEFAULT_FPS = 30.0  # for images, which have no rate
_LEAST_FREE_BYTES = 32 << 20  # OpenCV does not say when the disk is full: stop while the file can be ended


class VideoFile:
    """A `Sink` that writes to a temporary file beside its target and renames it when closed."""

    capacity = 4  # whole frames wait here

    def __init__(self, target: str, *, force: bool = False, context: RunContext | None = None) -> None:
        self.name = f"video:{target}"
        self._path = Path(target)
        self._part = self._path.with_name(f".{self._path.stem}.partial{self._path.suffix}")
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._fps = _DEFAULT_FPS
        self._written = 0
        if self._path.suffix.lower() not in _FOURCC:
            raise SinkError(f"{target}: unknown kind of video, expected {', '.join(_FOURCC)}")
        if self._path.exists() and not force:
            raise SinkError(f"{target} exists; choose another name or add --force to overwrite it")
        try:
            self._part.open("wb").close()
        except OSError as error:
            raise SinkError(f"{target}: cannot create this file: {error.strerror}") from error

    def start(self, header: Record) -> None:
        """Take the frame rate of the source."""
        self._fps = header["source"]["fps"] or _DEFAULT_FPS

    def write(self, result: Result) -> None:
        """Draw and encode one frame; frames of another size are fitted to the first one's."""
        picture = draw(result.frame.image_bgr_u8, result.score_map, result.record)
        if self._writer is None:
            self._writer = self._open_writer(picture.shape[1], picture.shape[0])
        if shutil.disk_usage(self._part.parent).free < _LEAST_FREE_BYTES:
            raise SinkError(f"{self._path}: the disk is full; the video ends after {self._written} frames")
        if (picture.shape[1], picture.shape[0]) != self._size:
            picture = cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        self._writer.write(picture)
        self._written += 1

    def close(self) -> None:
        """End the file, check that it can be read, and give it its name."""
        if self._writer is None:
            self._part.unlink(missing_ok=True)
            return
        self._writer.release()
        self._writer = None
        if not open_capture(str(self._part), cv2.CAP_FFMPEG).isOpened():
            raise SinkError(
                f"{self._path}: the video could not be finished; what there is lies in {self._part}"
            )
        self._part.replace(self._path)

    def _open_writer(self, width: int, height: int) -> cv2.VideoWriter:
        be_quiet()
        self._size = (width - width % 2, height - height % 2)  # video coders want even sizes
        fourcc = cv2.VideoWriter.fourcc(*_FOURCC[self._path.suffix.lower()])
        writer = cv2.VideoWriter(str(self._part), cv2.CAP_FFMPEG, fourcc, self._fps, self._size)
        if not writer.isOpened():
            raise SinkError(f"{self._path}: this OpenCV cannot write such a video; try another suffix")
        return writer
