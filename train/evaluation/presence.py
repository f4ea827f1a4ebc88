"""P(in view) of a run: fitted on val, and what it is worth on a split, beside the scores it is made from.

SplitScores of val ──fit_on_val──▶ coefficients, note, cross-validation
SplitScores of a split ──presence_figures──▶ figures
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from calibration.presence import cross_validated, fit_presence, probabilities
from calibration.reliability import reliability
from edge_runtime.presence import PresenceCalibration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from calibration.presence import PresenceFit
    from calibration.reliability import Reliability
    from train.evaluation.split_scores import SplitScores

KEY = "presence_calibration"  # in metrics.json, beside the thresholds of a checkpoint
UNCALIBRATED = ("map", "class")  # scores as they are, taken for probabilities


@dataclass(frozen=True)
class FittedPresence:
    """What val gave. `cross_validation`: by "calibrated", "map" and "class", each val photo judged by
    coefficients fitted to others; empty where there are no coefficients."""

    fit: PresenceFit
    cross_validation: Mapping[str, Reliability]

    @property
    def note(self) -> str | None:
        """What to know before it is trusted: of the fit, and where val shows no gain; None if nothing."""
        crossed = self.cross_validation
        said = [self.fit.note] if self.fit.note else []
        if crossed:
            raw = min(UNCALIBRATED, key=lambda name: crossed[name].brier)
            ours, theirs = crossed["calibrated"].brier, crossed[raw].brier
            if ours >= theirs:
                said.append(
                    f"val shows no gain over the {raw} score as it is (Brier {ours:.3f}, {theirs:.3f})"
                )
        return "; ".join(said) or None

    def to_json(self) -> dict[str, Any]:
        """For metrics.json; `coefficients` is None where val cannot tell, and `note` says why."""
        found = self.fit.calibration
        return {
            "coefficients": None if found is None else dataclasses.asdict(found),
            "note": self.note,
            "cross_validation": {name: r.rounded() for name, r in self.cross_validation.items()},
        }


def fit_on_val(val: SplitScores) -> FittedPresence:
    """Fit P(in view) on val, and judge it there by cross-validation."""
    positive, negative = _rows(val)
    fit = fit_presence(positive, negative)
    if fit.calibration is None:
        return FittedPresence(fit, {})
    scores, happened = _finite(positive, negative)
    said = {"calibrated": cross_validated(positive, negative)} | _uncalibrated(scores)
    return FittedPresence(fit, {name: reliability(p, happened) for name, p in said.items()})


def calibration_of(part: Mapping[str, Any]) -> PresenceCalibration | None:
    """Coefficients of a checkpoint from its part of metrics.json; None in runs from before there were any.

    Raises:
        ValueError: damaged coefficients.
    """
    found = (part.get(KEY) or {}).get("coefficients")
    return None if found is None else PresenceCalibration.from_json(found)


def presence_figures(scores: SplitScores, calibration: PresenceCalibration | None) -> dict[str, Any]:
    """ECE and Brier score of P(in view) and of both scores as they are; empty without both kinds of photos.

    `presence_reliability` holds the curves, [said, happened, photos] per bin. Figures of P(in view) are None
    where there is none.
    """
    rows, happened = _finite(*_rows(scores))
    if happened.all() or not happened.any():
        return {}
    said = _uncalibrated(rows)
    if calibration is not None:
        said = {"calibrated": probabilities(calibration, rows)} | said
    found = {name: reliability(p, happened) for name, p in said.items()}
    figures: dict[str, Any] = {"presence_ece": None, "presence_ece_chance": None, "presence_brier": None}
    if calibration is not None:
        ours = found["calibrated"]
        figures = {
            "presence_ece": ours.ece,
            "presence_ece_chance": ours.chance_ece,
            "presence_brier": ours.brier,
        }
    for name in UNCALIBRATED:
        figures |= {f"presence_ece_{name}": found[name].ece, f"presence_brier_{name}": found[name].brier}
    figures["presence_ece_bins"] = found["map"].bins
    figures["presence_reliability"] = {name: r.rounded()["curve"] for name, r in found.items()}
    return figures


def _rows(scores: SplitScores) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n, 2), (m, 2): presence score and probability of any object class, of photos with and without one."""
    positive = np.column_stack([scores.positive_presence, scores.positive_object])
    negative = np.column_stack([scores.negative_presence, scores.negative_object])
    return positive.reshape(-1, 2), negative.reshape(-1, 2)


def _finite(
    positive: NDArray[np.float64], negative: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Those with finite scores, positives first, and which have the object."""
    rows = np.concatenate([positive, negative])
    known = np.isfinite(rows).all(axis=1)
    return rows[known], (np.arange(len(rows)) < len(positive))[known]


def _uncalibrated(rows: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    return {name: rows[:, column] for column, name in enumerate(UNCALIBRATED)}
