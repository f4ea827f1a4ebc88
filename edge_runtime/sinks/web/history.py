"""Ages of the last minute in constant memory, for the page's chart: every result counts, shown or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_runtime.records import Record

BIN_NS = 500_000_000
BINS = 120


class History:
    """Greatest age and inference time, in ms, of each half second of the last minute.

    One thread adds; another may read, and then lacks at most the newest.
    """

    def __init__(self) -> None:
        self._bins: list[tuple[int, float, float]] = [(-1, 0.0, 0.0)] * BINS

    def add(self, record: Record) -> None:
        """Count one track record at the time it was made."""
        number = record["t_emit_mono_ns"] // BIN_NS
        age_ms, infer_ms = record["age_ms"], record["lat_ms"]["infer"]
        before = self._bins[number % BINS]
        if before[0] == number:
            age_ms, infer_ms = max(before[1], age_ms), max(before[2], infer_ms)
        self._bins[number % BINS] = (number, age_ms, infer_ms)

    def until(self, now_ns: int) -> list[list[float] | None]:
        """`BINS` times [age, inference] or None where no result was made, oldest first."""
        newest = now_ns // BIN_NS
        bins = self._bins
        return [
            [round(age, 1), round(infer, 1)] if number == wanted else None
            for wanted in range(newest - BINS + 1, newest + 1)
            for number, age, infer in [bins[wanted % BINS]]
        ]
