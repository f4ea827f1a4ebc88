"""Protocol curves to figures: MaxBoxAcc, MaxBoxAccV2, Top-k Loc, accuracy at a threshold, curve width.

best-IoU curves of `metrics` ──IoU >= delta──▶ hits ──mean over images──▶ accuracy curves ──▶ figures

Accuracies are percent. Images without an object never come here: they count in presence figures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from train.evaluation.metrics import THRESHOLDS, boxes_per_threshold, scale_boxes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

DELTAS = (30, 50, 70)  # IoU levels of MaxBoxAccV2, percent


class AccuracyCurve:
    """Hits per IoU level and threshold, summed image by image; holds (3, t) counts, no curves.

    One instance per question: largest contour, all contours, largest contour and class right, ...
    """

    def __init__(self, thresholds: int = len(THRESHOLDS)) -> None:
        self.count = 0
        self._hits = np.zeros((len(DELTAS), thresholds), dtype=np.int64)

    def add(self, best_iou: NDArray[np.float64], *, counts: bool = True) -> None:
        """Add one image's (t,) curve; `counts` False makes it a miss at every threshold (wrong class)."""
        self.count += 1
        if counts:
            self._hits += best_iou >= np.array(DELTAS)[:, None] / 100

    def percent(self, delta: int = 50) -> NDArray[np.float64]:
        """(t,) share of images in percent whose best IoU reaches `delta` percent.

        Raises:
            ValueError: nothing was added, or `delta` is none of `DELTAS`.
        """
        if self.count == 0:
            raise ValueError("accuracy curve: expected at least one image with boxes, got none")
        return np.asarray(100.0 * self._hits[DELTAS.index(delta)] / self.count)


def accuracy_curve(best_ious: ArrayLike, delta: int = 50) -> NDArray[np.float64]:
    """(t,) accuracy in percent of the curves (n, t) of n images at IoU >= `delta` percent."""
    curves = np.asarray(best_ious, dtype=np.float64)
    total = AccuracyCurve(curves.shape[1])
    for curve in curves:
        total.add(curve)
    return total.percent(delta)


def max_box_acc(largest_contour: AccuracyCurve, delta: int = 50) -> float:
    """MaxBoxAcc: accuracy of the largest contour's box at IoU `delta`, at its best threshold."""
    return float(largest_contour.percent(delta).max())


def max_box_acc_v2(all_contours: AccuracyCurve) -> float:
    """MaxBoxAccV2: any contour's box; mean over `DELTAS` of the accuracy at each one's own best threshold."""
    return float(np.mean([all_contours.percent(delta).max() for delta in DELTAS]))


def threshold_index(tau: float) -> int:
    """Index in `THRESHOLDS` of the threshold nearest to `tau`."""
    return int(np.abs(THRESHOLDS - tau).argmin())


def best_threshold(percent: NDArray[np.float64]) -> float:
    """The first threshold of `THRESHOLDS` with the best accuracy."""
    return float(THRESHOLDS[int(percent.argmax())])


def curve_width(percent: NDArray[np.float64], share: float = 0.9) -> float:
    """Share of thresholds with at least `share` of the best accuracy, in [0, 1]; 0 if the best is 0.

    The paper's claim of robustness to the threshold (Figure 5) as one number: wider is safer.
    """
    best = percent.max()
    return float((percent >= share * best).mean()) if best > 0 else 0.0


def top_k_classes(class_probs: NDArray[np.float32], k: int) -> list[int]:
    """The `k` most probable classes, most probable first; the lower index first among equals."""
    return [int(i) for i in np.argsort(-class_probs, kind="stable")[:k]]


def presence_auc(positive: Sequence[float], negative: Sequence[float]) -> float | None:
    """Chance that a photo with the asset scores above one without, ties half; None without either."""
    if not len(positive) or not len(negative):
        return None
    low = np.sort(np.asarray(negative, dtype=np.float64))
    below = np.searchsorted(low, positive, side="left") + np.searchsorted(low, positive, side="right")
    return float(below.mean() / (2 * len(low)))


def quick_curve(
    score_map: ArrayLike, gt_boxes: ArrayLike, image_size: tuple[int, int], thresholds: int = 40
) -> NDArray[np.float64]:
    """Best IoU of the largest contour at few thresholds, for choosing checkpoints while training.

    Like `best_iou_per_threshold(..., multi_contour=False)`, at `thresholds` even steps from 0.

    Returns:
        (thresholds,) float64; feed it to `AccuracyCurve(thresholds)`.
    """
    taus = np.arange(thresholds) / thresholds
    boxes = boxes_per_threshold(score_map, taus, multi_contour=False)
    return boxes.best_iou(scale_boxes(gt_boxes, image_size))
