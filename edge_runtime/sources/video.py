"""Video files through OpenCV's FFmpeg: every frame, in order, stamped when the decoder gives it."""

from __future__ import annotations

import logging
import math
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_runtime.errors import SourceError
from edge_runtime.frames import Frame
from edge_runtime.modelfile import ASSETS, DEMO
from edge_runtime.sources.opencv import open_capture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

log = logging.getLogger(__name__)


class Video:
    """A `Source` over one file. The first frame is decoded when it is opened, so a bad file fails at once."""

    live = False
    reconnects = 0
    connected = True
    skipped = 0

    def __init__(self, path: str | Path, name: str | None = None) -> None:
        self.name = name or str(path)
        if not Path(path).is_file():
            raise SourceError(f"{self.name}: no such video file")
        if Path(path).stat().st_size == 0:
            raise SourceError(f"{self.name}: the file is empty (0 bytes); copy or record it again")
        self._decoding = threading.Lock()
        self._capture = open_capture(str(path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise SourceError(
                f"{self.name}: not a video that can be read (damaged, cut short, or not a video)"
            )
        self._promised = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if math.isfinite(fps) and fps > 0 else None
        first = self._read()
        if first is None:
            self.close()
            raise SourceError(f"{self.name}: the video holds no frame that can be decoded")
        self._first: NDArray[np.uint8] | None = first
        self.size: tuple[int, int] | None = (first.shape[1], first.shape[0])

    def __iter__(self) -> Iterator[Frame]:
        image, self._first = self._first, None
        index = 0
        while image is not None:
            yield Frame(image, index, time.monotonic_ns(), decode_ns=self._decode_ns)
            index += 1
            image = self._read()
        if index < self._promised - max(2.0, 0.01 * self._promised):  # containers may miscount a little
            log.warning("%s: only %d of %d frames could be decoded", self.name, index, self._promised)

    @property
    def frames_promised(self) -> int:
        """Frames there are according to the container; 0 when it does not say."""
        return int(self._promised) if math.isfinite(self._promised) and self._promised > 0 else 0

    def close(self) -> None:
        """Release the decoder; what another thread decodes at the moment is waited for."""
        with self._decoding:
            self._capture.release()

    def _read(self) -> NDArray[np.uint8] | None:
        started_ns = time.monotonic_ns()
        with self._decoding:
            ok, image = self._capture.read()
        self._decode_ns = time.monotonic_ns() - started_ns
        return np.asarray(image, np.uint8) if ok else None


class Demo(Video):
    """The clip that ships inside the package."""

    def __init__(self, _: str = "") -> None:
        path = ASSETS / "demo.mp4"
        if not path.is_file():
            raise SourceError(f"the demo clip is missing from this installation ({path}); install it again")
        super().__init__(path, DEMO)
