"""Boxes of the contours of a grey image at all its cuts, equal to tracing each cut, without tracing them.

grey (H, W) ──merge trees of regions and holes──▶ box of every contour | box of the largest contour, per cut
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from train.evaluation.component_tree import MergeTree

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

_MANY = 600  # regions in a mask from which dropping the small ones first makes tracing cheaper


@dataclass(frozen=True)
class ContourBoxes:
    """Contours of the masks `rank >= cut`, ordered by cut.

    `cut`: (m,) int64. `box`: (m, 4) int64 x0, y0, x1, y1 in pixels, end pixels included.
    """

    cut: Ints
    box: Ints


def all_contours(height: Ints, rank: NDArray[np.uint8]) -> ContourBoxes:
    """Boxes of the outer contours of all regions and of the holes in them, nested ones included.

    A hole is a 4-connected region of the rest that does not reach the frame; its contour runs along the
    pixels around it, one further out on every side.

    Args:
        height, rank: (H, W), see `MergeTree`; (H + 2) * (W + 2) <= 2**16.
    """
    regions = MergeTree(height, rank, diagonal=True)
    top = int(rank.max())
    sunk = np.pad(2**36 - height, 1, constant_values=2**36)
    rest = MergeTree(sunk, np.pad(top - rank, 1, constant_values=top), diagonal=False)
    hole_box = rest.boxes()
    hole = hole_box[:, 0] > 0
    cut = np.concatenate([regions.cut, top + 1 - rest.cut[hole]])
    box = np.concatenate([regions.boxes(), hole_box[hole] + np.array([-2, -2, 0, 0])])
    order = np.argsort(cut.astype(np.uint16), kind="stable")
    return ContourBoxes(cut[order], box[order])


def largest_contours(height: Ints, rank: NDArray[np.uint8], wanted: Ints) -> ContourBoxes:
    """Box of the contour of largest area of each mask, the first that OpenCV lists among equals.

    Holes never win: their contour encloses no more than the one around it, which is listed before.
    Areas are counted from 2 x 2 blocks of pixels. That is exact in masks without holes; elsewhere a contour
    encloses at least so much, and at most its box. Where this leaves a choice at a cut in `wanted`, the
    contours are traced; at other cuts the box is then unspecified.

    Args:
        height, rank: (H, W), see `MergeTree`.
        wanted: (k,) cuts.
    """
    tree = MergeTree(height, rank, diagonal=True)
    order = np.argsort(tree.cut.astype(np.uint16), kind="stable")
    cut, box = tree.cut[order], tree.boxes()[order]
    starts = np.flatnonzero(np.diff(cut, prepend=-1))
    crowd = np.diff(np.append(starts, len(cut)))
    third, lowest = _third_and_lowest(rank)
    least = _doubled_areas(tree, rank, third, lowest)[order]
    room = 2 * (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
    most = np.where((_euler_numbers(rank, third, lowest) == crowd)[cut], least, room)
    best = np.lexsort((-least, cut))[starts]
    rivals = most.copy()
    rivals[best] = -1
    unsure = np.flatnonzero(np.maximum.reduceat(rivals, starts) >= least[best])
    chosen = box[best]
    for c in np.intersect1d(unsure, wanted).tolist():
        chosen[c] = _trace_largest(rank, c, least[best[c]] / 2, crowded=bool(crowd[c] > _MANY))
    return ContourBoxes(np.arange(len(starts)), chosen)


def _third_and_lowest(rank: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(H - 1, W - 1) of each 2 x 2 block: the highest cut that leaves three of its pixels, and all four."""
    high1, high2 = np.maximum(rank[:-1, :-1], rank[:-1, 1:]), np.maximum(rank[1:, :-1], rank[1:, 1:])
    low1, low2 = np.minimum(rank[:-1, :-1], rank[:-1, 1:]), np.minimum(rank[1:, :-1], rank[1:, 1:])
    return np.minimum(np.minimum(high1, high2), np.maximum(low1, low2)), np.minimum(low1, low2)


def _doubled_areas(
    tree: MergeTree, rank: NDArray[np.uint8], third: NDArray[np.uint8], lowest: NDArray[np.uint8]
) -> Ints:
    """(m,) twice the area that each region covers of the polygons through its pixel centres.

    Between four centres it covers 1 where all four pixels are in the region, 1/2 where three are.
    """
    # of two opposite pixels at most one is missing where three are left
    name = np.where(rank[:-1, :-1] >= third, tree.basin[:-1, :-1], tree.basin[1:, 1:]).ravel()
    entered = [tree.region(name, cut.ravel().astype(np.int64)) for cut in (third, lowest)]
    return tree.count(np.concatenate(entered))


def _euler_numbers(
    rank: NDArray[np.uint8], third: NDArray[np.uint8], lowest: NDArray[np.uint8]
) -> NDArray[np.int64]:
    """(cuts,) regions minus holes of each mask: pixels - links + triangles, pixels linked to all 8 around.

    Three pixels of a block make one triangle; four have six links between them and count for three.
    """
    links = [
        np.minimum(rank[:, 1:], rank[:, :-1]),
        np.minimum(rank[1:], rank[:-1]),
        np.minimum(rank[1:, 1:], rank[:-1, :-1]),
        np.minimum(rank[1:, :-1], rank[:-1, 1:]),
    ]
    cuts = int(rank.max()) + 1
    entering = np.zeros(cuts, dtype=np.int64)
    for sign, parts in ((1, [rank, third, lowest, lowest]), (-1, links)):
        for part in parts:
            entering += sign * np.bincount(part.ravel(), minlength=cuts)
    return np.asarray(entering[::-1].cumsum()[::-1])


def _trace_largest(
    rank: NDArray[np.uint8], cut: int, least: float, *, crowded: bool
) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of the largest outer contour of `rank >= cut`, known to enclose at least `least`."""
    _, mask = cv2.threshold(rank, cut - 1, 1, cv2.THRESH_BINARY)
    if crowded:
        _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        room = (stats[:, cv2.CC_STAT_WIDTH] - 1) * (stats[:, cv2.CC_STAT_HEIGHT] - 1)
        mask = ((room >= least) & (np.arange(len(room)) > 0)).astype(np.uint8)[labels]
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    x, y, w, h = cv2.boundingRect(max(contours, key=cv2.contourArea))
    return x, y, x + w - 1, y + h - 1
