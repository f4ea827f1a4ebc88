"""Plays a file as if it were a camera: frames at its own rate, the late ones lost (`--realtime`)."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

from edge_runtime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_runtime.frames import Frame
    from edge_runtime.sources.base import Source


class Paced:
    """A live `Source` over another one that knows its frame rate."""

    live = True
    reconnects = 0
    connected = True

    def __init__(self, source: Source) -> None:
        if source.fps is None:
            raise UsageError(f"{source.name}: --realtime needs a video; this source has no frame rate")
        self._source = source
        self.name = source.name
        self.fps = source.fps
        self.size = source.size

    @property
    def skipped(self) -> int:
        """Of the source played."""
        return self._source.skipped

    def __iter__(self) -> Iterator[Frame]:
        start = time.monotonic()
        for frame in self._source:
            wait_s = start + frame.index / self.fps - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)
            yield dataclasses.replace(frame, t_capture_ns=time.monotonic_ns())

    def close(self) -> None:
        """Close the source played."""
        self._source.close()
