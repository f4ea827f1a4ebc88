"""Plays a file again from its start, for ever, as if it were one long one."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edge_runtime.frames import Frame
    from edge_runtime.sources.base import Source


class Looped:
    """A `Source` over one that ends; it is opened anew for each pass. `passes`: how many were begun."""

    live = False
    reconnects = 0
    connected = True

    def __init__(self, open_again: Callable[[], Source]) -> None:
        self._open_again = open_again
        self._source = open_again()
        self._skipped_before = 0
        self._closed = False
        self.passes = 1
        self.name, self.fps, self.size = self._source.name, self._source.fps, self._source.size

    @property
    def skipped(self) -> int:
        """Of all passes."""
        return self._skipped_before + self._source.skipped

    def __iter__(self) -> Iterator[Frame]:
        first = 0  # index of the first frame of this pass
        while not self._closed:
            index = first - 1
            for frame in self._source:
                index = first + frame.index
                yield dataclasses.replace(frame, index=index)
            if index < first or self._closed:
                return
            first = index + 1
            self._skipped_before += self._source.skipped
            self._source.close()
            self._source = self._open_again()
            self.passes += 1

    def close(self) -> None:
        """Close the pass under way, and begin no other."""
        self._closed = True
        self._source.close()
