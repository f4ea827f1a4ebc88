"""What frames come from: a camera, a network stream, a video file, a folder of images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_runtime.frames import Frame


@dataclass(frozen=True)
class SourceOptions:
    """How live sources behave; files ignore it. The same names behind a URI (`?stall_s=5`) come first.

    `wait`: opening does not fail when nothing is there yet; the source keeps trying.
    `open_s`: how long one attempt to connect and see a first frame may take.
    `stall_s`: a connection that brings no frame for so long is given up and made anew.
    `latency_ms`: known time from exposure to arrival, taken off every capture time that is an arrival.
    `retry_first_s`, `retry_most_s`: pauses between attempts, doubled from the first to the longest.
    """

    wait: bool = False
    open_s: float = 5.0
    stall_s: float = 2.0
    latency_ms: float = 0.0
    retry_first_s: float = 0.2
    retry_most_s: float = 5.0


class Source(Protocol):
    """One opened source, iterated once, by a single thread.

    Any thread may close it: an iterator that waits for a frame of a live source then ends within a second.
    """

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
        """Frames so far that were there but could not be decoded."""
        ...

    @property
    def reconnects(self) -> int:
        """How often a live source has lost its connection and got it back."""
        ...

    @property
    def connected(self) -> bool:
        """False while a live source has no connection, or one that brings no frames; files are True."""
        ...

    def __iter__(self) -> Iterator[Frame]:
        """Frames until a file ends or `close`; live sources wait and connect again for ever.

        Raises:
            SourceError: a file broke off, or gave not one frame.
        """
        ...

    def close(self) -> None:
        """Release the device, connection or file; safe to call twice and from any thread."""
        ...
