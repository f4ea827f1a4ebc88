"""What besides its picture decided a frame's record: recorded with it, and put in force again by a replay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_runtime.live import Request

ENGINE_FAILED = "engine_failed"


@dataclass(frozen=True)
class Circumstances:
    """Of one frame.

    `t_track_ns`: the time the tracker was given. `age_ms`: of the record, which decides whether it is valid.
    `flags`: what the pipeline had to say before the map was looked at. `fault`: told to the tracker.
    `requests`: of an operator, taken with this frame.
    """

    t_track_ns: int
    age_ms: float
    flags: tuple[str, ...] = ()
    fault: str | None = None
    requests: tuple[Request, ...] = ()
