"""The two thresholds of a model file, chosen on val: where to cut the map, and when to say "in view".

accuracy per threshold ──smooth, centre of the plateau──▶ decision threshold
presence scores of positives and negatives ──▶ presence threshold
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

SMOOTHING = 0.2  # width of the averaging window, as a share of the threshold range
PLATEAU = 1.0  # percentage points below the smoothed best that still count as its plateau
UNSEEN_MARGIN = 0.5  # without negatives: this share of the weakest usual positive's score
WEAK_POSITIVE = 0.05  # quantile of the positives' scores that is the weakest usual one
SATURATED = 1e-4  # scores nearer to 0 or 1 than this are taken as equal
NARROWEST = 0.05  # least blur of a score, in log-odds
LEVEL = 1e-3  # of the balanced accuracy: cuts this close to the best are equally good


def choose_threshold(percent: ArrayLike, thresholds: ArrayLike) -> float:
    """The centre of the widest stretch of thresholds whose smoothed accuracy is nearly the best.

    The bare maximum of a val curve of some dozen photos is noise. On drawn photo sets of 55, each photo
    right between two random thresholds, this costs new photos 0.2-0.6 points against the best threshold,
    the first maximum 1.2-1.7 (tests/calibration/test_thresholds.py draws them again).

    Args:
        percent: (t,) accuracy in percent per threshold. thresholds: (t,) ascending.

    Returns:
        One of `thresholds`. For a curve that is 0 everywhere, the middle one.
    """
    curve, at = np.asarray(percent, np.float64), np.asarray(thresholds, np.float64)
    if curve.shape != at.shape or curve.ndim != 1 or curve.size == 0:
        raise ValueError(f"expected two equal rows, got shapes {curve.shape} and {at.shape}")
    half = _half_window(curve.size)
    smooth = _window_means(np.pad(curve, half, mode="edge"), half)
    good = np.concatenate([[False], smooth >= smooth.max() - PLATEAU, [False]])
    rims = np.flatnonzero(np.diff(good))
    first, after = rims[::2], rims[1::2]
    widest = int((after - first).argmax())
    return float(at[(first[widest] + after[widest] - 1) // 2])


def best_stretch(percent: NDArray[np.float64]) -> float:
    """The highest mean accuracy over a stretch of thresholds as wide as `choose_threshold` looks at.

    What a threshold that is somewhat off still gives; the bare maximum is what one threshold gives.

    Args:
        percent: (t,) accuracy in percent per threshold, evenly spaced.
    """
    return float(_window_means(percent, _half_window(percent.size)).max())


def choose_presence_threshold(positive: ArrayLike, negative: ArrayLike) -> float:
    """The presence score from which on the asset counts as in view.

    With negatives: the best mean of hit rate and correct-rejection rate, both smoothed as if each score
    stood for others near it (Gaussian on the log-odds scale, width by Silverman's rule), so that one warm
    negative or one cold positive among a few dozen does not decide. Without negatives nothing tells how
    warm an empty scene gets: half of what the weakest usual positive (5 % quantile) reaches.

    Args:
        positive, negative: presence scores in [0, 1] of val photos with and without the asset.

    Returns:
        Threshold in [0, 1], the middle where many are equally good; 0 when there are no positives.
    """
    p, n = np.asarray(positive, np.float64), np.asarray(negative, np.float64)
    if p.size == 0:
        return 0.0
    if n.size == 0:
        return float(UNSEEN_MARGIN * np.quantile(p, WEAK_POSITIVE))
    hot, cold = _log_odds(p), _log_odds(n)
    cuts = np.linspace(min(hot.min(), cold.min()), max(hot.max(), cold.max()), 1001)
    balanced = (1 - _smooth_share_below(cuts, hot) + _smooth_share_below(cuts, cold)) / 2
    best = np.flatnonzero(balanced >= balanced.max() - LEVEL)
    return float(1 / (1 + np.exp(-cuts[best].mean())))


def _half_window(size: int) -> int:
    return max(0, round(SMOOTHING * size / 2))


def _window_means(curve: NDArray[np.float64], half: int) -> NDArray[np.float64]:
    """(t - 2 half,) means of all whole windows."""
    return np.convolve(curve, np.ones(2 * half + 1) / (2 * half + 1), mode="valid")


def _log_odds(score: NDArray[np.float64]) -> NDArray[np.float64]:
    clipped = np.clip(score, SATURATED, 1 - SATURATED)
    return np.asarray(np.log(clipped / (1 - clipped)))


def _smooth_share_below(cuts: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """(cuts,) share of the scores below each cut, every score blurred by Silverman's width."""
    width = max(NARROWEST, 1.06 * float(scores.std()) * len(scores) ** -0.2)
    z = (cuts[:, None] - np.sort(scores)) / width
    return np.asarray((1 / (1 + np.exp(-1.702 * np.clip(z, -20, 20)))).mean(axis=1))  # normal within 0.01
