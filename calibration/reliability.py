"""How honest a probability is: calibration error, Brier score and the curve behind both.

probabilities + what was the case ──bins of equally many──▶ said and happened per bin ──▶ ECE, Brier, curve
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

MOST_BINS = 10
PER_BIN = 10  # photos at least, so that few photos make few bins


@dataclass(frozen=True)
class Reliability:
    """What a probability is worth on some photos.

    `ece`: expected calibration error in [0, 1], the mean over `bins` of |said - happened|. The bins hold
    equally many photos (within one). `chance_ece`: what the same probabilities would show on average if
    each were exactly right, as few photos are: an `ece` near it says no more than that nothing is wrong.
    `brier`: mean squared error in [0, 1]; 0.25 for saying one half always.
    `curve`: (mean probability said, share that was the case, photos) per bin, least probable first.
    """

    ece: float
    chance_ece: float
    brier: float
    curve: tuple[tuple[float, float, int], ...]

    @property
    def bins(self) -> int:
        """How many bins `ece` is over."""
        return len(self.curve)

    def rounded(self) -> dict[str, Any]:
        """JSON-able, four decimals."""
        singles = {name: round(getattr(self, name), 4) for name in ("ece", "chance_ece", "brier")}
        return {**singles, "curve": [[round(p, 4), round(share, 4), n] for p, share, n in self.curve]}


def reliability(probabilities: ArrayLike, happened: ArrayLike) -> Reliability:
    """Compare probabilities (n,) in [0, 1] with what was the case, (n,) bool.

    Photos with equal probabilities are told apart by nothing, so each counts as their mean, and the order
    of photos does not matter.

    Raises:
        ValueError: no photo, or not as many of both.
    """
    p, y = np.asarray(probabilities, np.float64), np.asarray(happened, np.float64)
    if p.ndim != 1 or p.shape != y.shape or p.size == 0:
        raise ValueError(f"expected two equal rows, got shapes {p.shape} and {y.shape}")
    _, group, sizes = np.unique(p, return_inverse=True, return_counts=True)
    shared = (np.bincount(group, y) / sizes)[group]
    order = np.argsort(p, kind="stable")
    parts = np.array_split(order, min(MOST_BINS, max(1, p.size // PER_BIN)))
    curve = tuple((float(p[i].mean()), float(shared[i].mean()), len(i)) for i in parts)
    return Reliability(
        ece=sum(n * abs(said - share) for said, share, n in curve) / p.size,
        chance_ece=sum(_chance_gap(p[i]) for i in parts) / p.size,
        brier=float(np.mean((p - y) ** 2)),
        curve=curve,
    )


def _chance_gap(p: NDArray[np.float64]) -> float:
    """Expected |photos that are the case - their sum of probabilities| where each probability is right.

    The exact distribution of the count, one photo after the other (Poisson binomial).
    """
    counts = np.ones(1)
    for each in p:
        counts = np.convolve(counts, [1 - each, each])
    return float(counts @ np.abs(np.arange(len(counts)) - p.sum()))
