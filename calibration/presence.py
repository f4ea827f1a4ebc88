"""Fits P(in view) on val: logistic calibration of the two scores a photo has, shrunk where val is small.

scores of val photos with and without the asset ──fit_presence──▶ PresenceCalibration, or why there is none
scores by fp32 and by int8 of the same frames ──refit_presence──▶ coefficients for int8, the same P
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.presence import PresenceCalibration, log_odds

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

FEWEST = 10  # photos of each kind; on fewer nothing can be said that deserves the name
FOLDS = 5
RIDGE = 0.1  # see `_fit`; on drawn scores 0 to 0.3 do as well, 1 says too little of clear photos
FLAT = 1e-3  # least variance of a score, in squared log-odds: where it does not vary its weight stays
NEWTON_STEPS, CONVERGED, TINY = 50, 1e-9, 1e-6
DECIMALS = 6  # of the coefficients: the order of photos must not show


@dataclass(frozen=True)
class PresenceFit:
    """`calibration`: None where val cannot tell. `note`: why, or how far to trust it; None if as usual."""

    calibration: PresenceCalibration | None
    note: str | None = None


def fit_presence(positive: ArrayLike, negative: ArrayLike) -> PresenceFit:
    """Fit on val photos with and without the asset.

    Args:
        positive, negative: (n, 2) and (m, 2), each a photo's presence score and probability of any object
            class, in [0, 1]. Photos with a score that is not finite are left out.
    """
    p, n = _finite(positive), _finite(negative)
    if len(p) < FEWEST or len(n) < FEWEST:
        counts = f"{len(p)} photos with and {len(n)} without the asset"
        return PresenceFit(None, f"val has {counts}, at least {FEWEST} of each are needed")
    found = _fit(p, n)
    if found.map_weight == found.class_weight == 0:
        return PresenceFit(found, "neither score of val photos says anything about presence")
    if _said(found, p).min() > _said(found, n).max():
        return PresenceFit(
            found, "val photos are told apart without a mistake: only their number limits how sure it is"
        )
    return PresenceFit(found)


def cross_validated(positive: ArrayLike, negative: ArrayLike) -> NDArray[np.float64]:
    """P(in view) of each val photo by coefficients fitted to the others, positives first; what is not
    finite is left out.

    The folds are stretches of the photos in the order given, positives and negatives apart: frames of the
    same flight follow one another, and a fold must not learn from its own neighbours.

    Raises:
        ValueError: fewer than `FOLDS` of a kind.
    """
    p, n = _finite(positive), _finite(negative)
    if min(len(p), len(n)) < FOLDS:
        raise ValueError(f"expected at least {FOLDS} photos of each kind, got {len(p)} and {len(n)}")
    said: tuple[list[float], list[float]] = [], []
    cuts = [np.array_split(np.arange(len(kind)), FOLDS) for kind in (p, n)]
    for out_p, out_n in zip(*cuts, strict=True):
        found = _fit(np.delete(p, out_p, axis=0), np.delete(n, out_n, axis=0))
        said[0].extend(probabilities(found, p[out_p]))
        said[1].extend(probabilities(found, n[out_n]))
    return np.array(said[0] + said[1])


def refit_presence(
    reference: ArrayLike, candidate: ArrayLike, before: PresenceCalibration
) -> PresenceCalibration:
    """Coefficients for a quantized model, so that it says of each frame what fp32 says of it.

    Labels are not asked: as with the thresholds, nothing is tuned beyond fp32. Where frames tell little the
    coefficients stay near fp32's.

    Args:
        reference, candidate: (n, 2) the two scores of fp32 and of the quantized model, per frame.
        before: fp32's coefficients.
    """
    ours, theirs = np.asarray(reference, np.float64), np.asarray(candidate, np.float64)
    known = np.isfinite(ours).all(axis=1) & np.isfinite(theirs).all(axis=1)
    if not known.any():
        return before
    targets = np.clip(_sigmoid(_said(before, ours[known])), TINY, 1 - TINY)
    centre = np.array([before.map_weight, before.class_weight])
    bias, weights = _solve(_log_odds(theirs[known]), targets, centre)
    return _rounded(bias, weights, before.positives, before.negatives)


def probabilities(calibration: PresenceCalibration, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) P(in view) of finite scores (n, 2), by the function that flies."""
    said = [calibration.probability(presence, objects) for presence, objects in scores.tolist()]
    return np.array(said, np.float64)


def _fit(p: NDArray[np.float64], n: NDArray[np.float64]) -> PresenceCalibration:
    """Maximum likelihood on Platt's targets, (N+ + 1) / (N+ + 2) and 1 / (N- + 2), with a ridge on the
    weights in units of each score's spread (a Gaussian prior around 0 of standard deviation RIDGE ** -0.5).

    Both keep the coefficients finite where nothing overlaps. J. Platt, "Probabilistic outputs for support
    vector machines and comparisons to regularized likelihood methods", 1999.
    """
    high, low = (len(p) + 1) / (len(p) + 2), 1 / (len(n) + 2)
    targets = np.concatenate([np.full(len(p), high), np.full(len(n), low)])
    bias, weights = _solve(_log_odds(np.concatenate([p, n])), targets, np.zeros(2))
    return _rounded(bias, weights, len(p), len(n))


def _solve(
    x: NDArray[np.float64], targets: NDArray[np.float64], centre: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Bias and the weights >= 0 that fit (n,) targets in (0, 1) best.

    The problem is convex: its solution is the best of those with a given set of weights held at 0 whose
    other weights came out >= 0. With two weights that is four small problems.
    """
    ridge = RIDGE * np.maximum(x.var(axis=0), FLAT)
    tried = []
    for choice in itertools.product((True, False), repeat=x.shape[1]):
        free = np.array(choice)
        cost, bias, some = _newton(x[:, free], targets, ridge[free], centre[free])
        cost += 0.5 * float((ridge[~free] * centre[~free] ** 2).sum())
        weights = np.zeros(x.shape[1])
        weights[free] = some
        if (weights >= 0).all():
            tried.append((cost, bias, weights))
    _, bias, weights = min(tried, key=lambda one: one[0])
    return bias, weights


def _newton(
    x: NDArray[np.float64],
    targets: NDArray[np.float64],
    ridge: NDArray[np.float64],
    centre: NDArray[np.float64],
) -> tuple[float, float, NDArray[np.float64]]:
    """(cost, bias, weights) of the penalised logistic fit; a step that does not lower the cost is halved."""
    design = np.column_stack([np.ones(len(x)), x])
    pull, rest = np.concatenate([[0.0], ridge]), np.concatenate([[0.0], centre])

    def cost(w: NDArray[np.float64]) -> float:
        z = design @ w
        return float((np.logaddexp(0, z) - targets * z).sum() + 0.5 * (pull * (w - rest) ** 2).sum())

    share = float(targets.mean())
    w = np.concatenate([[np.log(share / (1 - share))], np.zeros(len(centre))])
    now = cost(w)
    for _ in range(NEWTON_STEPS):
        p = _sigmoid(design @ w)
        gradient = design.T @ (p - targets) + pull * (w - rest)
        hessian = (design * (p * (1 - p))[:, None]).T @ design + np.diag(pull + 1e-12)
        step = np.linalg.solve(hessian, gradient)
        while (then := cost(w - step)) > now and np.abs(step).max() > CONVERGED:
            step = step / 2
        w, now = w - step, then
        if np.abs(step).max() <= CONVERGED:
            break
    return now, float(w[0]), w[1:]


def _said(calibration: PresenceCalibration, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) log-odds before they are limited to what the photos can vouch for."""
    weights = np.array([calibration.map_weight, calibration.class_weight])
    return np.asarray(calibration.bias + _log_odds(scores) @ weights)


def _sigmoid(z: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-np.clip(z, -50, 50))))


def _rounded(
    bias: float, weights: NDArray[np.float64], positives: int, negatives: int
) -> PresenceCalibration:
    of_map, of_class = (round(float(w), DECIMALS) + 0.0 for w in weights)  # never -0.0
    return PresenceCalibration(round(bias, DECIMALS), of_map, of_class, positives, negatives)


def _log_odds(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([[log_odds(v) for v in row] for row in scores.tolist()], np.float64).reshape(-1, 2)


def _finite(scores: ArrayLike) -> NDArray[np.float64]:
    rows = np.asarray(scores, np.float64).reshape(-1, 2)
    return rows[np.isfinite(rows).all(axis=1)]
