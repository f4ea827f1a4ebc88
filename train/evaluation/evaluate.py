"""Figures of a split, protocol and deployed, and the thresholds chosen on val.

(photo, map, class probabilities) ──▶ SplitScores ──choose on val──▶ Thresholds ──report──▶ figures

Protocol figures judge maps at 224 x 224 with thresholds relative to the map's maximum. Deployed figures
use `edge_runtime.boxes` with absolute thresholds on the map's own grid, as in flight. `figures.py` says
what each figure means; all shares are percent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from calibration.thresholds import choose_presence_threshold, choose_threshold
from train.evaluation.metrics import THRESHOLDS
from train.evaluation.metrics_scores import (
    DELTAS,
    best_threshold,
    curve_width,
    max_box_acc,
    max_box_acc_v2,
    presence_auc,
    threshold_index,
)
from train.evaluation.presence import fit_on_val, presence_figures
from train.evaluation.split_scores import DECISIONS, PresenceRule, SplitScores

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from edge_runtime.presence import PresenceCalibration
    from train.data.types import Image

    Prediction = tuple[Image, NDArray[np.float32], NDArray[np.float32]]

WITHOUT_BOXES = 0.5  # tau and decision threshold where val has no boxes to choose them by


@dataclass(frozen=True)
class Thresholds:
    """Chosen on val: `tau` relative to the map's maximum (protocol), `decision` and `presence` absolute.

    `calibration`: of P(in view), fitted on val, too; None where there is none. It decides nothing.
    """

    tau: float
    decision: float
    presence: float
    calibration: PresenceCalibration | None = None


def score_split(
    predictions: Iterable[Prediction],
    negative: int | None,
    thresholds: Thresholds | None = None,
    proposals: Mapping[str, NDArray[np.int64]] | None = None,
    presence: PresenceRule = PresenceRule.MAP,
) -> SplitScores:
    """Run through the predictions of a split once.

    Args:
        negative: index of the class without any object.
        thresholds: those chosen on val, which saves trying others; None for val itself.
        proposals: (1, 4) top box by photo id, in pixels, to measure agreement with (`pseudo_boxes`).
        presence: what the presence threshold applies to.
    """
    decisions = DECISIONS if thresholds is None else np.array([thresholds.decision])
    scores = SplitScores(negative, decisions, presence)
    for image, score_map, class_probs in predictions:
        scores.add(image, score_map, class_probs, (proposals or {}).get(image.image_id))
    return scores


def choose_thresholds(val: SplitScores) -> Thresholds:
    """Thresholds and P(in view) from val; without boxes there, tau and decision are `WITHOUT_BOXES`."""
    calibration = fit_on_val(val).fit.calibration
    presence = choose_presence_threshold(val.positive_presence, val.negative_presence)
    if not val.ids:
        return Thresholds(WITHOUT_BOXES, WITHOUT_BOXES, presence, calibration)
    first = np.array(val.first_iou)
    deployed = np.mean([100.0 * (first >= delta / 100).mean(axis=0) for delta in DELTAS], axis=0)
    return Thresholds(
        tau=choose_threshold(val.largest.percent(50), THRESHOLDS),
        decision=choose_threshold(deployed, val.decisions),
        presence=presence,
        calibration=calibration,
    )


def evaluate_val_and_choose(
    predictions: Iterable[Prediction], negative: int | None
) -> tuple[Thresholds, dict[str, Any]]:
    """Choose the thresholds on val; and the figures of val with them."""
    scores = score_split(predictions, negative)
    thresholds = choose_thresholds(scores)
    return thresholds, report_split(scores, thresholds)


def evaluate_split(
    predictions: Iterable[Prediction],
    negative: int | None,
    thresholds: Thresholds,
    presence: PresenceRule = PresenceRule.MAP,
) -> dict[str, Any]:
    """Figures of a split with thresholds chosen on val."""
    return report_split(score_split(predictions, negative, thresholds, presence=presence), thresholds)


def report_split(scores: SplitScores, thresholds: Thresholds) -> dict[str, Any]:
    """Every figure of one split as JSON-able values; localization figures only where there are boxes.

    `thresholds.decision` must be one of `scores.decisions`; None stands for what cannot be told.
    """
    at = _decision_index(scores, thresholds)
    alarms = [
        bool(regions[at]) and presence >= thresholds.presence
        for regions, presence in zip(scores.negative_regions, scores.negative_presence, strict=True)
    ]
    figures: dict[str, Any] = {
        "photos": len(scores.class_right),
        "localized_photos": len(scores.ids),
        "negative_photos": len(alarms),
        "tau": thresholds.tau,
        "class_acc": _percent(scores.class_right),
        "presence_auc": presence_auc(scores.positive_presence, scores.negative_presence),
        "presence_hit_rate": _percent(np.array(scores.positive_presence) >= thresholds.presence),
        "false_alarm_rate": _percent(alarms),
        **presence_figures(scores, thresholds.calibration),
    }
    if scores.agreement.count:
        figures["proposal_agreement"] = max_box_acc(scores.agreement)
    if not scores.pixels.empty:
        figures["pxap"] = scores.pixels.percent()
    if scores.ids:
        figures |= _protocol_figures(scores, thresholds) | _deployed_figures(scores, thresholds)
    return figures


def _protocol_figures(scores: SplitScores, thresholds: Thresholds) -> dict[str, Any]:
    at = threshold_index(thresholds.tau)
    curve = scores.largest.percent(50)
    best = best_threshold(curve)
    fixed = {f"box_acc_fixed_tau_{delta}": float(scores.largest.percent(delta)[at]) for delta in (30, 70)}
    errors = {
        name: {
            "val_tau": counts.at(at),
            "best_tau": counts.at(threshold_index(best)),
            "oracle_tau": counts.oracle(),
        }
        for name, counts in (("class_known", scores.errors), ("by_class", scores.errors_by_class))
    }
    return {
        "max_box_acc_v2": max_box_acc_v2(scores.contours),
        "max_box_acc": max_box_acc(scores.largest),
        "top1_loc": max_box_acc(scores.top1),
        "top5_loc": max_box_acc(scores.top5),
        "best_tau": best,
        "box_acc_fixed_tau": float(curve[at]),
        **fixed,
        "curve_width": curve_width(curve),
        "curve": [round(float(v), 3) for v in curve[::10]],
        "errors": errors,
    }


def _deployed_figures(scores: SplitScores, thresholds: Thresholds) -> dict[str, Any]:
    at = _decision_index(scores, thresholds)
    in_view = np.array(scores.presence) >= thresholds.presence
    first = np.array(scores.first_iou)[:, at] * in_view
    met = np.array(scores.boxes_met)[:, at] * in_view
    deployed = 100.0 * (np.array(scores.first_iou) >= 0.5).mean(axis=0)
    return {
        "box_acc_deployed": _percent(first >= 0.5),
        "box_acc_deployed_30": _percent(first >= 0.3),
        "box_acc_deployed_70": _percent(first >= 0.7),
        "box_recall_deployed": 100.0 * int(met.sum()) / sum(scores.boxes),
        "missed_by_presence": _percent(~in_view),
        "decision_curve": [
            [round(float(t), 4), round(float(v), 3)] for t, v in zip(scores.decisions, deployed, strict=True)
        ],
    }


def _decision_index(scores: SplitScores, thresholds: Thresholds) -> int:
    at = int(np.abs(scores.decisions - thresholds.decision).argmin())
    assert abs(scores.decisions[at] - thresholds.decision) < 1e-9, "not scored at this decision threshold"
    return at


def _percent(flags: object) -> float | None:
    values = np.asarray(flags, np.float64)
    return 100.0 * float(values.mean()) if values.size else None
