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
    return float(np.partition(flat, flat.size - count)[flat.size - count :].mean())


def find_candidates(score_map: NDArray[np.float32], threshold: float) -> tuple[Candidate, ...]:
    """Boxes of the 8-connected regions where the map exceeds `threshold`, largest region first.

    Args:
        score_map: (H, W) float32 in [0, 1].
        threshold: absolute, in [0, 1]; a pixel belongs to a region when it is strictly greater.
    """
    height, width = score_map.shape
    mask = (score_map > threshold).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    least = MIN_REGION_FRACTION * score_map.size
    found: list[Candidate] = []
    for k in sorted(range(1, count), key=lambda i: -int(stats[i, cv2.CC_STAT_AREA])):
        x, y, w, h, area = (int(v) for v in stats[k])
        if area < least:
            break
        inside = labels[y : y + h, x : x + w] == k
        score = float(score_map[y : y + h, x : x + w][inside].mean())
        box = (x / width, y / height, (x + w) / width, (y + h) / height)
        found.append(Candidate(box, score, area / score_map.size))
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
