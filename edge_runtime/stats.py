"""Where the time goes: histograms per stage in constant memory, so a run may last for days.

durations in ns ──add──▶ Histogram ──▶ count, mean, p50, p95, p99, max in ms ──▶ table or JSON
"""

from __future__ import annotations

import bisect
import itertools
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

WINDOW_S = 10.0  # what is called recent is 10 to 20 s old at most
_LOWEST_NS = 1_000  # 1 us and less share the first bin
_BINS_PER_E = 50  # bin edges rise by 2 %: a percentile is within 1 % of the true one
_BINS = 1 + int(_BINS_PER_E * math.log(1e12 / _LOWEST_NS))  # up to 1000 s


class Histogram:
    """Durations of one stage. Written by one thread; what another one reads may lack the newest."""

    def __init__(self) -> None:
        self._bins = [0] * _BINS
        self.count = 0
        self.total_ns = 0
        self.max_ns = 0

    def add(self, duration_ns: int) -> None:
        """Count one duration, in nanoseconds."""
        place = int(_BINS_PER_E * math.log(duration_ns / _LOWEST_NS)) if duration_ns > _LOWEST_NS else 0
        self.add_to_bin(min(place, _BINS - 1), duration_ns)

    def add_to_bin(self, place: int, duration_ns: int) -> None:
        """Count one duration whose bin is known."""
        self._bins[place] += 1  # before `count`: a reader must find every counted one in a bin
        self.total_ns += duration_ns
        self.max_ns = max(self.max_ns, duration_ns)
        self.count += 1

    def percentiles_ms(self, *percents: float) -> list[float | None]:
        """Durations in ms that so many percent do not exceed, within 1 %; None when empty."""
        count, max_ns = self.count, self.max_ns
        if not count:
            return [None] * len(percents)
        below = list(itertools.accumulate(self._bins))
        places = (bisect.bisect_left(below, max(1, math.ceil(p / 100 * count))) for p in percents)
        return [min(_LOWEST_NS * math.exp((place + 0.5) / _BINS_PER_E), max_ns) / 1e6 for place in places]

    def summary(self) -> dict[str, float | int | None]:
        """Count, and mean, p50, p95, p99, max in ms."""
        count = self.count
        p50, p95, p99 = self.percentiles_ms(50, 95, 99)
        values = {
            "mean_ms": self.total_ns / count / 1e6 if count else None,
            "p50_ms": p50,
            "p95_ms": p95,
            "p99_ms": p99,
            "max_ms": self.max_ns / 1e6 if count else None,
        }
        return {"count": count, **{k: None if v is None else round(v, 4) for k, v in values.items()}}

    def plus(self, other: Histogram) -> Histogram:
        """Both together, as a new one."""
        both = Histogram()
        both.count, both.total_ns = self.count + other.count, self.total_ns + other.total_ns
        both.max_ns = max(self.max_ns, other.max_ns)
        both._bins = [a + b for a, b in zip(self._bins, other._bins)]
        return both


class Stage:
    """Durations since the start, and those of the newest one to two windows (see `turn`)."""

    def __init__(self) -> None:
        self.total = Histogram()
        self._older, self._newer = Histogram(), Histogram()

    def add(self, duration_ns: int) -> None:
        """Count one duration, in nanoseconds; for the thread that owns the stage."""
        place = int(_BINS_PER_E * math.log(duration_ns / _LOWEST_NS)) if duration_ns > _LOWEST_NS else 0
        place = min(place, _BINS - 1)
        self.total.add_to_bin(place, duration_ns)
        self._newer.add_to_bin(place, duration_ns)

    def turn(self) -> None:
        """A window is over: forget the one before it. Called every `WINDOW_S` by any one thread."""
        self._older, self._newer = self._newer, Histogram()

    def live(self) -> dict[str, dict[str, Any]]:
        """`Histogram.summary` of the `recent` (window under way and the one before) and of the `total`."""
        return {"recent": self._older.plus(self._newer).summary(), "total": self.total.summary()}


class Stages:
    """Stages by name, in the order in which they were first asked for."""

    def __init__(self, *names: str) -> None:
        self._stages = {name: Stage() for name in names}

    def __getitem__(self, name: str) -> Stage:
        return self._stages.setdefault(name, Stage())

    def __iter__(self) -> Iterator[Stage]:
        """The stages in order."""
        return iter(self._stages.values())

    def summary(self) -> dict[str, dict[str, Any]]:
        """`Histogram.summary` of each stage since the start."""
        return {name: stage.total.summary() for name, stage in self._stages.items()}

    def live(self) -> dict[str, dict[str, Any]]:
        """`Stage.live` of each stage."""
        return {name: stage.live() for name, stage in self._stages.items()}


def format_table(stages: dict[str, dict[str, Any]]) -> str:
    """The stage summaries as an aligned text table, in ms."""
    columns = ("p50", "p95", "p99", "max")
    width = max(map(len, stages), default=5)
    lines = [f"  {'ms':<{width}} " + "".join(f"{c:>9}" for c in columns)]
    for name, values in stages.items():
        cells = (values[f"{column}_ms"] for column in columns)
        lines.append(f"  {name:<{width}} " + "".join(f"{'-' if v is None else f'{v:.2f}':>9}" for v in cells))
    return "\n".join(lines)
