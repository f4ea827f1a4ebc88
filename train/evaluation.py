"""Score maps of a split to every figure we report, protocol and deployed, streaming over photos.

(photo, map, class probabilities) ──add──▶ SplitScores ──choose on val──▶ Thresholds ──report──▶ figures

Protocol figures follow specs of the WSOL protocol (maps at 224 x 224, thresholds relative to the map's
maximum). Deployed figures use `edge_runtime.boxes` at absolute thresholds on the map's own grid, as in
flight. All shares are percent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from calibration.thresholds import choose_presence_threshold, choose_threshold
from edge_runtime.boxes import find_candidates, presence_score
from train.metrics import SIDE, THRESHOLDS, best_iou_per_threshold
from train.metrics_scores import (
    AccuracyCurve,
    curve_width,
    max_box_acc,
    max_box_acc_v2,
    threshold_index,
    top_k_classes,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from train.dataset_types import Image

DECISIONS: NDArray[np.float64] = np.round(np.arange(0.05, 0.951, 0.025), 3)  # absolute thresholds tried
DEPLOYED_IOU = (0.3, 0.5, 0.7)


@dataclass(frozen=True)
class Thresholds:
    """Chosen on val: `tau` relative to the map's maximum (protocol), `decision` and `presence` absolute."""

    tau: float
    decision: float
    presence: float


@dataclass
class SplitScores:
    """What is kept of a split: curves and small rows per photo, no maps."""

    single: AccuracyCurve = field(default_factory=AccuracyCurve)
    multi: AccuracyCurve = field(default_factory=AccuracyCurve)
    top1: AccuracyCurve = field(default_factory=AccuracyCurve)
    top5: AccuracyCurve = field(default_factory=AccuracyCurve)
    first_iou: list[NDArray[np.float64]] = field(default_factory=list)  # per localized photo, (decisions,)
    found: list[NDArray[np.int64]] = field(default_factory=list)  # boxes met at IoU .5, (decisions,)
    boxes: list[int] = field(default_factory=list)
    localized_presence: list[float] = field(default_factory=list)
    positive_presence: list[float] = field(default_factory=list)
    negative_presence: list[float] = field(default_factory=list)
    class_right: list[bool] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

    def add(
        self,
        image: Image,
        score_map: NDArray[np.float32],
        class_probs: NDArray[np.float32],
        negative: int | None,
    ) -> None:
        """Add one photo.

        Args:
            score_map: (h, w) float32 in [0, 1], the network's own resolution.
            class_probs: (K,) float32.
            negative: index of the class without any object.
        """
        presence = presence_score(score_map)
        self.class_right.append(int(class_probs.argmax()) == image.label)
        if image.label == negative:
            self.negative_presence.append(presence)
            return
        self.positive_presence.append(presence)
        if image.boxes is None or len(image.boxes) == 0:
            return
        self.ids.append(image.image_id)
        self.localized_presence.append(presence)
        self._add_protocol(image, score_map, class_probs)
        self._add_deployed(image, score_map)

    def _add_protocol(
        self, image: Image, score_map: NDArray[np.float32], class_probs: NDArray[np.float32]
    ) -> None:
        small, size = protocol_map(score_map), (image.width, image.height)
        truth = np.asarray(image.boxes)
        curve = best_iou_per_threshold(small, truth, size, multi_contour=False)
        self.single.add(curve)
        self.top1.add(curve, counts=image.label in top_k_classes(class_probs, 1))
        self.top5.add(curve, counts=image.label in top_k_classes(class_probs, 5))
        self.multi.add(best_iou_per_threshold(small, truth, size, multi_contour=True))

    def _add_deployed(self, image: Image, score_map: NDArray[np.float32]) -> None:
        truth = np.asarray(image.boxes, np.float64) / np.array([image.width, image.height] * 2)
        first, met = np.zeros(len(DECISIONS)), np.zeros(len(DECISIONS), np.int64)
        for k, threshold in enumerate(DECISIONS):
            candidates = find_candidates(score_map, float(threshold))
            if candidates:
                ious = box_ious(np.array([c.box_xyxy for c in candidates]), truth)
                first[k] = ious[0].max()
                met[k] = int((ious >= 0.5).any(0).sum())
        self.first_iou.append(first)
        self.found.append(met)
        self.boxes.append(len(truth))


def protocol_map(score_map: NDArray[np.float32]) -> NDArray[np.float64]:
    """A map at the protocol's 224 x 224, float64 in [0, 1]."""
    if score_map.shape != (SIDE, SIDE):
        score_map = np.asarray(cv2.resize(score_map, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR))
    return np.clip(score_map.astype(np.float64), 0.0, 1.0)


def box_ious(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, m) IoU of half-open boxes (n, 4) and (m, 4)."""
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    inter = np.clip(sides, 0, None).prod(-1)
    area_a, area_b = (a[:, 2:] - a[:, :2]).prod(-1), (b[:, 2:] - b[:, :2]).prod(-1)
    return np.asarray(inter / np.maximum(area_a[:, None] + area_b[None] - inter, 1e-12))


def score_split(
    predictions: Iterable[tuple[Image, NDArray[np.float32], NDArray[np.float32]]], negative: int | None
) -> SplitScores:
    """Run through (photo, map, class probabilities) once."""
    scores = SplitScores()
    for image, score_map, class_probs in predictions:
        scores.add(image, score_map, class_probs, negative)
    return scores


def choose_thresholds(val: SplitScores) -> Thresholds:
    """Thresholds from val; without boxes there, tau and decision are 0.5."""
    presence = choose_presence_threshold(val.positive_presence, val.negative_presence)
    if not val.first_iou:
        return Thresholds(0.5, 0.5, presence)
    deployed = np.mean([100.0 * (np.array(val.first_iou) >= iou).mean(0) for iou in DEPLOYED_IOU], axis=0)
    return Thresholds(
        tau=choose_threshold(val.single.percent(50), THRESHOLDS),
        decision=choose_threshold(deployed, DECISIONS),
        presence=presence,
    )


def report_split(scores: SplitScores, thresholds: Thresholds) -> dict[str, Any]:
    """Every figure of one split as JSON-able values; localization figures only where there are boxes."""
    figures: dict[str, Any] = {
        "photos": len(scores.class_right),
        "localized_photos": len(scores.ids),
        "class_acc": _percent(scores.class_right),
        "presence_auc": presence_auc(scores.positive_presence, scores.negative_presence),
        "presence_hit_rate": _percent(np.array(scores.positive_presence) >= thresholds.presence),
        "false_alarm_rate": _percent(np.array(scores.negative_presence) >= thresholds.presence),
    }
    if not scores.ids:
        return figures
    return figures | _protocol_figures(scores, thresholds) | _deployed_figures(scores, thresholds)


def _protocol_figures(scores: SplitScores, thresholds: Thresholds) -> dict[str, Any]:
    at = threshold_index(thresholds.tau)
    single = scores.single.percent(50)
    return {
        "max_box_acc_v2": max_box_acc_v2(scores.multi),
        "max_box_acc": max_box_acc(scores.single),
        "top1_loc": max_box_acc(scores.top1),
        "top5_loc": max_box_acc(scores.top5),
        "box_acc_fixed_tau": float(single[at]),
        "curve_width": curve_width(single),
        "curve": [round(float(v), 3) for v in single[::10]],
    }


def _deployed_figures(scores: SplitScores, thresholds: Thresholds) -> dict[str, Any]:
    at = int(np.abs(DECISIONS - thresholds.decision).argmin())
    in_view = np.array(scores.localized_presence) >= thresholds.presence
    first = np.array(scores.first_iou)[:, at] * in_view
    met = np.array(scores.found)[:, at] * in_view
    return {
        "box_acc_deployed": _percent(first >= 0.5),
        "box_acc_deployed_30": _percent(first >= 0.3),
        "box_acc_deployed_70": _percent(first >= 0.7),
        "box_recall_deployed": 100.0 * float(met.sum() / max(1, sum(scores.boxes))),
        "missed_by_presence": _percent(~in_view),
    }


def presence_auc(positive: list[float], negative: list[float]) -> float | None:
    """Chance that a positive scores above a negative, ties half; None without either."""
    if not positive or not negative:
        return None
    p, n = np.array(positive)[:, None], np.array(negative)[None]
    return float(((p > n) + 0.5 * (p == n)).mean())


def _percent(flags: object) -> float | None:
    values = np.asarray(flags, np.float64)
    return 100.0 * float(values.mean()) if values.size else None
