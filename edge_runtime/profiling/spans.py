"""What one thread did for one frame, and when: the raw material of statistics and traces."""

from __future__ import annotations

from typing import NamedTuple


class Span(NamedTuple):
    """One stage of one frame.

    `start_ns`: monotonic clock. `cpu_ns`: CPU time of the thread meanwhile, None where it was not taken.
    """

    stage: str
    thread: str
    frame: int
    start_ns: int
    duration_ns: int
    cpu_ns: int | None = None
