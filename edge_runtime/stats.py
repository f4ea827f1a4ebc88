"""Where the time goes: one histogram per stage in constant memory, so a run may last for days.

durations in ns ──add──▶ Histogram ──▶ count, mean, p50, p95, p99, max in ms ──▶ table or JSON
"""

from __future__ import annotations

import itertools
import math
from typing import Any

_LOWEST_NS = 1_000  # 1 us and less share the first bin
_BINS_PER_E = 50  # bin edges rise by 2 %: a percentile is within 1 % of the true one
_BINS = 1 + int(_BINS_PER_E * math.log(1e12 / _LOWEST_NS))  # up to 1000 s


class Histogram:
    """Durations of one stage. Written by one thread, read after that thread has ended."""

    def __init__(self) -> None:
        self._bins = [0] * _BINS
        self.count = 0
        self.total_ns = 0
        self.max_ns = 0

    def add(self, duration_ns: int) -> None:
        """Count one duration, in nanoseconds."""
        self.count += 1
        self.total_ns += duration_ns
        self.max_ns = max(self.max_ns, duration_ns)
        place = int(_BINS_PER_E * math.log(duration_ns / _LOWEST_NS)) if duration_ns > _LOWEST_NS else 0
        self._bins[min(place, _BINS - 1)] += 1

    def percentile_ms(self, percent: float) -> float | None:
        """Duration in ms that `percent` of the counted ones do not exceed, within 1 %; None when empty."""
        if not self.count:
            return None
        rank = max(1, math.ceil(percent / 100 * self.count))
        below = itertools.accumulate(self._bins)
        place = next(place for place, count in enumerate(below) if count >= rank)
        middle_ns = _LOWEST_NS * math.exp((place + 0.5) / _BINS_PER_E)
        return min(middle_ns, self.max_ns) / 1e6

    def summary(self) -> dict[str, float | int | None]:
        """Count, and mean, p50, p95, p99, max in ms."""
        mean = self.total_ns / self.count / 1e6 if self.count else None
        values = {
            "mean_ms": mean,
            "p50_ms": self.percentile_ms(50),
            "p95_ms": self.percentile_ms(95),
            "p99_ms": self.percentile_ms(99),
            "max_ms": self.max_ns / 1e6 if self.count else None,
        }
        return {"count": self.count, **{k: None if v is None else round(v, 4) for k, v in values.items()}}


class Stages:
    """Histograms by stage name, in the order in which they were first asked for."""

    def __init__(self, *names: str) -> None:
        self._histograms = {name: Histogram() for name in names}

    def __getitem__(self, name: str) -> Histogram:
        return self._histograms.setdefault(name, Histogram())

    def summary(self) -> dict[str, dict[str, Any]]:
        """`Histogram.summary` of each stage."""
        return {name: histogram.summary() for name, histogram in self._histograms.items()}


def format_table(stages: dict[str, dict[str, Any]]) -> str:
    """The stage summaries as an aligned text table, in ms."""
    columns = ("p50", "p95", "p99", "max")
    width = max(map(len, stages), default=5)
    lines = [f"  {'ms':<{width}} " + "".join(f"{c:>9}" for c in columns)]
    for name, values in stages.items():
        cells = (values[f"{column}_ms"] for column in columns)
        lines.append(f"  {name:<{width}} " + "".join(f"{'-' if v is None else f'{v:.2f}':>9}" for v in cells))
    return "\n".join(lines)
