"""Frames as the network saw them, into a folder that `--source replay:DIR` plays again.

Result ──▶ frames-*.mkv (lossless), or frames.mjpeg (JPEG files of the camera, copied) ──▶ index.jsonl
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import cv2
import numpy as np

from edge_runtime.errors import SinkError
from edge_runtime.recording.format import CODECS, HEAD, INDEX, JPEGS, Entry, head
from edge_runtime.sinks.videostream import StreamWriter
from edge_runtime.summary import write_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_runtime.live import RunContext
    from edge_runtime.records import Record
    from edge_runtime.sinks.base import Result

_DEFAULT_FPS = 30.0  # for images, which have no rate
_LEAST_FREE_BYTES = 64 << 20  # stop while what is open can still be ended


class Recorder:
    """A `Sink` into a new or empty folder: `record:DIR` or `record:DIR?codec=ffv1`."""

    capacity = 16  # whole frames wait here

    def __init__(self, target: str, *, force: bool = False, context: RunContext | None = None) -> None:
        folder, _, query = target.partition("?")
        self.name = f"record:{folder}"
        self._folder = Path(folder)
        self._codec = _codec(query, self.name)
        self._is_new = not self._folder.exists()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if any(self._folder.iterdir()):
                raise SinkError(f"{folder} is not empty; a recording takes a new folder, --force or not")
            probe = self._folder / HEAD
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise SinkError(f"{folder}: cannot record into this folder: {error.strerror}") from error
        self._index: BinaryIO | None = None
        self._jpegs: BinaryIO | None = None
        self._video: StreamWriter | None = None
        self._video_name, self._video_size, self._videos, self._in_video = "", (0, 0), 0, 0
        self._fps: float | None = None
        self._size: tuple[int, int] | None = None
        self._frames = self._lost = 0
        self._next_seq = 0

    def start(self, header: Record) -> None:
        """Begin the recording."""
        source = header["source"]
        self._fps = source["fps"]
        self._size = None if source["size"] is None else (source["size"][0], source["size"][1])
        self._write_head(complete=False)
        self._index = (self._folder / INDEX).open("xb")

    def write(self, result: Result) -> None:
        """Keep one frame: the picture first, then its line."""
        assert self._index is not None
        frame, seq = result.frame, result.record["seq"]
        if shutil.disk_usage(self._folder).free < _LEAST_FREE_BYTES:
            raise SinkError(
                f"{self._folder}: the disk is full; the recording ends after {self._frames} frames"
            )
        self._lost += seq - self._next_seq
        self._next_seq = seq + 1
        height, width = frame.image_bgr_u8.shape[:2]
        if frame.jpeg is not None:
            file, at, length = JPEGS, *self._copy(frame.jpeg)
        else:
            file, at = self._code(frame.image_bgr_u8)
            length = None
        entry = Entry(
            seq=seq,
            index=frame.index,
            size=(width, height),
            name=frame.name,
            file=file,
            at=at,
            length=length,
            t_capture_ns=frame.t_capture_ns,
            circumstances=result.circumstances,
        )
        self._index.write(entry.to_line())
        self._index.flush()
        self._frames += 1

    def close(self) -> None:
        """End the files; a folder in which nothing was recorded is removed again."""
        if self._index is None:
            if self._is_new:
                self._folder.rmdir()
            return
        if self._video is not None:
            self._video.release()
        for file in (self._jpegs, self._index):
            if file is not None:
                file.close()
        self._write_head(complete=True)

    def _copy(self, jpeg: bytes) -> tuple[int, int]:
        if self._jpegs is None:
            self._jpegs = (self._folder / JPEGS).open("xb", buffering=0)
        at = self._jpegs.tell()
        self._jpegs.write(jpeg)
        return at, len(jpeg)

    def _code(self, image: NDArray[np.uint8]) -> tuple[str, int]:
        height, width = image.shape[:2]
        size = (width + width % 2, height + height % 2)  # video coders want even sizes
        if self._video is None or size != self._video_size:
            self._next_video(size)
        assert self._video is not None
        if size != (width, height):
            image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        self._video.write(image)
        self._in_video += 1
        return self._video_name, self._in_video - 1

    def _next_video(self, size: tuple[int, int]) -> None:
        if self._video is not None:
            self._video.release()
        self._video_name, self._video_size, self._in_video = f"frames-{self._videos:04}.mkv", size, 0
        self._videos += 1
        fourcc = cv2.VideoWriter.fourcc(*CODECS[self._codec][0])
        self._video = StreamWriter(self._folder / self._video_name, fourcc, self._fps or _DEFAULT_FPS, size)

    def _write_head(self, *, complete: bool) -> None:
        content = head(
            codec="jpeg" if self._jpegs is not None else self._codec,
            fps=self._fps,
            size=self._size,
            complete=complete,
            frames=self._frames,
            lost=self._lost,
        )
        write_json(self._folder / HEAD, content)


def _codec(query: str, name: str) -> str:
    key, _, codec = query.partition("=") if query else ("codec", "", "huffyuv")
    if key != "codec" or codec not in CODECS:
        raise SinkError(f"{name}: unknown setting {query!r}, expected codec={' or codec='.join(CODECS)}")
    return codec
