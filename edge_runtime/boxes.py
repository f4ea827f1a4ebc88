"""Score map to boxes: the one decoding that evaluation, export gates and flight share.

map (H, W) in [0, 1] ──threshold──▶ regions ──▶ boxes, largest first ──presence──▶ decision
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

PRESENCE_FRACTION = 0.01  # share of the map that must be warm for the asset to count as in view
MIN_REGION_FRACTION = 0.0005  # smaller regions are specks: 25 px at 224 x 224
SAMPLE_STEP = 4  # one pixel in 4 x 4 estimates how warm the warmest are
FEW = 0.125  # share of the map up to which its warm pixels are worked on one by one
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
    """Mean of the warmest `PRESENCE_FRACTION` of the pixels, in [0, 1]: high only if a region is warm.

    NaN where the map is not finite.
    """
    if not math.isfinite(score_map.max()):
        return math.nan
    flat = score_map.ravel()
    count = _warmest_count(flat.size)
    # Selecting among all pixels is most of the work: first drop those surely below the warmest ones.
    sample = score_map[::SAMPLE_STEP, ::SAMPLE_STEP].ravel()
    likely = min(sample.size, 2 * count // SAMPLE_STEP**2 + 1)
    warm = flat[flat >= np.partition(sample, sample.size - likely)[sample.size - likely]]
    return _mean_of_warmest(warm if warm.size >= count else flat, count)


def find_candidates(score_map: NDArray[np.float32], threshold: float) -> tuple[Candidate, ...]:
    """Boxes of the 8-connected regions where the map exceeds `threshold`, largest region first.

    Args:
        score_map: (H, W) float32 in [0, 1].
        threshold: absolute, in [0, 1]; a pixel belongs to a region when it is strictly greater.
    """
    return _candidates(score_map, _warm(score_map, threshold))


def decode_map(score_map: NDArray[np.float32], threshold: float, presence_threshold: float) -> Decision:
    """Apply the deployed rule: nothing unless the presence score reaches its threshold.

    Args:
        score_map: (H, W) float32 in [0, 1].
        threshold, presence_threshold: absolute, from the model contract.
    """
    warm = _warm(score_map, threshold)
    count = _warmest_count(score_map.size)
    if warm.values is not None and warm.values.size >= count and math.isfinite(score_map.max()):
        presence = _mean_of_warmest(warm.values, count)
    else:
        presence = presence_score(score_map)
    if not presence >= presence_threshold:  # NaN is not
        return Decision(False, presence, ())
    candidates = _candidates(score_map, warm)
    return Decision(bool(candidates), presence, candidates)


class _Warm(NamedTuple):
    """The pixels above a threshold; their places row by row and their values only where they are few."""

    mask: NDArray[np.bool_]
    pixels: NDArray[np.intp] | None
    values: NDArray[np.float32] | None


def _warm(score_map: NDArray[np.float32], threshold: float) -> _Warm:
    mask = score_map > threshold
    if np.count_nonzero(mask) > FEW * mask.size:
        return _Warm(mask, None, None)
    pixels = np.flatnonzero(mask)
    return _Warm(mask, pixels, score_map.ravel()[pixels])


def _warmest_count(size: int) -> int:
    return max(1, round(PRESENCE_FRACTION * size))


def _mean_of_warmest(values: NDArray[np.float32], count: int) -> float:
    warmest = np.partition(values, values.size - count)[values.size - count :]
    return float(warmest.mean(dtype=np.float64))  # whose order does not matter at this precision


def _candidates(score_map: NDArray[np.float32], warm: _Warm) -> tuple[Candidate, ...]:
    if warm.pixels is None or warm.values is None:
        return tuple(_regions_by_window(score_map, warm.mask))
    return tuple(_regions_by_pixel(warm.mask, warm.pixels, warm.values))


def _regions_by_pixel(
    mask: NDArray[np.bool_], pixels: NDArray[np.intp], values: NDArray[np.float32]
) -> Iterator[Candidate]:
    """Its time grows with the number of warm pixels: the faster way where they are few."""
    height, width = mask.shape
    count, labels = cv2.connectedComponentsWithAlgorithm(
        mask.view(np.uint8), 8, _label_type(mask.size), cv2.CCL_DEFAULT
    )
    label_of = labels.ravel()[pixels]
    areas = np.bincount(label_of, minlength=count)
    sums = np.bincount(label_of, values, minlength=count)
    for k in _large(areas, mask.size):
        own = pixels[label_of == k]
        x = own % width
        x0, x1 = int(x.min()), int(x.max()) + 1
        y0, y1 = int(own[0]) // width, int(own[-1]) // width + 1
        box = (x0 / width, y0 / height, x1 / width, y1 / height)
        area = int(areas[k])
        yield Candidate(box, min(1.0, float(sums[k]) / area), area / mask.size)


def _regions_by_window(score_map: NDArray[np.float32], mask: NDArray[np.bool_]) -> Iterator[Candidate]:
    """The same, by OpenCV's statistics of whole rectangles: its time hardly depends on the map."""
    height, width = mask.shape
    _, labels, stats, _ = cv2.connectedComponentsWithStatsWithAlgorithm(
        mask.view(np.uint8), 8, _label_type(mask.size), cv2.CCL_DEFAULT
    )
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0  # what is below the threshold
    for k in _large(areas, mask.size):
        x, y, w, h, area = stats[k].tolist()
        window = np.s_[y : y + h, x : x + w]
        score = cv2.mean(score_map[window], (labels[window] == k).view(np.uint8))[0]
        box = (x / width, y / height, (x + w) / width, (y + h) / height)
        yield Candidate(box, min(1.0, score), area / mask.size)


def _label_type(size: int) -> int:
    """8-connected regions are at most one for every four pixels (of even sides)."""
    return cv2.CV_16U if size <= 4 * MAX_16U_LABELS else cv2.CV_32S


def _large(areas: NDArray[np.integer], size: int) -> list[int]:
    """Labels of the regions that are no specks, largest first."""
    large = np.flatnonzero(areas >= MIN_REGION_FRACTION * size)
    order: list[int] = large[np.argsort(-areas[large], kind="stable")].tolist()
    return order
