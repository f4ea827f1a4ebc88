"""Plays what `run --record DIR` wrote: same pictures, same circumstances, and so the same records."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import cv2
import numpy as np

from edge_runtime.errors import SourceError
from edge_runtime.frames import Frame
from edge_runtime.imagefile import decode_image
from edge_runtime.recording.format import HEAD, INDEX, VERSION, entries
from edge_runtime.sources.opencv import open_capture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from edge_runtime.recording.format import Entry

log = logging.getLogger(__name__)


class Replay:
    """A `Source` over the folder of a recording. `folder`: that one."""

    live = False
    reconnects = 0
    connected = True
    skipped = 0

    def __init__(self, target: str) -> None:
        self.name = f"replay:{target}"
        self.folder = Path(target)
        head = _read_head(self.folder, self.name)
        self.fps: float | None = head.get("fps")
        self._promised: int | None = head["frames"] if head.get("complete") else None
        if self._promised is None:
            log.warning(
                "%s: the recording was not ended (power cut?); it plays up to where it broke off", self.name
            )
        elif head.get("lost"):
            log.warning("%s: %d frame(s) were lost while recording", self.name, head["lost"])
        self._entries = self._read_index()
        self._pictures = _Pictures(self.folder)
        first = next(self._entries, None)
        image = None if first is None else self._pictures.read(first)
        if first is None or image is None:
            self.close()
            raise SourceError(f"{self.name}: the recording holds no frame that can be read")
        self.size: tuple[int, int] | None = first.size
        self._first: tuple[Entry, NDArray[np.uint8]] = (first, image)

    def __iter__(self) -> Iterator[Frame]:
        entry, image = self._first
        yield self._frame(entry, image)
        played = 1
        for entry in self._entries:
            found = self._pictures.read(entry)
            if found is None:
                log.warning(
                    "%s: cut short: %s ends before frame %d; played %d frame(s)",
                    self.name, entry.file, entry.index, played,
                )  # fmt: skip
                break
            yield self._frame(entry, found)
            played += 1
        if self._promised is not None and played < self._promised:
            raise SourceError(f"{self.name}: damaged: {played} of {self._promised} frames could be played")

    def close(self) -> None:
        """Close the files."""
        self._pictures.close()

    def _frame(self, entry: Entry, image: NDArray[np.uint8]) -> Frame:
        return Frame(image, entry.index, time.monotonic_ns(), entry.name, circumstances=entry.circumstances)

    def _read_index(self) -> Iterator[Entry]:
        try:
            yield from entries(self.folder / INDEX)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise SourceError(f"{self.folder / INDEX}: {why}; the recording is damaged") from error


class _Pictures:
    """Reads pictures in the order of the index; one file is open at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = ""
        self._at = 0
        self._capture: cv2.VideoCapture | None = None
        self._bytes: BinaryIO | None = None

    def read(self, entry: Entry) -> NDArray[np.uint8] | None:
        """(h, w, 3) uint8 BGR of its size; None where the file ends before it or cannot be read."""
        if entry.file != self._name:
            self._open(entry)
        if entry.length is not None:
            return self._decode(entry.at, entry.length)
        image = None
        while self._capture is not None and self._at <= entry.at:
            ok, read = self._capture.read()
            if not ok:
                return None
            image = np.asarray(read, np.uint8)
            self._at += 1
        width, height = entry.size
        if image is None or image.shape[0] < height or image.shape[1] < width:
            return None
        return np.ascontiguousarray(image[:height, :width])

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
        if self._bytes is not None:
            self._bytes.close()
        self._capture = self._bytes = None

    def _open(self, entry: Entry) -> None:
        self.close()
        self._name, self._at = entry.file, 0
        path = self._folder / Path(entry.file).name  # never outside the folder
        if not path.is_file():
            return
        if entry.length is None:
            self._capture = open_capture(str(path), cv2.CAP_FFMPEG)
        else:
            self._bytes = path.open("rb")

    def _decode(self, at: int, length: int) -> NDArray[np.uint8] | None:
        if self._bytes is None:
            return None
        self._bytes.seek(at)
        data = self._bytes.read(length)
        return decode_image(data) if len(data) == length else None


def _read_head(folder: Path, name: str) -> dict[str, Any]:
    try:
        head = json.loads((folder / HEAD).read_text(encoding="utf-8"))
    except OSError as error:
        raise SourceError(
            f"{name}: no recording ({folder / HEAD}: {error.strerror}); expected a folder that "
            "`dips-edge run --record DIR` wrote"
        ) from error
    except ValueError as error:
        raise SourceError(f"{folder / HEAD}: damaged: not JSON") from error
    if not isinstance(head, dict) or head.get("type") != "recording" or head.get("v") != VERSION:
        raise SourceError(f"{folder / HEAD}: not of a recording of version {VERSION}")
    return head
