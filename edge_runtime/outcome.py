"""What a finished run has to tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_runtime.errors import DipsEdgeError


@dataclass(frozen=True)
class Outcome:
    """Totals of one run.

    `error`: what ended it early. `stuck`: threads that would not end; their process must be left hard.
    `sinks`: `SinkWorker.summary` of each. `stages`: `Stages.summary`, durations in ms. `faults`: how often
    results could not be trusted at all. `reconnects`: of the source. `reloads`: of the engine.
    """

    frames: int
    seconds: float
    detections: int
    valid: int
    dropped: int
    skipped: int
    stages: dict[str, dict[str, Any]]
    sinks: list[dict[str, Any]]
    reader_gone: bool
    error: DipsEdgeError | None
    stuck: tuple[str, ...]
    faults: int = 0
    reconnects: int = 0
    reloads: int = 0

    @property
    def fps(self) -> float | None:
        """Frames per second from the start of capture to the last record."""
        return self.frames / self.seconds if self.frames else None
