"""Photos of the report: which ones to show, and each with its map, the reported box and the true boxes.

predictions ──judge──▶ Shot per photo ──choose──▶ best, worst, false alarms, random ──draw──▶ JPEG
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_runtime.boxes import Decision, decode_map, find_candidates
from train.data.imageio import read_image_bgr
from train.evaluation.split_scores import PresenceRule, box_ious, true_boxes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from train.data.types import Image
    from train.evaluation.evaluate import Prediction, Thresholds

    Color = tuple[int, int, int]

WIDTH = 400  # px of a drawn photo
TRUE_BGR: Color = (190, 212, 45)
FOUND_BGR: Color = (30, 150, 255)
_KEPT_SIDE = 128  # maps are kept small until it is known which photos are shown
_TINT = 0.45
_JPEG_QUALITY = 82


@dataclass(frozen=True)
class Shot:
    """One judged photo. `iou`: of the first reported box with any true box, None without true boxes."""

    image: Image
    small_map: NDArray[np.uint8]
    decision: Decision
    iou: float | None
    label: int
    confidence: float


def judge(
    predictions: Iterable[Prediction],
    thresholds: Thresholds,
    negative: int | None = None,
    presence: PresenceRule = PresenceRule.MAP,
) -> list[Shot]:
    """Decode every photo by the deployed rule; `negative` matters to `PresenceRule.CLASS` only."""
    shots = []
    for image, score_map, class_probs in predictions:
        if presence is PresenceRule.MAP:
            decision = decode_map(score_map, thresholds.decision, thresholds.presence)
        else:
            warm = presence.score(score_map, class_probs, negative)
            found = find_candidates(score_map, thresholds.decision) if warm >= thresholds.presence else ()
            decision = Decision(bool(found), warm, found)
        small = cv2.resize(score_map, (_KEPT_SIDE, _KEPT_SIDE), interpolation=cv2.INTER_AREA)
        label = int(class_probs.argmax())
        kept = (np.clip(small, 0, 1) * 255).astype(np.uint8)
        shots.append(Shot(image, kept, decision, _iou(image, decision), label, float(class_probs[label])))
    return shots


def choose(shots: list[Shot], negative: int | None, count: int, seed: int) -> dict[str, list[Shot]]:
    """Up to `count` photos per group; a group without photos is left out."""
    judged = sorted((s for s in shots if s.iou is not None), key=lambda s: -(s.iou or 0.0))
    alarms = [s for s in shots if s.image.label == negative and s.decision.present]
    drawn = np.random.default_rng(seed).permutation(len(shots))[:count]
    best = min(count, (len(judged) + 1) // 2)
    groups = {
        "Best": judged[:best],
        "Worst": judged[best:][-count:][::-1],
        "False alarms": sorted(alarms, key=lambda s: -s.decision.presence)[:count],
        "Random": [shots[i] for i in sorted(drawn)],
    }
    return {name: group for name, group in groups.items() if group}


def draw(shot: Shot) -> bytes:
    """`paint` as JPEG."""
    return as_jpeg(paint(shot, WIDTH))


def as_jpeg(canvas: NDArray[np.uint8]) -> bytes:
    """(h, w, 3) BGR as the bytes of a JPEG file."""
    return cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()


def paint(shot: Shot, width: int) -> NDArray[np.uint8]:
    """The photo `width` px wide: map as a tint, true boxes, then reported boxes (the first one thicker)."""
    image = read_image_bgr(shot.image.path)
    height = max(1, round(width * image.shape[0] / image.shape[1]))
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    warm = cv2.resize(shot.small_map, (width, height), interpolation=cv2.INTER_LINEAR)
    opacity = (warm.astype(np.float32) / 255 * _TINT)[..., None]
    colors = cv2.applyColorMap(warm, cv2.COLORMAP_INFERNO)
    canvas = np.asarray(small * (1 - opacity) + colors * opacity, dtype=np.uint8)
    size = np.array([width, height] * 2)
    for box in true_boxes(shot.image):
        _rectangle(canvas, box * size, TRUE_BGR, 2)
    for rank, candidate in enumerate(shot.decision.candidates):
        _rectangle(canvas, np.array(candidate.box_xyxy) * size, FOUND_BGR, 1 if rank else 3)
    return canvas


def _iou(image: Image, decision: Decision) -> float | None:
    truth = true_boxes(image)
    if not len(truth):
        return None
    if not decision.candidates:
        return 0.0
    return float(box_ious(np.array([decision.candidates[0].box_xyxy]), truth).max())


def _rectangle(canvas: NDArray[np.uint8], box: NDArray[np.float64], color: Color, thick: int) -> None:
    x0, y0, x1, y1 = (round(v) for v in box.tolist())
    for ink, width in (((20, 20, 20), thick + 2), (color, thick)):
        cv2.rectangle(canvas, (x0, y0), (max(x0, x1 - 1), max(y0, y1 - 1)), ink, width, cv2.LINE_AA)
