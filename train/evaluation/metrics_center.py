"""The baseline that looks at no pixel: one box in the middle of every photo, its size chosen on val."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from train.evaluation.metrics import SIDE, iou_inclusive, scale_boxes
from train.evaluation.metrics_scores import DELTAS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from train.data.types import Dataset, Image

_SHARES = np.round(np.arange(1, 21) / 20, 2)  # of the photo's width and of its height
SIZES = np.array([(w, h) for w in _SHARES for h in _SHARES])  # (400, 2)


def choose_center_box(val: Sequence[Image]) -> tuple[float, float] | None:
    """Width and height, as shares of the photo, with the best mean accuracy at IoU .3, .5 and .7.

    Returns:
        One of `SIZES`, of the equally accurate ones that of best mean IoU; None when no photo has boxes.
    """
    best = _best_iou(val, SIZES)
    if best is None:
        return None
    score = np.mean([(best >= delta / 100).mean(axis=1) for delta in DELTAS], axis=0)
    width, height = SIZES[np.lexsort((best.mean(axis=1), score))[-1]]
    return float(width), float(height)


def center_box_accuracy(images: Sequence[Image], size: tuple[float, float]) -> dict[int, float] | None:
    """Percent of the photos with boxes where the centre box of this size reaches each IoU of `DELTAS`."""
    best = _best_iou(images, np.array([size]))
    return None if best is None else {d: float(100.0 * (best[0] >= d / 100).mean()) for d in DELTAS}


def center_box_figures(dataset: Dataset, split: str) -> dict[str, Any]:
    """Figures of a split for the centre box chosen on val; nothing where either has no boxes."""
    size = choose_center_box(dataset.splits["val"])
    accuracy = None if size is None else center_box_accuracy(dataset.splits[split], size)
    if size is None or accuracy is None:
        return {}
    return {
        "center_box_acc": accuracy[50],
        "center_box_acc_v2": sum(accuracy.values()) / len(accuracy),
        "center_box_size": list(size),
    }


def _best_iou(images: Sequence[Image], sizes: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """(sizes, photos) best IoU of each centre box with any true box, on the protocol's grid."""
    truths = [
        scale_boxes(image.boxes, (image.width, image.height))
        for image in images
        if image.boxes is not None and len(image.boxes)
    ]
    if not truths:
        return None
    start = np.round((1 - sizes) * SIDE / 2).astype(np.int64)
    boxes = np.concatenate([start, SIDE - 1 - start], axis=1)
    starts = np.cumsum([0] + [len(t) for t in truths[:-1]])
    return np.asarray(np.maximum.reduceat(iou_inclusive(boxes, np.concatenate(truths)), starts, axis=1))
