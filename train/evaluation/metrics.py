"""The WSOL localization protocol: score map -> boxes at 1000 thresholds -> best IoU with the truth.

score map (224, 224) ──u8──▶ masks ──contours──▶ boxes ──IoU──▶ curve (1000,) ──▶ metrics_scores

Bit-identical to the protocol of Choe et al., "Evaluating Weakly Supervised Object Localization Methods
Right" (CVPR 2020), its off-by-one box ends included: do not mend them here. The deployed decoding of
maps is `edge_runtime.boxes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from train.evaluation.contours import all_contours, largest_contours

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

SIDE = 224  # maps and scaled ground truth live on a SIDE x SIDE grid, whatever the network's input
THRESHOLDS: NDArray[np.float64] = np.arange(0, 1, 0.001)  # 144 of them differ from the 3-decimal literal


def best_iou_per_threshold(
    score_map: ArrayLike, gt_boxes: ArrayLike, image_size: tuple[int, int], *, multi_contour: bool
) -> NDArray[np.float64]:
    """Best IoU of any predicted box with any true box, at each of the 1000 thresholds.

    Args:
        score_map: (224, 224) float in [0, 1].
        gt_boxes: (n, 4) int, n >= 1: x0, y0, x1, y1 in pixels of the stored image, both corners inside.
        image_size: (width, height) of the stored image in pixels.
        multi_contour: every contour gives a box, holes too (MaxBoxAccV2); otherwise only the contour
            of largest area, the first of equals (MaxBoxAcc).

    Returns:
        (1000,) float64 in [0, 1], for the thresholds `THRESHOLDS` relative to the map's maximum.

    Raises:
        ValueError: a map or boxes outside these shapes and ranges.
    """
    truth = scale_boxes(gt_boxes, image_size)
    boxes = boxes_per_threshold(score_map, THRESHOLDS, multi_contour=multi_contour)
    return boxes.best_iou(truth)


@dataclass(frozen=True)
class ThresholdBoxes:
    """Boxes of one map at every threshold, stored once per distinct mask.

    `boxes`: (m, 4) int64 x0, y0, x1, y1 on the 224 grid, grouped by mask; `starts`: (k,) first row of
    each group; `group_of`: (t,) the group that belongs to each threshold.
    """

    boxes: NDArray[np.int64]
    starts: NDArray[np.int64]
    group_of: NDArray[np.int64]

    def best_iou(self, truth: NDArray[np.int64]) -> NDArray[np.float64]:
        """(t,) best IoU of any box at each threshold with any row of `truth` (n, 4)."""
        best = iou_inclusive(self.boxes, truth).max(axis=1)
        return np.maximum.reduceat(best, self.starts)[self.group_of]

    def first(self) -> NDArray[np.int64]:
        """(t, 4) the first box at each threshold: the only one unless made with multi_contour."""
        return self.boxes[self.starts][self.group_of]


def boxes_per_threshold(
    score_map: ArrayLike, thresholds: NDArray[np.float64], *, multi_contour: bool
) -> ThresholdBoxes:
    """Boxes of a (224, 224) map at each max-relative threshold in [0, 1); [0, 0, 0, 0] where none.

    Equal to one contour pass per threshold, but traces each distinct mask once: thresholds fall on at
    most 256 integers, and integers with no pixel value between them cut the same mask.
    """
    scaled = 255 * check_map(score_map)
    grey = scaled.astype(np.uint8)  # truncates, as the protocol does
    present = np.bincount(grey.ravel(), minlength=256) > 0
    values = np.flatnonzero(present)
    rank = (np.cumsum(present) - 1).astype(np.uint8)[grey]
    integers = (thresholds * int(values[-1])).astype(np.int64)
    cut_of = np.searchsorted(values, integers, side="right")  # grey > integer is rank >= cut
    height = (scaled * 2.0**28).astype(np.int64)
    found = all_contours(height, rank) if multi_contour else largest_contours(height, rank, cut_of)
    cut = np.append(found.cut, len(values))  # nothing is above the last value: box [0, 0, 0, 0]
    x0, y0, x1, y1 = np.append(found.box, [[0, 0, -1, -1]], axis=0).T
    ends = np.minimum(x1 + 1, SIDE - 1), np.minimum(y1 + 1, SIDE - 1)  # exclusive ends used as inclusive
    starts = np.searchsorted(cut, np.arange(len(values) + 1))
    return ThresholdBoxes(np.stack([x0, y0, *ends], axis=1), starts, cut_of)


def scale_boxes(gt_boxes: ArrayLike, image_size: tuple[int, int]) -> NDArray[np.int64]:
    """True boxes on the 224 grid: v * 224 / size per axis, truncated.

    Raises:
        ValueError: not (n >= 1, 4) integers with 0 <= x0 <= x1 and 0 <= y0 <= y1, or a bad image size.
    """
    boxes = np.asarray(gt_boxes)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or len(boxes) == 0 or boxes.dtype.kind not in "iu":
        raise ValueError(
            f"gt_boxes: expected integers of shape (n >= 1, 4), got {boxes.dtype} {boxes.shape}; "
            "leave images without boxes out of localization"
        )
    boxes = boxes.astype(np.int64)
    bad = (boxes < 0).any(axis=1) | (boxes[:, 2] < boxes[:, 0]) | (boxes[:, 3] < boxes[:, 1])
    if bad.any():
        found = boxes[bad][0].tolist()
        raise ValueError(f"gt_boxes: expected 0 <= x0 <= x1 and 0 <= y0 <= y1, got {found}")
    width, height = (int(v) for v in image_size)
    if width <= 0 or height <= 0:
        raise ValueError(f"image_size: expected positive (width, height), got {(width, height)}")
    return np.asarray(boxes * SIDE // np.array([width, height, width, height]), dtype=np.int64)


def iou_inclusive(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n, m) IoU of boxes (n, 4) and (m, 4) whose end pixels belong to them (+1 on every side)."""
    inter, area_a, area_b = overlap_inclusive(a, b)
    return np.asarray(inter / (area_a[:, None] + area_b[None] - inter), dtype=np.float64)


def overlap_inclusive(
    a: NDArray[np.int64], b: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Intersection areas (n, m) and the boxes' own areas (n,), (m,) in pixels, end pixels included."""
    start = np.maximum(a[:, None, :2], b[None, :, :2])
    end = np.minimum(a[:, None, 2:], b[None, :, 2:])
    sides = np.maximum(end - start + 1, 0)
    area_a = (a[:, 2:] - a[:, :2] + 1).prod(axis=1)
    area_b = (b[:, 2:] - b[:, :2] + 1).prod(axis=1)
    return sides.prod(axis=2), area_a, area_b


def check_map(score_map: ArrayLike) -> NDArray[np.float64]:
    """The map as float64.

    Raises:
        ValueError: not a (224, 224) float array of finite values in [0, 1].
    """
    array = np.asarray(score_map)
    if array.shape != (SIDE, SIDE) or array.dtype.kind != "f":
        raise ValueError(f"score_map: expected float ({SIDE}, {SIDE}), got {array.dtype} {array.shape}")
    low, high = float(array.min()), float(array.max())  # NaN if any value is
    if not (low >= 0.0 and high <= 1.0):
        raise ValueError(f"score_map: expected finite values in [0, 1], got {low:g} to {high:g}")
    return array.astype(np.float64)
