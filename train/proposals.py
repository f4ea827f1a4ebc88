"""Attention maps to scored proposal boxes (paper section 3.3, specs dips.md sections 3-5).

maps (M, h, w) ──Otsu, regions──▶ boxes ──blur outside, classify──▶ scores ──top P──▶ proposals
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from train.otsu import otsu_level

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from train.config import ProposalConfig

MAP_SIDE = 224  # maps are upsampled to this side before Otsu
MIN_REGION_PX = 16
BLUR_KERNEL, BLUR_SIGMA = 0.513, 0.448  # of the image side: 115 px and 100.5 px at 224


@dataclass(frozen=True)
class Proposal:
    """A box that may hold the object.

    `box`: xyxy fractions of the photo, half-open. `map_index`: the attention map it comes from.
    `level`: that map's Otsu level in (0, 1). `score`: classifier's probability of the image's class.
    """

    box: tuple[float, float, float, float]
    map_index: int
    level: float
    score: float = 0.0


def find_boxes(maps: NDArray[np.float32], config: ProposalConfig) -> list[Proposal]:
    """Enclosing boxes of the connected regions of every binarised map, largest first, unscored.

    Args:
        maps: (M, h, w) float in [0, 1].

    Returns:
        Boxes whose area exceeds `min_area` of the image; if none does, the largest box there is; if
        all maps are constant, nothing.
    """
    found: list[Proposal] = []
    for index, small in enumerate(maps):
        up = cv2.resize(small.astype(np.float32), (MAP_SIDE, MAP_SIDE), interpolation=cv2.INTER_LINEAR)
        map_u8 = np.floor(255 * np.clip(up, 0, 1)).astype(np.uint8)
        level = otsu_level(map_u8)
        if level is None:
            continue
        mask = (map_u8 > level).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        rows = [r for r in stats[1:].tolist() if r[cv2.CC_STAT_AREA] >= MIN_REGION_PX]
        rows.sort(key=lambda r: -r[2] * r[3])
        for x, y, w, h, _ in rows[: config.per_map]:
            box = (x / MAP_SIDE, y / MAP_SIDE, (x + w) / MAP_SIDE, (y + h) / MAP_SIDE)
            found.append(Proposal(box, index, level / 255))
    found.sort(key=lambda p: -box_area(p.box))
    large = [p for p in found if box_area(p.box) > config.min_area]
    return dedupe(large or found[:1], config.dedupe_iou)[: config.max_scored]


def box_area(box: tuple[float, float, float, float]) -> float:
    """Area as a share of the image."""
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def box_iou(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """Intersection over union of two half-open boxes, 0 when both are empty."""
    inter = box_area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
    union = box_area(a) + box_area(b) - inter
    return inter / union if union > 0 else 0.0


def dedupe(proposals: list[Proposal], iou: float) -> list[Proposal]:
    """Drop every box that overlaps an earlier one by more than `iou`."""
    kept: list[Proposal] = []
    for candidate in proposals:
        if all(box_iou(candidate.box, other.box) <= iou for other in kept):
            kept.append(candidate)
    return kept


def focus_images(image_bgr_u8: NDArray[np.uint8], proposals: list[Proposal]) -> list[NDArray[np.uint8]]:
    """The photo once per box, sharp inside the box and blurred outside (paper section 3.3).

    Args:
        image_bgr_u8: (S, S, 3) uint8.
    """
    side = image_bgr_u8.shape[0]
    kernel = round(BLUR_KERNEL * side) | 1
    blurred = cv2.GaussianBlur(
        image_bgr_u8, (kernel, kernel), BLUR_SIGMA * side, borderType=cv2.BORDER_REFLECT_101
    )
    focused = []
    for proposal in proposals:
        x0, y0, x1, y1 = (round(v * side) for v in proposal.box)
        image = blurred.copy()
        image[y0:y1, x0:x1] = image_bgr_u8[y0:y1, x0:x1]
        focused.append(image.astype(np.uint8))
    return focused


def select(
    image_bgr_u8: NDArray[np.uint8],
    proposals: list[Proposal],
    scorer: Callable[[list[NDArray[np.uint8]]], NDArray[np.float32]],
    config: ProposalConfig,
) -> list[Proposal]:
    """Score boxes and keep the best `top_p` whose score reaches `min_score`, best first.

    Args:
        image_bgr_u8: (S, S, 3) uint8, resized to the classifier's side.
        scorer: images to the probability of the photo's own class, (n,).
    """
    if not proposals:
        return []
    scores = scorer(focus_images(image_bgr_u8, proposals))
    scored = [Proposal(p.box, p.map_index, p.level, float(s)) for p, s in zip(proposals, scores, strict=True)]
    scored.sort(key=lambda p: -p.score)
    return [p for p in scored if p.score >= config.min_score][: config.top_p]
