"""The WSOL localization protocol: score map -> boxes at 1000 thresholds -> best IoU with the truth.

score map (224, 224) ──u8──▶ masks ──contours──▶ boxes ──IoU──▶ curve (1000,) ──▶ train.metrics_scores

Bit-identical to the protocol of Choe et al., "Evaluating Weakly Supervised Object Localization Methods
Right" (CVPR 2020), its off-by-one box ends included: do not mend them here. The deployed decoding of
maps is `edge_runtime.boxes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

SIDE = 224  # maps and scaled ground truth live on a SIDE x SIDE grid, whatever the network's input
THRESHOLDS: NDArray[np.float64] = np.arange(0, 1, 0.001)  # 144 of them differ from the 3-decimal literal
_MANY = 600  # contours in a mask from which labelling it is cheaper than tracing it


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
    grey = (255 * check_map(score_map)).astype(np.uint8)  # truncates, as the protocol does
    cuts = (thresholds * int(grey.max())).astype(np.int64)
    values = np.flatnonzero(np.bincount(grey.ravel(), minlength=256))
    rank = np.searchsorted(values, cuts, side="right")  # equal rank, equal mask
    ranks, group_of = np.unique(rank, return_inverse=True)
    levels = [int(values[r - 1]) if r else -1 for r in ranks]
    groups = _trace_all_contours(grey, levels) if multi_contour else _trace_largest_contour(grey, levels)
    starts = np.cumsum([0] + [len(g) for g in groups[:-1]], dtype=np.int64)
    x0, y0, width, height = np.concatenate(groups).T
    ends = np.minimum(x0 + width, SIDE - 1), np.minimum(y0 + height, SIDE - 1)  # exclusive used as inclusive
    boxes = np.stack([x0, y0, *ends], axis=1)
    return ThresholdBoxes(boxes, starts, group_of.reshape(-1).astype(np.int64))


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


_NONE = np.array([[0, 0, 0, 0]], dtype=np.int64)


def _windows(grey: NDArray[np.uint8], levels: list[int]) -> NDArray[np.int64]:
    """(k, 4) y0, y1, x0, x1 (ends exclusive) of the pixels above each level; empty where none is."""
    bounds = []
    for line in (grey.max(axis=1), grey.max(axis=0)):
        first = np.searchsorted(np.maximum.accumulate(line), levels, side="right")
        last = np.searchsorted(np.maximum.accumulate(line[::-1]), levels, side="right")
        bounds += [first, SIDE - last]
    return np.stack(bounds, axis=1)


def _trace_largest_contour(grey: NDArray[np.uint8], levels: list[int]) -> list[NDArray[np.int64]]:
    """(1, 4) x, y, width, height of the contour of largest area above each level.

    Outer contours suffice: a hole or an island in one never encloses more than the contour around it,
    and equals come later in the protocol's order. Levels run downwards, where the largest area only grows.
    """
    groups = [_NONE] * len(levels)
    largest, many = 0.0, False
    for i, (y0, y1, x0, x1) in reversed(list(enumerate(_windows(grey, levels).tolist()))):
        if y1 <= y0:
            continue
        mask = (grey[y0:y1, x0:x1] > levels[i]).view(np.uint8)
        if many:
            mask = _drop_smaller(mask, largest)
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        areas = [cv2.contourArea(c) for c in contours]
        largest = max(areas)
        many = many or len(contours) > _MANY
        x, y, w, h = cv2.boundingRect(contours[areas.index(largest)])
        groups[i] = np.array([[x0 + x, y0 + y, w, h]], dtype=np.int64)
    return groups


def _drop_smaller(mask: NDArray[np.uint8], area: float) -> NDArray[np.uint8]:
    """Clear the regions of a mask whose outer contour cannot enclose `area`."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    room = (stats[:, cv2.CC_STAT_WIDTH] - 1) * (stats[:, cv2.CC_STAT_HEIGHT] - 1)
    keep = (room >= area).astype(np.uint8)
    keep[0] = 0
    return np.asarray(keep[labels], dtype=np.uint8)


def _trace_all_contours(grey: NDArray[np.uint8], levels: list[int]) -> list[NDArray[np.int64]]:
    """(m, 4) x, y, width, height of every contour above each level, holes and nested ones included."""
    groups = [_NONE] * len(levels)
    count = 0
    for i, (y0, y1, x0, x1) in reversed(list(enumerate(_windows(grey, levels).tolist()))):
        if y1 <= y0:
            continue
        mask = (grey[y0:y1, x0:x1] > levels[i]).view(np.uint8)
        rects = _rects_by_labelling(mask) if count > _MANY else _rects_by_tracing(mask)
        count = len(rects)
        groups[i] = rects + np.array([x0, y0, 0, 0])
    return groups


def _rects_by_tracing(mask: NDArray[np.uint8]) -> NDArray[np.int64]:
    contours, _ = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    return np.array([cv2.boundingRect(c) for c in contours], dtype=np.int64)


def _rects_by_labelling(mask: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The same boxes without tracing: 8-connected regions, and 4-connected holes grown by one pixel.

    A hole's contour runs along the region's pixels around it; background that meets the mask's edge
    is no hole.
    """
    _, _, regions, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    _, _, gaps, _ = cv2.connectedComponentsWithStats(1 - mask, connectivity=4)
    height, width = mask.shape
    x, y, w, h = gaps[1:, :4].T
    inside = (x > 0) & (y > 0) & (x + w < width) & (y + h < height)
    holes = gaps[1:, :4][inside] + np.array([-1, -1, 2, 2])
    return np.concatenate([regions[1:, :4], holes]).astype(np.int64)
