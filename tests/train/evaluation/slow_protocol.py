"""The protocol written out literally, one contour pass per threshold: what the fast evaluator must equal.

Also score maps of every kind a network or a bug may produce.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Box = tuple[int, int, int, int]


def slow_curve(
    score_map: NDArray[np.floating],
    gt_boxes: Sequence[Box],
    image_size: tuple[int, int],
    *,
    multi_contour: bool,
    thresholds: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Best IoU per threshold, a fresh contour pass each."""
    width, height = (float(v) for v in image_size)
    truth = [
        (int(x0 * 224.0 / width), int(y0 * 224.0 / height), int(x1 * 224.0 / width), int(y1 * 224.0 / height))
        for x0, y0, x1, y1 in gt_boxes
    ]
    taus = np.arange(0, 1, 0.001) if thresholds is None else thresholds
    grey = quantised(score_map)
    found = [contour_boxes(grey, float(tau), multi_contour=multi_contour) for tau in taus]
    return np.array([max(slow_iou(box, gt) for box in set(boxes) for gt in truth) for boxes in found])


def slow_boxes(score_map: NDArray[np.floating], tau: float, *, multi_contour: bool) -> list[Box]:
    """Boxes of one map at one threshold."""
    return contour_boxes(quantised(score_map), tau, multi_contour=multi_contour)


def quantised(score_map: NDArray[np.floating]) -> NDArray[np.uint8]:
    """A map in [0, 1] as bytes, truncated."""
    return (255 * score_map.astype(np.float64)).astype(np.uint8)


def contour_boxes(grey: NDArray[np.uint8], tau: float, *, multi_contour: bool) -> list[Box]:
    """One contour pass over a byte map."""
    _, mask = cv2.threshold(grey, int(tau * int(np.max(grey))), 255, cv2.THRESH_BINARY)
    contours, _ = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return [(0, 0, 0, 0)]
    if not multi_contour:
        contours = [max(contours, key=cv2.contourArea)]
    boxes = []
    for contour in contours:
        x, y, w, h = cv2.boundingRect(contour)
        boxes.append((x, y, min(x + w, 223), min(y + h, 223)))
    return boxes


def slow_iou(a: Box, b: Box) -> float:
    """IoU of two boxes whose end pixels belong to them."""
    inter = max(0, min(a[2], b[2]) - max(a[0], b[0]) + 1) * max(0, min(a[3], b[3]) - max(a[1], b[1]) + 1)
    area_a, area_b = ((c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b))
    return inter / (area_a + area_b - inter)


def blobs(seed: int, sigma: float) -> NDArray[np.float64]:
    """A smooth random field over the full range [0, 1]."""
    field = cv2.GaussianBlur(np.random.default_rng(seed).random((224, 224)), (0, 0), sigma)
    field -= field.min()
    return np.asarray(field / field.max())


def confident(field: NDArray[np.float64], gain: float) -> NDArray[np.float64]:
    """What a softmax makes of it: mostly near 0 and near 1."""
    return np.asarray(1 / (1 + np.exp(-gain * (field - field.mean()) / field.std())))


def upsampled(seed: int, side: int, method: int) -> NDArray[np.float64]:
    """A coarse activation map at full size."""
    small = np.random.default_rng(seed).random((side, side))
    return np.asarray(np.clip(cv2.resize(small, (224, 224), interpolation=method), 0, 1))


def kinds_of_maps(seed: int) -> dict[str, NDArray[np.floating]]:
    """One map of each kind, by name."""
    rng = np.random.default_rng(seed)
    rings = np.abs(np.sin(np.hypot(*np.indices((224, 224)) - 100.0) / 9))
    return {
        "one blob": blobs(seed, 40),
        "few blobs": blobs(seed, 14),
        "many blobs": blobs(seed, 5),
        "texture": blobs(seed, 2),
        "float32": blobs(seed, 14).astype(np.float32),
        "confident": confident(blobs(seed, 14), 4),
        "confident and noisy": np.clip(
            confident(blobs(seed, 14), 5) + 0.03 * rng.standard_normal((224, 224)), 0, 1
        ),
        "saturated": np.clip(3 * blobs(seed, 9) - 1, 0, 1),
        "never warm": 0.2 * blobs(seed, 9),
        "peaked": blobs(seed, 12) ** 6,
        "7 x 7 bilinear": upsampled(seed, 7, cv2.INTER_LINEAR),
        "14 x 14 cubic": upsampled(seed, 14, cv2.INTER_CUBIC),
        "28 x 28 nearest": upsampled(seed, 28, cv2.INTER_NEAREST),
        "three levels": np.floor(4 * blobs(seed, 6)) / 4,
        "rings in rings": rings,
        "equal squares": np.kron(np.indices((8, 8)).sum(axis=0) % 2, np.pad(np.ones((20, 20)), 4)),
        "thin lines": np.where(np.indices((224, 224)).sum(axis=0) % 17 == 0, rng.random((224, 224)), 0.0),
        "one pixel": np.where(np.arange(224 * 224).reshape(224, 224) == 30000, 0.7, 0.0),
        "zero": np.zeros((224, 224)),
        "constant": np.full((224, 224), 0.3),
        "barely above zero": np.full((224, 224), 0.003),
    }
