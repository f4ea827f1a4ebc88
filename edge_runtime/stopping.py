"""Ctrl-C and SIGTERM ask a run to end well; a second Ctrl-C ends it at once."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType


class StopSignals:
    """While entered, SIGINT and SIGTERM only set a flag that the main thread asks for: `signals()`.

    A plain flag and not a `threading.Event`: a handler may run while the main thread holds the event's lock.
    """

    def __init__(self) -> None:
        self._received = False
        self._before: dict[int, Any] = {}

    def __call__(self) -> bool:
        """Whether one has come."""
        return self._received

    def __enter__(self) -> StopSignals:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self._received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._received = True
