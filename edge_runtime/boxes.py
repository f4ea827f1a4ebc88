"""Score map to boxes: the one decoding that evaluation, export gates and flight share.

map (H, W) in [0, 1] ──threshold──▶ regions ──▶ boxes, largest first ──presence──▶ decision
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PRESENCE_FRACTION = 0.01  # share of the map that must be warm for the asset to count as in view
MIN_REGION_FRACTION = 0.0005  # smaller regions are specks: 25 px at 224 x 224
SPARSE = 16  # one pixel in so many estimates how warm the warmest are
MAX_16U_LABELS = 65535 - 1024  # a map of odd sides has a few more regions than one per four pixels


@dataclass(frozen=True)
class Candidate:
    """One region above the threshold.

    `box_xyxy`: corners as fractions of width and height, 0 <= x0 < x1 <= 1, end exclusive.
    `score`: mean of the map over the region, in [0, 1]. `area`: region pixels / map pixels.
    """

    box_xyxy: tuple[float, float, float, float]
    score: float
    area: float


@dataclass(frozen=True)
class Decision:
    """What one map says: is the asset in view, and where (largest region first; empty when not)."""

    present: bool
    presence: float
    candidates: tuple[Candidate, ...]


def presence_score(score_map: NDArray[np.float32]) -> float:
    """Mean of the warmest `PRESENCE_FRACTION` of the pixels, in [0, 1]: high only if a region is warm."""
    flat = score_map.ravel()
    count = max(1, round(PRESENCE_FRACTION * flat.size))
    # Selecting among all pixels is most of the work: first drop those surely below the warmest ones.
    sparse = flat[::SPARSE]
    likely = min(sparse.size, 2 * count // SPARSE + 1)
    floor = np.partition(sparse, sparse.size - likely)[sparse.size - likely]
    warm = flat[flat >= floor]
    if warm.size < count:
        warm = flat
    return float(np.partition(warm, warm.size - count)[warm.size - count :].mean())


def find_candidates(score_map: NDArray[np.float32], threshold: float) -> tuple[Candidate, ...]:
    """Boxes of the 8-connected regions where the map exceeds `threshold`, largest region first.

    Args:
        score_map: (H, W) float32 in [0, 1].
        threshold: absolute, in [0, 1]; a pixel belongs to a region when it is strictly greater.
    """
    height, width = score_map.shape
    mask = (score_map > threshold).view(np.uint8)
    # 8-connected regions are at most one for every four pixels (of even sides)
    label_type = cv2.CV_16U if score_map.size <= 4 * MAX_16U_LABELS else cv2.CV_32S
    _, labels, stats, _ = cv2.connectedComponentsWithStatsWithAlgorithm(mask, 8, label_type, cv2.CCL_DEFAULT)
    areas = stats[1:, cv2.CC_STAT_AREA]
    order = np.argsort(-areas, kind="stable")
    large = order[areas[order] >= MIN_REGION_FRACTION * score_map.size] + 1
    found: list[Candidate] = []
    for k in large.tolist():
        x, y, w, h, area = stats[k].tolist()
        window = np.s_[y : y + h, x : x + w]
        score = cv2.mean(score_map[window], (labels[window] == k).view(np.uint8))[0]
        box = (x / width, y / height, (x + w) / width, (y + h) / height)
        found.append(Candidate(box, min(1.0, score), area / score_map.size))
    return tuple(found)


def decode_map(score_map: NDArray[np.float32], threshold: float, presence_threshold: float) -> Decision:
    """Apply the deployed rule: nothing unless the presence score reaches its threshold.

    Args:
        score_map: (H, W) float32 in [0, 1].
        threshold, presence_threshold: absolute, from the model contract.
    """
    presence = presence_score(score_map)
    if presence < presence_threshold:
        return Decision(False, presence, ())
    candidates = find_candidates(score_map, threshold)
    return Decision(bool(candidates), presence, candidates)
