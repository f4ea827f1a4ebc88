"""What is kept of a split while its score maps stream by: curves, counts and small rows, no maps.

(photo, map, class probabilities) ──add──▶ SplitScores ──▶ train.evaluation.evaluate
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_runtime.boxes import find_candidates, presence_score
from edge_runtime.errors import DatasetError
from edge_runtime.presence import object_probability
from train.evaluation.metrics import SIDE, THRESHOLDS, boxes_per_threshold, scale_boxes
from train.evaluation.metrics_errors import ErrorCounts
from train.evaluation.metrics_pixels import PixelPrecision, read_mask
from train.evaluation.metrics_scores import AccuracyCurve, top_k_classes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from train.data.types import Image
    from train.proposals import Proposal


class PresenceRule(Enum):
    """What says that an object is in view, as a score in [0, 1].

    `MAP`: how warm the map is (`edge_runtime.boxes.presence_score`), as in flight. `CLASS`: probability of
    any class but the negative one, for maps that are stretched to [0, 1] whatever the photo shows.
    """

    MAP = "map"
    CLASS = "class"

    def score(
        self, score_map: NDArray[np.float32], class_probs: NDArray[np.float32], negative: int | None
    ) -> float:
        """Presence of one photo."""
        if self is PresenceRule.MAP:
            return presence_score(score_map)
        return 1.0 if negative is None else float(1 - class_probs[negative])


DECISIONS: NDArray[np.float64] = np.round(np.arange(0.05, 0.951, 0.025), 3)  # absolute thresholds tried


@dataclass
class SplitScores:
    """What is kept of a split: curves, counts and small rows per photo, no maps.

    `decisions`: the absolute thresholds at which deployed figures can be told afterwards.
    """

    negative: int | None
    decisions: NDArray[np.float64] = field(default_factory=lambda: DECISIONS)
    presence_rule: PresenceRule = PresenceRule.MAP
    largest: AccuracyCurve = field(default_factory=AccuracyCurve)
    contours: AccuracyCurve = field(default_factory=AccuracyCurve)
    top1: AccuracyCurve = field(default_factory=AccuracyCurve)
    top5: AccuracyCurve = field(default_factory=AccuracyCurve)
    agreement: AccuracyCurve = field(default_factory=AccuracyCurve)  # with proposals, not with truth
    errors: ErrorCounts = field(default_factory=lambda: ErrorCounts(by_class=False))
    errors_by_class: ErrorCounts = field(default_factory=lambda: ErrorCounts(by_class=True))
    pixels: PixelPrecision = field(default_factory=PixelPrecision)
    class_right: list[bool] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)  # photos with boxes; rows below in the same order
    first_iou: list[NDArray[np.float64]] = field(default_factory=list)  # (decisions,)
    boxes_met: list[NDArray[np.int64]] = field(default_factory=list)  # at IoU .5, (decisions,)
    boxes: list[int] = field(default_factory=list)
    presence: list[float] = field(default_factory=list)
    positive_presence: list[float] = field(default_factory=list)  # every photo with an object
    negative_presence: list[float] = field(default_factory=list)
    positive_object: list[float] = field(default_factory=list)  # P(any object class), as the two above
    negative_object: list[float] = field(default_factory=list)
    negative_regions: list[NDArray[np.bool_]] = field(default_factory=list)  # any region, (decisions,)

    def add(
        self,
        image: Image,
        score_map: NDArray[np.float32],
        class_probs: NDArray[np.float32],
        pseudo_boxes: NDArray[np.int64] | None = None,
    ) -> None:
        """Add one photo.

        Args:
            score_map: (h, w) float32 in [0, 1], the network's own resolution.
            class_probs: (K,) float32.
            pseudo_boxes: (1, 4) int, the top proposal in pixels of the photo, to measure agreement with.

        Raises:
            DatasetError: a photo with an object, in a split with boxes, that has none.
        """
        presence = self.presence_rule.score(score_map, class_probs, self.negative)
        object_p = object_probability(class_probs.tolist(), self.negative)
        self.class_right.append(int(class_probs.argmax()) == image.label)
        if image.label == self.negative:
            self.negative_presence.append(presence)
            self.negative_object.append(object_p)
            regions = [bool(find_candidates(score_map, float(t))) for t in self.decisions]
            self.negative_regions.append(np.array(regions))
            return
        self.positive_presence.append(presence)
        self.positive_object.append(object_p)
        if pseudo_boxes is not None:
            boxes = boxes_per_threshold(protocol_map(score_map), THRESHOLDS, multi_contour=False)
            self.agreement.add(boxes.best_iou(scale_boxes(pseudo_boxes, (image.width, image.height))))
        if image.masks:
            self.pixels.add(protocol_map(score_map), read_mask(image.masks, image.ignore_mask))
        if image.boxes is None:
            return
        if len(image.boxes) == 0:
            raise DatasetError(
                f"{image.image_id}: no box, but it is not of the negative class; draw one, or name the "
                "negative class"
            )
        self.ids.append(image.image_id)
        self.presence.append(presence)
        self._add_protocol(image, score_map, class_probs)
        self._add_deployed(image, score_map)

    def _add_protocol(
        self, image: Image, score_map: NDArray[np.float32], class_probs: NDArray[np.float32]
    ) -> None:
        small = protocol_map(score_map)
        truth = scale_boxes(np.asarray(image.boxes), (image.width, image.height))
        boxes = boxes_per_threshold(small, THRESHOLDS, multi_contour=False)
        curve = boxes.best_iou(truth)
        right = image.label in top_k_classes(class_probs, 1)
        self.largest.add(curve)
        self.top1.add(curve, counts=right)
        self.top5.add(curve, counts=image.label in top_k_classes(class_probs, 5))
        self.errors.add(boxes, truth, class_right=right)
        self.errors_by_class.add(boxes, truth, class_right=right)
        self.contours.add(boxes_per_threshold(small, THRESHOLDS, multi_contour=True).best_iou(truth))

    def _add_deployed(self, image: Image, score_map: NDArray[np.float32]) -> None:
        truth = true_boxes(image)
        first, met = np.zeros(len(self.decisions)), np.zeros(len(self.decisions), np.int64)
        for k, threshold in enumerate(self.decisions):
            candidates = find_candidates(score_map, float(threshold))
            if candidates:
                ious = box_ious(np.array([c.box_xyxy for c in candidates]), truth)
                first[k] = ious[0].max()
                met[k] = int((ious >= 0.5).any(axis=0).sum())
        self.first_iou.append(first)
        self.boxes_met.append(met)
        self.boxes.append(len(truth))


def pseudo_boxes(
    images: Sequence[Image], proposals: Sequence[Sequence[Proposal]]
) -> dict[str, NDArray[np.int64]]:
    """(1, 4) pixels of the best proposal by photo id, for photos that have one."""
    found = {}
    for image, best_first in zip(images, proposals, strict=True):
        if best_first:
            box = np.array(best_first[0].box) * np.array([image.width, image.height] * 2)
            ends = np.maximum(np.round(box[2:]) - 1, np.round(box[:2]))  # end pixels belong to the box
            found[image.image_id] = np.concatenate([np.round(box[:2]), ends])[None].astype(np.int64)
    return found


def protocol_map(score_map: NDArray[np.float32]) -> NDArray[np.float64]:
    """A map at the protocol's 224 x 224, float64 in [0, 1]."""
    if score_map.shape != (SIDE, SIDE):
        score_map = np.asarray(cv2.resize(score_map, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR))
    return np.clip(score_map.astype(np.float64), 0.0, 1.0)


def true_boxes(image: Image) -> NDArray[np.float64]:
    """(n, 4) half-open boxes as fractions of the photo; its end pixels belong to a box. n = 0 without."""
    if image.boxes is None:
        return np.zeros((0, 4))
    size = np.array([image.width, image.height] * 2)
    return np.asarray((image.boxes + np.array([0, 0, 1, 1])) / size, dtype=np.float64)


def box_ious(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, m) IoU of half-open boxes (n, 4) and (m, 4)."""
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    inter = np.clip(sides, 0, None).prod(-1)
    area_a, area_b = (a[:, 2:] - a[:, :2]).prod(-1), (b[:, 2:] - b[:, :2]).prod(-1)
    return np.asarray(inter / np.maximum(area_a[:, None] + area_b[None] - inter, 1e-12))
