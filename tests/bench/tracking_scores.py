"""Scores of reported boxes against per-frame truth: what a tracker wins and what it costs.

reports and truth of a clip, frame by frame ──score──▶ counts, sums and lists that add up over clips
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_runtime.tracking.gate import iou
from edge_runtime.tracking.kalman import parameters

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

Box = tuple[float, float, float, float]

DAMAGED = frozenset({"frozen", "blocks", "black", "green"})  # the truth there is of another picture
GOOD_IOU = 0.5
AFTERGLOW_S = 0.5  # a valid record later than this after the asset left is a false one


@dataclass(frozen=True)
class Truth:
    """One frame: time in s, boxes as fractions of the frame, is one at least half visible, is any visible."""

    t_s: float
    boxes: tuple[Box, ...]
    present: bool
    damaged: bool


@dataclass(frozen=True)
class Report:
    """What a consumer is told of one frame; `fresh`: as a detection of this very frame."""

    box: Box | None = None
    fresh: bool = False
    tid: int | None = None


@dataclass
class Scores:
    """Additive over clips; lists hold one number per frame or event."""

    present: int = 0
    found: int = 0
    good: int = 0
    good_fresh: int = 0
    absent: int = 0
    false_fresh: int = 0
    waits_s: list[float] = field(default_factory=list)
    never: int = 0
    centre_errors: list[float] = field(default_factory=list)
    jitter_centre: list[float] = field(default_factory=list)
    jitter_size: list[float] = field(default_factory=list)
    tracks: int = 0

    def __iadd__(self, other: Scores) -> Scores:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)
        return self


def read_truth(path: Path, width: int, height: int) -> list[Truth]:
    """Truth of one clip from its `.gt.jsonl`; boxes there are in pixels of the frame."""
    truth = []
    for line in path.read_text().splitlines():
        row: dict[str, Any] = json.loads(line)
        boxes = tuple(
            (b[0] / width, b[1] / height, b[2] / width, b[3] / height)
            for b in (thing["box"] for thing in row["objects"])
        )
        damaged = not DAMAGED.isdisjoint(row.get("events", ()))
        truth.append(Truth(row["t"], boxes, row["present"], damaged))
    return truth


def score(reports: list[Report], truth: list[Truth]) -> Scores:
    """Judge the reports of one clip; damaged frames count only where nothing is in view."""
    scores = Scores(tracks=len({r.tid for r in reports if r.tid is not None}))
    last_seen_s = -math.inf
    for report, true in zip(reports, truth, strict=True):
        if true.boxes:
            last_seen_s = true.t_s
        elif true.t_s - last_seen_s > AFTERGLOW_S:
            scores.absent += 1
            scores.false_fresh += report.fresh
        if true.present and not true.damaged:
            _score_box(scores, report, true)
    _score_waits(scores, reports, truth)
    _score_jitter(scores, reports, truth)
    return scores


def _score_box(scores: Scores, report: Report, true: Truth) -> None:
    scores.present += 1
    if report.box is None:
        return
    nearest = _nearest(report.box, true)
    good = iou(report.box, nearest) >= GOOD_IOU
    scores.found += 1
    scores.good += good
    scores.good_fresh += good and report.fresh
    (x, y, *_), (true_x, true_y, *_) = parameters(report.box), parameters(nearest)
    scores.centre_errors.append(math.hypot(x - true_x, y - true_y))


def _score_waits(scores: Scores, reports: list[Report], truth: list[Truth]) -> None:
    """Time from the asset coming into view to the first fresh box that fits it, for each time it comes."""
    came_s: float | None = None  # in view since then and not yet found
    in_view = False
    for report, true in zip(reports, truth, strict=True):
        if true.present and not in_view:
            in_view, came_s = True, true.t_s
        if came_s is not None and _fitting_truth(report, true) is not None:
            scores.waits_s.append(true.t_s - came_s)
            came_s = None
        if not true.boxes:
            scores.never += came_s is not None
            in_view, came_s = False, None
    scores.never += came_s is not None


def _score_jitter(scores: Scores, reports: list[Report], truth: list[Truth]) -> None:
    """Second differences, over three frames running, of the error of centre and log size."""
    errors: list[NDArray[np.float64] | None] = []
    for report, true in zip(reports, truth, strict=True):
        fitting = None if true.damaged else _fitting_truth(report, true)
        if fitting is None or report.box is None:
            errors.append(None)
        else:
            errors.append(np.array(parameters(report.box)) - parameters(fitting))
    for a, b, c in zip(errors, errors[1:], errors[2:], strict=False):
        if a is not None and b is not None and c is not None:
            x, y, w, h = (a - 2 * b + c).tolist()
            scores.jitter_centre += [x, y]
            scores.jitter_size += [w, h]


def _fitting_truth(report: Report, true: Truth) -> Box | None:
    """The truth that a fresh box fits; None when it is not fresh or fits none."""
    if not (report.fresh and report.box is not None and true.present):
        return None
    nearest = _nearest(report.box, true)
    return nearest if iou(report.box, nearest) >= GOOD_IOU else None


def _nearest(box: Box, true: Truth) -> Box:
    return max(true.boxes, key=lambda b: iou(box, b))
