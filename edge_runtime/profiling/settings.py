"""What is to be measured, as the command line gave it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_runtime.records import MAX_AGE_MS

if TYPE_CHECKING:
    from pathlib import Path

MODES = ("all", "engine", "pipeline")
WARMUP = 50
COUNT = 500
FPS = 30.0


@dataclass(frozen=True)
class ProfileSettings:
    """One profile.

    Attributes:
        source: URI; None makes frames of `size` (width, height).
        fps: files and made frames are played like a camera at this rate; None is the file's own, or `FPS`.
        flat_out: they are taken as fast as they go instead: throughput, not age.
        mode: one of `MODES`.
        warmup: frames before measuring, in each mode.
        count: frames to measure in each mode; `duration_s` and `soak_s` come first.
        duration_s: how long to measure the pipeline.
        soak_s: the same for long, with the board watched.
        deadline_ms: a frame older than this at its record has missed it.
        layers: time the layers, too.
        keep_spans: for a trace.
    """

    model: str
    source: str | None = None
    size: tuple[int, int] = (1280, 720)
    fps: float | None = None
    flat_out: bool = False
    mode: str = "all"
    warmup: int = WARMUP
    count: int = COUNT
    duration_s: float | None = None
    soak_s: float | None = None
    deadline_ms: float = MAX_AGE_MS
    sinks: tuple[str, ...] = ("jsonl:/dev/null",)
    device: str = "auto"
    threads: int | None = None
    precision: str | None = None
    engine_dir: Path | None = None
    dla: int | None = None
    track: bool = True
    layers: bool = True
    keep_spans: bool = False

    @property
    def seconds(self) -> float | None:
        """How long the pipeline is measured; None where frames are counted."""
        return self.soak_s or self.duration_s
