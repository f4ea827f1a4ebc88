"""The frames with what was found drawn on them, as a video file that appears under its name when it is whole.

Until then, and when the run is killed, `NAME.partial.mkv` beside it plays up to the newest frame.
"""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from edge_runtime.errors import SinkError
from edge_runtime.overlay import draw
from edge_runtime.sinks.videostream import StreamWriter, can_index, index
from edge_runtime.sources.opencv import be_quiet, open_capture

if TYPE_CHECKING:
    from edge_runtime.live import RunContext
    from edge_runtime.records import Record
    from edge_runtime.sinks.base import Result

_FOURCC = {".mp4": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}  # coders every OpenCV has
_DEFAULT_FPS = 30.0  # for images, which have no rate
_LEAST_FREE_BYTES = 32 << 20  # stop while the file can still be ended


class VideoFile:
    """A `Sink` that writes to a partial file beside its target; closing turns that into the target."""

    capacity = 4  # whole frames wait here

    def __init__(self, target: str, *, force: bool = False, context: RunContext | None = None) -> None:
        self.name = f"video:{target}"
        self._path = Path(target)
        self._suffix = self._path.suffix.lower()
        self._writer: StreamWriter | cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._fps = _DEFAULT_FPS
        self._written = 0
        if self._suffix not in _FOURCC:
            raise SinkError(f"{target}: unknown kind of video, expected {', '.join(_FOURCC)}")
        if self._path.exists() and not force:
            raise SinkError(f"{target} exists; choose another name or add --force to overwrite it")
        self._fourcc = cv2.VideoWriter.fourcc(*_FOURCC[self._suffix])
        self._part = _free_name(self._path, self._stream_suffix())
        try:
            self._part.open("xb").close()
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
        """End the file, give it an index, check that it can be read, and give it its name."""
        if self._writer is None:
            self._part.unlink(missing_ok=True)
            return
        writer, self._writer = self._writer, None
        writer.release()
        whole = self._part
        if can_index():
            whole = self._path.with_name(f".{self._path.stem}.indexed{self._suffix}")
            try:
                index(self._part, whole, self._fourcc, self._fps)
            except (SinkError, OSError, cv2.error) as error:
                whole.unlink(missing_ok=True)
                raise SinkError(f"{self._path} could not be finished; {self._part} plays") from error
        elif not open_capture(str(whole), cv2.CAP_FFMPEG).isOpened():
            raise SinkError(f"{self._path}: could not be finished; what there is lies in {self._part}")
        whole.replace(self._path)
        self._part.unlink(missing_ok=True)

    def _stream_suffix(self) -> str:
        """Of the partial file: a container that needs no end, where it can be turned into another later."""
        return ".mkv" if can_index() and self._suffix != ".avi" else self._suffix

    def _open_writer(self, width: int, height: int) -> StreamWriter | cv2.VideoWriter:
        self._size = (width - width % 2, height - height % 2)  # video coders want even sizes
        if can_index():
            return StreamWriter(self._part, self._fourcc, self._fps, self._size)
        be_quiet()
        writer = cv2.VideoWriter(str(self._part), cv2.CAP_FFMPEG, self._fourcc, self._fps, self._size)
        if not writer.isOpened():
            raise SinkError(f"{self._path}: this OpenCV cannot write such a video; try another suffix")
        return writer


def _free_name(path: Path, suffix: str) -> Path:
    """`out.partial.mkv`, or with a number where a killed run has left one: it is never overwritten."""
    names = (path.with_name(f"{path.stem}.partial{n}{suffix}") for n in ("", *map(str, range(2, 1000))))
    return next(itertools.filterfalse(Path.exists, names), path.with_name(f"{path.stem}.partial{suffix}"))
