"""How localization fails: part of the object, too much of it, several at once, elsewhere, or class wrong.

boxes of the largest contour + truth ──▶ kind of error per threshold ──▶ shares at a threshold, in percent

LPE and LME are the paper's "part" and "more" errors (its section 4), by the rules TS-CAM introduced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from train.evaluation.metrics import THRESHOLDS, overlap_inclusive

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from train.evaluation.metrics import ThresholdBoxes

KINDS = ("correct", "class", "multi", "part", "more", "wrong")
_CODE = {name: code for code, name in enumerate(KINDS)}


def error_kinds(boxes: NDArray[np.int64], truth: NDArray[np.int64]) -> NDArray[np.int64]:
    """(g,) index into `KINDS` of each predicted box (g, 4), judged by truth (n, 4), class left aside.

    The first that holds, against the true box of best IoU: IoU > .5 is correct; more than one true box
    covered to over .3 is multi; more than half of the prediction on the object is part (LPE); at least .7
    of the object covered is more (LME); else wrong. Coverage is intersection over the box's own area.
    """
    inter, area, truth_area = overlap_inclusive(boxes, truth)
    iou = inter / (area[:, None] + truth_area[None] - inter)
    covered = inter / truth_area[None]
    row, best = np.arange(len(boxes)), iou.argmax(axis=1)
    rules = [
        (iou[row, best] > 0.5, "correct"),
        ((covered > 0.3).sum(axis=1) > 1, "multi"),
        (inter[row, best] / area > 0.5, "part"),
        (covered[row, best] >= 0.7, "more"),
    ]
    return np.select([r for r, _ in rules], [_CODE[name] for _, name in rules], _CODE["wrong"])


class ErrorCounts:
    """Counts of each kind at every threshold, and at each image's own best threshold ("oracle").

    `by_class`: an image whose class is wrong counts as "class" whatever its box (TS-CAM); otherwise the
    class is taken as known.
    """

    def __init__(self, *, by_class: bool, thresholds: int = len(THRESHOLDS)) -> None:
        self._by_class = by_class
        self._counts = np.zeros((len(KINDS), thresholds), dtype=np.int64)
        self._oracle = np.zeros(len(KINDS), dtype=np.int64)

    def add(self, boxes: ThresholdBoxes, truth: NDArray[np.int64], *, class_right: bool) -> None:
        """Add one image: its largest-contour boxes and its true boxes (n, 4), both on the 224 grid."""
        if self._by_class and not class_right:
            self._counts[_CODE["class"]] += 1
            self._oracle[_CODE["class"]] += 1
            return
        kinds = error_kinds(boxes.boxes[boxes.starts], truth)[boxes.group_of]
        self._counts[kinds, np.arange(len(kinds))] += 1
        self._oracle[kinds[boxes.best_iou(truth).argmax()]] += 1

    def at(self, threshold: int) -> dict[str, float]:
        """Percent of all images per kind at the threshold of this index."""
        return _shares(self._counts[:, threshold])

    def oracle(self) -> dict[str, float]:
        """Percent per kind when each image takes the threshold of its best IoU: an upper bound, no result."""
        return _shares(self._oracle)


def _shares(counts: NDArray[np.int64]) -> dict[str, float]:
    total = int(counts.sum())
    if total == 0:
        raise ValueError("error shares: expected at least one image with boxes, got none")
    return {name: 100.0 * int(n) / total for name, n in zip(KINDS, counts, strict=True)}
