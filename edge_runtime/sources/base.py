"""What frames come from: a camera, a video file, a folder of images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_runtime.frames import Frame


class Source(Protocol):
    """One opened source. Iterated once, by a single thread; that thread closes it."""

    @property
    def name(self) -> str:
        """What it is, for people and records; never holds credentials."""
        ...

    @property
    def live(self) -> bool:
        """True when frames come at their own pace: whoever is late gets the newest and loses the rest."""
        ...

    @property
    def fps(self) -> float | None:
        """Nominal frames per second, None when unknown (images)."""
        ...

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) of the first frame in pixels, None when unknown before the first frame."""
        ...

    @property
    def skipped(self) -> int:
        """Frames so far that were there but could not be decoded; each was named in the log."""
        ...

    def __iter__(self) -> Iterator[Frame]:
        """Frames until the source ends.

        Raises:
            SourceError: the source broke off, or gave not one frame.
        """
        ...

    def close(self) -> None:
        """Release the device or file; safe to call twice."""
        ...
