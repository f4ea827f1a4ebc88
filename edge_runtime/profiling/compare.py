"""Two profiles side by side: what became slower, and is it more than scatter.

a, b (reports) ──▶ ratio b / a of every stage with its 95 % interval ──▶ rows, warnings, regressions

A report holds the p50 and p99 of up to 20 equal stretches of its run. The ratio compares the typical stretch
(median over the stretches), so one burst of another process does not decide. The interval comes from drawing
stretches with replacement (percentile bootstrap: Efron & Tibshirani, An Introduction to the Bootstrap, 13.3);
stretches, not frames, because neighbouring frames are alike. It knows the scatter within the two runs; what
differs from run to run (temperature, memory placement) is what `fail_over` leaves room for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_runtime.errors import ProfileError
from edge_runtime.profiling.likeness import differences, notes, warnings
from edge_runtime.profiling.words import MODES, some

DRAWS = 2000
SEED = 20
LEAST_STRETCHES = 8  # fewer tell nothing about scatter
LARGE_STRETCH = 200  # values from which on the p99 of a stretch hardly depends on their number
FIGURES = ("p50", "p99", "mean")
FIGURES_JUDGED = ("p50", "p90", "p95", "p99", "p99_9", "max", "mean", "cpu")


@dataclass(frozen=True)
class Row:
    """One figure of one stage. `ratio`: b / a, of the typical stretch for p50 and p99; None where unknown.

    `interval`: 95 % of the ratio; None where it cannot be told. `verdict`: "slower", "faster", "no clear
    difference", or "" without an interval. `regression`: `judged` and beyond what was allowed.
    """

    mode: str
    stage: str
    figure: str
    a_ms: float | None
    b_ms: float | None
    ratio: float | None
    interval: tuple[float, float] | None
    verdict: str
    judged: bool = False
    regression: bool = False


@dataclass(frozen=True)
class Comparison:
    """`rows` in order of modes and stages, judged stages first in each mode.

    `warnings`: why the two cannot simply be compared. `differences`: of software, which may be the purpose.
    `unjudged`: judged figures that could not be judged, and why; they are no regressions.
    """

    rows: tuple[Row, ...]
    warnings: tuple[str, ...]
    differences: tuple[str, ...]
    unjudged: tuple[str, ...]
    fail_over: float

    @property
    def regressions(self) -> tuple[Row, ...]:
        """Rows that should fail a build."""
        return tuple(row for row in self.rows if row.regression)


def compare(a: dict[str, Any], b: dict[str, Any], fail_over: float = 0.05) -> Comparison:
    """Compare two reports that `reportfile.load` or `check` let pass; `a` is the baseline.

    A regression: p50 or p99 of the judged stage of a mode has a ratio above 1 + `fail_over` and an interval
    wholly above 1.

    Args:
        fail_over: share by which the judged stage may become slower, >= 0.

    Raises:
        ProfileError: no mode was measured in both, or `fail_over` cannot be.
    """
    if not (math.isfinite(fail_over) and fail_over >= 0):
        raise ProfileError(f"--fail-over {fail_over}: expected a share of 0 or more, e.g. 0.05 for 5 %")
    modes = [mode for mode in MODES if a[mode] and b[mode]]
    if not modes:
        has = [" and ".join(mode for mode in MODES if report[mode]) or "no mode" for report in (a, b)]
        raise ProfileError(f"nothing to compare: a has {has[0]}, b has {has[1]}; measure the same in both")
    for mode in modes:
        if a[mode]["total"] != b[mode]["total"]:
            raise ProfileError(
                f"nothing to compare: {mode} judges {ascii(a[mode]['total'])[:40]} in a, "
                f"{ascii(b[mode]['total'])[:40]} in b"
            )
    rows = tuple(row for mode in modes for row in _rows(mode, a[mode], b[mode], fail_over))
    unjudged = tuple(
        f"{row.mode}: {row.figure} of {row.stage}: {_why_not(a[row.mode], b[row.mode], row)}"
        for row in rows
        if row.judged and row.interval is None
    )
    return Comparison(rows, (*warnings(a, b), *notes(a, b)), differences(a, b), unjudged, fail_over)


def _rows(mode: str, a: dict[str, Any], b: dict[str, Any], fail_over: float) -> list[Row]:
    total = a["total"]
    names = [total, *(name for name in a["stages"] if name != total)]
    names += [name for name in b["stages"] if name not in names]
    empty: dict[str, Any] = {}
    return [
        _row(
            mode, name, figure, a["stages"].get(name, empty), b["stages"].get(name, empty), judged, fail_over
        )
        for name in names
        for judged in [name == total]
        for figure in (FIGURES_JUDGED if judged else FIGURES)
    ]


def _row(
    mode: str, name: str, figure: str, a: dict[str, Any], b: dict[str, Any], total: bool, fail_over: float
) -> Row:
    key = f"{figure}_ms"
    a_ms, b_ms = a.get(key), b.get(key)
    judged = total and figure in ("p50", "p99")
    ratio = b_ms / a_ms if a_ms and b_ms is not None else None
    interval, verdict = None, ""
    if f"blocks_{key}" in a and a_ms is not None and b_ms is not None:
        found = typical_ratio(a[f"blocks_{key}"], b[f"blocks_{key}"])
        if found and (figure == "p50" or _alike(a, b)):
            ratio, interval = found
            verdict = verdict_of(interval)
    worse = bool(judged and interval and ratio and ratio > 1 + fail_over and interval[0] > 1)
    return Row(mode, name, figure, a_ms, b_ms, ratio, interval, verdict, judged, worse)


def typical_ratio(a_ms: list[float], b_ms: list[float]) -> tuple[float, tuple[float, float]] | None:
    """Ratio of the medians of two sets of stretches, with its 95 % interval; None with too few stretches.

    The same stretches give the same interval, always.
    """
    if min(len(a_ms), len(b_ms)) < LEAST_STRETCHES or min(*a_ms, *b_ms) <= 0:
        return None
    rng = np.random.default_rng(SEED)
    a, b = np.asarray(a_ms, np.float64), np.asarray(b_ms, np.float64)
    drawn_a = np.median(a[rng.integers(0, len(a), (DRAWS, len(a)))], axis=1)
    drawn_b = np.median(b[rng.integers(0, len(b), (DRAWS, len(b)))], axis=1)
    low, high = np.percentile(drawn_b / drawn_a, [2.5, 97.5])
    return float(np.median(b) / np.median(a)), (float(low), float(high))


def verdict_of(interval: tuple[float, float]) -> str:
    """What an interval of b / a says."""
    if interval[0] > 1:
        return "slower"
    return "faster" if interval[1] < 1 else "no clear difference"


def _alike(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether the p99 of the stretches may be compared: that of few values is too low, more so of fewer."""
    few, many = sorted(stage["sampled"] / len(stage["blocks_p99_ms"]) for stage in (a, b))
    return bool(many <= 1.25 * few or few >= LARGE_STRETCH)


def _why_not(a: dict[str, Any], b: dict[str, Any], row: Row) -> str:
    if row.a_ms is None or row.b_ms is None:
        return "not measured in both; a p99 takes at least 100 frames"
    stages = a["stages"][row.stage], b["stages"][row.stage]
    stretches = min(len(stage["blocks_p50_ms"]) for stage in stages)
    if stretches < LEAST_STRETCHES:
        return f"{some(stretches, 'frame')} cannot tell how much the times scatter"
    if row.figure == "p99" and not _alike(*stages):
        return f"{stages[0]['n']} and {stages[1]['n']} frames: measure the same number in both"
    return "a time of 0 ms"
