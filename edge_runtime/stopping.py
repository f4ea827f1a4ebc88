"""Ctrl-C and SIGTERM ask a run to end well; a second Ctrl-C ends it at once."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

SAME_PRESS_S = 0.5  # some programs pass one Ctrl-C on twice, to the process and to its group


class StopSignals:
    """While entered, SIGINT and SIGTERM only set a flag that the main thread asks for: `signals()`.

    A SIGINT more than half a second after the first signal ends the process as if nobody had caught it (a
    shell says 130): threads at work in C++ would abort an interpreter that ends in the middle of them.

    A plain flag and not a `threading.Event`: a handler may run while the main thread holds the event's lock.
    """

    def __init__(self) -> None:
        self._received_s: float | None = None
        self._before: dict[int, Any] = {}

    def __call__(self) -> bool:
        """Whether one has come."""
        return self._received_s is not None

    def __enter__(self) -> StopSignals:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _: FrameType | None) -> None:
        now_s = time.monotonic()
        if self._received_s is None:
            self._received_s = now_s
        elif number == signal.SIGINT and now_s - self._received_s > SAME_PRESS_S:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
