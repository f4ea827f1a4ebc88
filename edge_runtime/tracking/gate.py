"""Which detection continues a track: the one that overlaps most what the filter expects, if any fits.

filter at the frame's time, detections ──best_match──▶ index or None
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edge_runtime.tracking.kalman import BoxFilter
    from edge_runtime.tracking.settings import TrackSettings
    from edge_runtime.tracking.update import Box, Detection


def area(box: Box) -> float:
    """Share of the frame a box takes."""
    return (box[2] - box[0]) * (box[3] - box[1])


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0..1."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0.0 or height <= 0.0:
        return 0.0
    shared = width * height
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / both if both > 0.0 else 0.0


def covered(box: Box, by: Box) -> float:
    """Share of a box's area that lies within another, 0..1."""
    width = min(box[2], by[2]) - max(box[0], by[0])
    height = min(box[3], by[3]) - max(box[1], by[1])
    return width * height / area(box) if width > 0.0 and height > 0.0 else 0.0


def best_match(
    track: BoxFilter, detections: Sequence[Detection], among: Iterable[int], settings: TrackSettings
) -> int | None:
    """Index of the detection that fits best, among those allowed; None when none passes the gate.

    A detection passes by overlap, by Mahalanobis distance, or by holding most of the expected box. The second
    widens with the time since the last correction, so a gap between frames or a fast pan does not lose the
    track; the third is for regions of the map that merge: an asset coming into view shows in pieces first.
    More overlap wins; among detections without any, the smaller distance.

    Args:
        track: predicted to the capture time of the detections.
        among: indices into `detections`.
    """
    expected = track.box_xyxy
    best, best_rank = None, (-1.0, 0.0)
    for i in among:
        box = detections[i].box_xyxy
        overlap = iou(expected, box)
        distance = track.distance(box)
        near = overlap >= settings.gate_iou or distance <= settings.gate_mahalanobis
        if not near and covered(expected, box) < settings.gate_covered:
            continue
        rank = (overlap, -distance)
        if best is None or rank > best_rank:
            best, best_rank = i, rank
    return best
