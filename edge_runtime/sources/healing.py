"""A live source that heals: one thread reads one connection after the other, the newest frame wins.

connect() ──▶ Link.read() ──▶ [ newest shot ] ──decode──▶ Frame, Frame, ...
   ▲ pause, doubled each time ◀── LinkLost (ended, broken, silent for `stall_s`)

A driver or library may block for as long as it likes: it blocks the reading thread only.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np

from edge_runtime.errors import SourceError
from edge_runtime.frames import Frame
from edge_runtime.sources.redact import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from edge_runtime.sources.base import SourceOptions

log = logging.getLogger(__name__)

CLOSE_S = 0.8  # how long `close` waits for the reading thread
_EXPLAIN_S = 5.0  # how much longer than `open_s` a connection may take to say why it failed


class LinkLost(Exception):
    """A connection that failed or ended; `str()` says why in a few words."""


@dataclass(frozen=True)
class Shot:
    """What a link read: a picture, or bytes that `decode` makes one of; capture time is monotonic ns.

    `passed_over`: older pictures that came since the shot before and were not worth handing on.
    `decode_ns`: how long it took to make the picture, None where that cannot be told from waiting for it.
    """

    data: Any
    t_capture_ns: int
    passed_over: int = 0
    decode_ns: int | None = None


class Link(Protocol):
    """One connection to a camera or stream. Made, read and closed by one thread."""

    @property
    def fps(self) -> float | None:
        """Nominal frames per second, None when unknown."""
        ...

    def read(self) -> Shot:
        """The next frame; raises LinkLost when none comes for `stall_s` or none will come."""
        ...

    def interrupt(self) -> None:
        """Called by another thread: make a `read` that waits return soon, where that is possible."""
        ...

    def close(self) -> None:
        """Release everything."""
        ...


def as_bgr(image: NDArray[Any]) -> NDArray[np.uint8] | None:
    """A camera's (H, W), (H, W, 1) or (H, W, 3) uint8 picture as (H, W, 3); None for any other."""
    if image.dtype != np.uint8 or image.size == 0:
        return None
    if image.ndim == 3 and image.shape[2] == 3:
        return image
    if image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1):
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
    return None


class HealingSource:
    """A live `Source` over links made by `connect`, for ever. Used by the files of each kind."""

    live = True

    def __init__(
        self,
        name: str,
        connect: Callable[[], Link],
        options: SourceOptions,
        decode: Callable[[Any], NDArray[np.uint8] | None] = as_bgr,
        *,
        hint: str = "",
    ) -> None:
        """Start reading; unless `options.wait`, return with the first frame there.

        `hint`: what to do when no picture comes and nobody says why.

        Raises:
            SourceError: the first connection failed, or brought no frame within `options.open_s`.
        """
        self.name = name
        self.fps: float | None = None
        self.size: tuple[int, int] | None = None
        self.skipped = 0
        self.reconnects = 0
        self.dropped = 0  # replaced by a newer one before anybody took them
        self._connect = connect
        self._options = options
        self._decode = decode
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._link: Link | None = None
        self._newest: tuple[Shot, int] | None = None
        self._next_index = 0
        self._arrived_s = -1.0
        self._failure: str | None = None  # why the connection before this one was lost
        self._lost_s: float | None = None
        self._thread = threading.Thread(target=self._read_links, name=f"source {name}", daemon=True)
        self._thread.start()
        if not options.wait:
            self._await_first(hint)

    @property
    def connected(self) -> bool:
        """Frames are coming: the last one is at most `stall_s` old."""
        return self._link is not None and time.monotonic() - self._arrived_s <= self._options.stall_s

    def __iter__(self) -> Iterator[Frame]:
        while (taken := self._take()) is not None:
            shot, index = taken
            started_ns = time.monotonic_ns()
            image = self._decoded(shot)
            if image is not None:
                took_ns = time.monotonic_ns() - started_ns
                if isinstance(shot.data, bytes):
                    yield Frame(image, index, shot.t_capture_ns, decode_ns=took_ns, jpeg=shot.data)
                else:
                    yield Frame(image, index, shot.t_capture_ns, decode_ns=shot.decode_ns)

    def close(self) -> None:
        """End it from any thread, within a second; a call that hangs in a library is left to itself."""
        self._closed.set()
        with self._changed:
            link = self._link
            self._changed.notify_all()
        if link is not None:
            link.interrupt()
        if threading.current_thread() is not self._thread:
            self._thread.join(CLOSE_S)

    def _await_first(self, hint: str) -> None:
        """Wait for the first picture that can be decoded, and learn its size."""
        deadline_s = time.monotonic() + self._options.open_s + _EXPLAIN_S
        while True:
            with self._changed:
                left_s = max(0.0, deadline_s - time.monotonic())
                self._changed.wait_for(lambda: self._newest or self._failure, left_s)
                newest, failure = self._newest, self._failure
                self._newest = None
            if newest is not None and self._decoded(newest[0]) is not None:
                with self._changed:
                    self._newest = self._newest or newest
                return
            if failure is not None or left_s == 0:
                self.close()
                nothing = f"no picture within {self._options.open_s:g} s" + (f"; {hint}" if hint else "")
                raise SourceError(f"{self.name}: {failure or nothing}")

    def _take(self) -> tuple[Shot, int] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._newest or self._closed.is_set())
            taken, self._newest = self._newest, None
            return None if self._closed.is_set() else taken

    def _decoded(self, shot: Shot) -> NDArray[np.uint8] | None:
        image = self._decode(shot.data)
        if image is not None:
            self.size = self.size or (image.shape[1], image.shape[0])
            return image
        self.skipped += 1
        if self.skipped == 1:
            log.warning("%s: a picture that cannot be decoded, skipped; further ones are counted", self.name)
        return None

    def _read_links(self) -> None:
        attempt = 0
        while not self._closed.is_set():
            started_s = time.monotonic()
            reason = self._read_one_link()
            if self._closed.is_set():
                return
            lived_long = self._arrived_s - started_s > self._options.retry_most_s
            attempt = 1 if lived_long else attempt + 1
            self._tell_loss(reason)
            self._closed.wait(self._pause_s(attempt))

    def _read_one_link(self) -> str:
        """Read until the link is lost or the source closed; returns why it was lost."""
        link = None
        try:
            link = self._connect()
            with self._changed:
                self._link = link
            self.fps = link.fps
            fresh = True
            while not self._closed.is_set():
                self._accept(link.read(), first_of_link=fresh)
                fresh = False
        except LinkLost as lost:
            return str(lost)
        except Exception as error:  # whatever a library throws must not end the source: told, and tried again
            return f"{type(error).__name__}: {redact(str(error)).partition(chr(10))[0]}"
        finally:
            with self._changed:
                self._link = None
            if link is not None:
                link.close()
        return "closed"

    def _accept(self, shot: Shot, *, first_of_link: bool) -> None:
        if first_of_link and self._lost_s is not None:
            if self._next_index:
                self.reconnects += 1
                self._next_index += 1  # a gap: nobody knows how many frames were lost
            log.info("%s: connected again after %.1f s", self.name, time.monotonic() - self._lost_s)
            self._lost_s = None
        with self._changed:
            self.dropped += (self._newest is not None) + shot.passed_over
            index = self._next_index + shot.passed_over
            self._newest, self._next_index, self._failure = (shot, index), index + 1, None
            self._arrived_s = time.monotonic()
            self._changed.notify_all()

    def _tell_loss(self, reason: str) -> None:
        """One line for each new reason, not for each attempt."""
        known = self._lost_s is not None and reason == self._failure
        self._lost_s = self._lost_s or time.monotonic()
        with self._changed:
            self._failure = reason
            self._changed.notify_all()
        if self._next_index or self._options.wait:
            log.log(logging.DEBUG if known else logging.WARNING, "%s: %s; trying again", self.name, reason)

    def _pause_s(self, attempt: int) -> float:
        """Doubled with each attempt, up to the longest; spread so that several do not come at once."""
        doubled_s: float = self._options.retry_first_s * 2 ** min(attempt - 1, 16)
        return min(doubled_s, self._options.retry_most_s) * random.uniform(0.75, 1.25)
