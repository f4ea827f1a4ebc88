"""Frames of any size without a camera: a picture that moves, `synthetic://1280x720?fps=30`. For measuring."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_runtime.errors import SourceError
from edge_runtime.frames import Frame
from edge_runtime.sources.paced import Paced
from edge_runtime.sources.settings import number, take

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_runtime.sources.base import Source

_SETTINGS = {"fps": number(0.1, 1000)}
_MARGIN = 128  # pixels by which the picture is larger than a frame
_LARGEST = 8192


def open_synthetic(scheme: str, target: str, _: object = None) -> Source:
    """`synthetic://1280x720`: as fast as it is taken; with `?fps=30` like a camera at that rate."""
    target, values = take(target, _SETTINGS, scheme, others_stay=False)
    match = re.fullmatch(r"(\d+)x(\d+)", target)
    size = (int(match[1]), int(match[2])) if match else (0, 0)
    if not all(8 <= side <= _LARGEST for side in size):
        raise SourceError(
            f"{scheme}://{target}: expected a size from 8x8 to {_LARGEST}x{_LARGEST}, "
            f"such as {scheme}://1280x720?fps=30"
        )
    source = Synthetic(size, values.get("fps"))
    return source if source.fps is None else Paced(source)


class Synthetic:
    """A `Source` without end: soft blobs and fine grain, seen through a window that wanders."""

    live = False
    reconnects = 0
    connected = True
    skipped = 0

    def __init__(self, size: tuple[int, int], fps: float | None = None) -> None:
        """`size`: (width, height) in pixels."""
        self.name = f"synthetic {size[0]} x {size[1]}"
        self.size: tuple[int, int] | None = size
        self.fps = fps
        self._closed = False
        rng = np.random.default_rng(0)
        width, height = size[0] + _MARGIN, size[1] + _MARGIN
        blobs = cv2.resize(rng.integers(0, 256, (9, 12, 3), np.uint8), (width, height))
        grain = rng.integers(0, 32, (height, width, 3), np.uint8)
        self._picture = np.asarray(cv2.add(blobs, grain), np.uint8)

    def __iter__(self) -> Iterator[Frame]:
        assert self.size is not None
        width, height = self.size
        index = 0
        while not self._closed:
            x, y = (_there_and_back(step * index, _MARGIN) for step in (3, 2))
            image = self._picture[y : y + height, x : x + width].copy()
            yield Frame(image, index, time.monotonic_ns())
            index += 1

    def close(self) -> None:
        """End it."""
        self._closed = True


def _there_and_back(at: int, most: int) -> int:
    return most - abs(at % (2 * most) - most)
