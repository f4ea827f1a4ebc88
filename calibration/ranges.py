"""From a histogram to a range: which magnitude the largest int8 value shall stand for.

Histogram ──amax(method)──▶ largest magnitude ──/ 127──▶ scale
Clipping the rare large values makes the steps finer for all others. How much of that is right depends on the
network (no method is safe for all), so the method is chosen by what the quantized network localizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from calibration.histograms import Histogram

METHODS = ("max", "percentile", "mse", "entropy")
PERCENTILE = 99.999  # of "percentile" alone; "percentile-99.99" names another
STEPS = 127  # of one sign
LEVELS = STEPS + 1  # magnitudes int8 can tell apart
TRIED = 256  # ranges the squared error is computed for


@dataclass(frozen=True)
class TensorRange:
    """`amax`: largest magnitude kept. `low` <= 0 <= `high`: the signed values that occur within it."""

    amax: float
    low: float
    high: float


def tensor_range(histogram: Histogram, method: str) -> TensorRange:
    """The symmetric and the signed range of a tensor; both come from the same clipping."""
    largest = amax(histogram, method)
    low, high = min(histogram.low, 0.0), max(histogram.high, 0.0)
    return TensorRange(largest, max(low, -largest), min(high, largest))


def amax(histogram: Histogram, method: str) -> float:
    """The largest magnitude int8 shall represent, 0 for a tensor that is always 0.

    Args:
        method: "max" clips nothing. "percentile" keeps 99.999 % of the values, "percentile-99.99" that share.
            "mse" has the least squared error of rounding and clipping together. "entropy" has the least
            Kullback-Leibler divergence of the 128-level histogram from the full one, outliers counted into
            its last bin (the idea behind TensorRT's entropy calibrator: S. Migacz, GTC 2017, "8-bit Inference
            with TensorRT").

    Raises:
        UsageError: no such method.
    """
    name, _, number = method.partition("-")
    if name not in METHODS or (number and name != "percentile"):
        raise UsageError(
            f"calibration method {method!r}: expected one of {', '.join(METHODS)}, or percentile-99.99"
        )
    share = _percentile_share(method, number) if name == "percentile" else 1.0
    if name == "max" or histogram.amax < LEVELS * histogram.width:  # zeros, or as good as
        return histogram.amax
    if name == "percentile":
        found = _percentile(histogram, share)
    else:
        found = _least_squared_error(histogram) if name == "mse" else _least_divergence(histogram)
    return min(found, histogram.amax)


def _percentile_share(method: str, number: str) -> float:
    try:
        percent = float(number) if number else PERCENTILE
    except ValueError:
        percent = -1.0
    if not 50 <= percent <= 100:
        raise UsageError(f"calibration method {method!r}: the percentile must be a number from 50 to 100")
    return percent / 100


def _percentile(histogram: Histogram, share: float) -> float:
    """Linear between the edges of the bin in which the share is reached."""
    below = np.concatenate([[0], np.cumsum(histogram.counts)])
    wanted = share * below[-1]
    bin_ = int(np.searchsorted(below[1:], wanted))
    into = (wanted - below[bin_]) / max(1, histogram.counts[bin_])
    return float((bin_ + into) * histogram.width)


def _least_squared_error(histogram: Histogram) -> float:
    """Least sum over the bins of the exact integral of (x - quantized x)^2, values spread within a bin."""
    used = _used(histogram)
    edges = np.arange(used.size + 1) * histogram.width
    tried = np.linspace(LEVELS / used.size, 1.0, TRIED) * histogram.amax
    best, least = histogram.amax, np.inf
    for some in np.array_split(tried, 8):  # (32, bins) at a time
        step = some[:, None] / STEPS
        n = np.rint(np.minimum(edges, some[:, None]) / step)
        off = edges - n * step
        integral = n * step**3 / 12 + off * off * off / 3  # of the squared error from 0 to each edge
        errors = np.diff(integral, axis=1) @ used
        at = int(errors.argmin())
        if errors[at] < least:
            best, least = float(some[at]), float(errors[at])
    return best


def _least_divergence(histogram: Histogram) -> float:
    """Ranges of every whole number of bins from 128 on, all at once from cumulative sums."""
    used = _used(histogram)
    used[0] = used[1]  # zeros, half of what a ReLU gives, are exact in any range
    ends = np.arange(LEVELS, used.size + 1)
    divergence = np.concatenate([_divergence(used, some) for some in np.array_split(ends, 8)])
    return float(ends[divergence.argmin()] * histogram.width)


def _divergence(used: NDArray[np.float64], ends: NDArray[np.int64]) -> NDArray[np.float64]:
    """KL(P || Q) per range end: P the first `end` bins, Q their mass per level spread over occupied bins."""
    total = used.sum()
    mass = np.concatenate([[0.0], np.cumsum(used)])
    occupied = np.concatenate([[0.0], np.cumsum(used > 0)])
    own = np.concatenate([[0.0], np.cumsum(used * np.log(np.maximum(used, 1.0)))])
    last, tail = used[ends - 1], total - mass[ends]
    cuts = (ends[:, None] * np.arange(LEVELS + 1)) // LEVELS  # (ends, 129) bins where levels begin
    level = np.diff(mass[cuts], axis=1)
    spread = np.diff(occupied[cuts], axis=1)
    spread[:, -1] += (last == 0) & (tail > 0)
    in_p = level.copy()
    in_p[:, -1] += tail
    with np.errstate(divide="ignore", invalid="ignore"):
        q = np.where(level > 0, np.log(level) - np.log(spread) - np.log(mass[ends])[:, None], -np.inf)
        cross = np.where(in_p > 0, in_p * q, 0.0).sum(axis=1)  # -inf: q cannot stand for this p
    folded = last + tail
    p_log_p = own[ends] - last * np.log(np.maximum(last, 1.0)) + folded * np.log(np.maximum(folded, 1.0))
    return np.asarray((p_log_p - cross) / total - np.log(total))


def _used(histogram: Histogram) -> NDArray[np.float64]:
    """Counts up to the last occupied bin: at least half of all bins, since the width is the smallest."""
    return histogram.counts[: int(np.flatnonzero(histogram.counts)[-1]) + 1].astype(np.float64)
