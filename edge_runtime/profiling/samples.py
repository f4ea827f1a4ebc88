"""Durations of one stage in bounded memory: exact sums, and the values themselves, thinned evenly when many.

add(start, duration, cpu) ──▶ Samples ──▶ statistics of the report's schema
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_KEPT = 1 << 18  # 73 minutes at 60 a second before every second value is let go
BLOCKS = 20
WINDOWS = 300
HISTOGRAM_BINS = 60
# name: percent, and how many values it takes; with fewer it is the maximum under another name, and null
_PERCENTILES = {
    "p50_ms": (50.0, 1),
    "p90_ms": (90.0, 10),
    "p95_ms": (95.0, 20),
    "p99_ms": (99.0, 100),
    "p99_9_ms": (99.9, 1000),
}


class Samples:
    """Written by one thread while measuring, read when that is over.

    n, sums, maximum and missed deadlines count every value; percentiles come from those kept.
    """

    def __init__(self, deadline_ns: int | None = None, most_kept: int = MOST_KEPT) -> None:
        """`deadline_ns`: longer ones are counted as missed."""
        self.n = self.late = 0
        self.max_ns = 0
        self._total_ns = self._total_squares = self._cpu_ns = self._jumps_ns = 0
        self._has_cpu = False
        self._before_ns = 0
        self._deadline_ns = deadline_ns
        self._most_kept = most_kept
        self._stride = 1
        self._starts, self._durations = array("q"), array("q")

    def add(self, start_ns: int, duration_ns: int, cpu_ns: int | None) -> None:
        """Count one."""
        if self.n % self._stride == 0:
            self._starts.append(start_ns)
            self._durations.append(duration_ns)
            if len(self._durations) >= self._most_kept:
                self._starts, self._durations = self._starts[::2], self._durations[::2]
                self._stride *= 2
        self._jumps_ns += abs(duration_ns - self._before_ns) if self.n else 0
        self._before_ns = duration_ns
        self.n += 1
        self._total_ns += duration_ns
        self._total_squares += duration_ns * duration_ns
        if duration_ns > self.max_ns:
            self.max_ns = duration_ns
        if self._deadline_ns is not None and duration_ns > self._deadline_ns:
            self.late += 1
        if cpu_ns is not None:
            self._has_cpu = True
            self._cpu_ns += cpu_ns

    @property
    def durations_ms(self) -> NDArray[np.float64]:
        """(kept,) float64 durations in ms, in order."""
        return np.array(self._durations, np.float64) / 1e6

    @property
    def starts_ns(self) -> NDArray[np.int64]:
        """(kept,) int64 when they began, monotonic."""
        return np.array(self._starts, np.int64)

    def statistics(self) -> dict[str, Any]:
        """`stage` of the report's schema; at least one value must be there."""
        values = self.durations_ms
        blocks = np.array_split(values, min(BLOCKS, len(values)))
        mean = self._total_ns / self.n
        variance = max(0.0, self._total_squares / self.n - mean * mean)
        return {
            "n": self.n,
            "mean_ms": _ms(mean),
            "std_ms": _ms(variance**0.5),
            **{
                name: _round(np.percentile(values, percent)) if self.n >= least else None
                for name, (percent, least) in _PERCENTILES.items()
            },
            "max_ms": _ms(self.max_ns),
            "jitter_ms": _ms(self._jumps_ns / (self.n - 1)) if self.n > 1 else None,
            "cpu_ms": _ms(self._cpu_ns / self.n) if self._has_cpu else None,
            "sampled": len(values),
            "blocks_p50_ms": [_round(np.percentile(block, 50)) for block in blocks],
            "blocks_p99_ms": [_round(np.percentile(block, 99)) for block in blocks],
        }

    def histogram(self) -> dict[str, Any]:
        """`histogram` of the schema: equal bins up to the 99.9th percentile, the rest in a last one."""
        values = self.durations_ms
        low, high = float(values.min()), float(np.percentile(values, 99.9))
        edges = np.linspace(low, max(high, low + 1e-3), HISTOGRAM_BINS + 1)
        if self.max_ns / 1e6 > edges[-1]:
            edges = np.append(edges, self.max_ns / 1e6)
        counts, _ = np.histogram(values, edges)
        return {"edges_ms": [_round(edge) for edge in edges], "counts": counts.tolist()}

    def timeline(self, begin_ns: int, end_ns: int) -> list[dict[str, Any]]:
        """`timeline` of the schema; counts of values that were let go are made up for by those kept."""
        starts, values = self.starts_ns, self.durations_ms
        count = max(1, min(WINDOWS, len(values) // 5))
        width_ns = max(1.0, (end_ns - begin_ns) / count)
        places = np.clip(((starts - begin_ns) / width_ns).astype(np.int64), 0, count - 1)
        deadline_ms = None if self._deadline_ns is None else self._deadline_ns / 1e6
        windows = []
        for place in range(count):
            inside = values[places == place]
            if not len(inside):
                continue
            late = 0 if deadline_ms is None else int((inside > deadline_ms).sum())
            windows.append(
                {
                    "t_s": round((place + 0.5) * width_ns / 1e9, 3),
                    "n": len(inside) * self._stride,
                    "p50_ms": _round(np.percentile(inside, 50)),
                    "p99_ms": _round(np.percentile(inside, 99)),
                    "max_ms": _round(inside.max()),
                    "missed": late * self._stride,
                }
            )
        return windows


def _ms(value_ns: float) -> float:
    return round(value_ns / 1e6, 5)


def _round(value_ms: float) -> float:
    return round(float(value_ms), 5)
