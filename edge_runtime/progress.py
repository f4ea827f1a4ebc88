"""A live line on a terminal (count, rate, ETA, values); one plain line every few seconds elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

T = TypeVar("T")
_log = logging.getLogger(__name__)
LIVE_EVERY_S, PLAIN_EVERY_S = 0.2, 20.0


class Progress:
    """Context manager; `step()` once per unit of work."""

    def __init__(self, what: str, total: int, shown: bool = True) -> None:
        self._what, self._total, self._done = what, total, 0
        self._live = shown and sys.stderr.isatty()
        self._plain = shown and not self._live
        self._started = self._spoke = time.monotonic()
        self._values = ""

    def __enter__(self) -> Progress:
        return self

    def step(self, values: str = "") -> None:
        """One more unit done; `values` (losses, for example) are shown beside it."""
        self._done += 1
        self._values = values
        now = time.monotonic()
        if self._live and (now - self._spoke >= LIVE_EVERY_S or self._done == self._total):
            sys.stderr.write("\r\x1b[2K" + self._line(now))
            sys.stderr.flush()
            self._spoke = now
        elif self._plain and now - self._spoke >= PLAIN_EVERY_S and self._done < self._total:
            _log.info("%s", self._line(now))
            self._spoke = now

    def _line(self, now: float) -> str:
        spent = now - self._started
        left = spent / max(1, self._done) * (self._total - self._done)
        counted = f"{self._what} {self._done}/{self._total}  {clock(spent)} < {clock(left)}"
        return f"{counted}  {self._values}".rstrip()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live and self._done:
            sys.stderr.write("\n")
        elif self._plain and self._done and kind is None:
            _log.info("%s", self._line(time.monotonic()))


def counted(items: Iterable[T], what: str, total: int, shown: bool = True) -> Iterator[T]:
    """The items, one by one, with a `Progress` over them."""
    with Progress(what, total, shown) as progress:
        for item in items:
            yield item
            progress.step()


def clock(seconds: float) -> str:
    """63.2 -> '1:03'."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
