"""A cheap look at val after each epoch: does the map agree with boxes, or else with proposals?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from calibration.thresholds import best_stretch
from edge_runtime.preprocess import resize_frame
from train.data.imageio import read_image_bgr
from train.data.loader import PhotoLoader
from train.evaluation.metrics_scores import presence_auc, quick_curve
from train.evaluation.split_scores import PresenceRule
from train.localizer import Localizer, foreground
from train.tensors import autocast, normalise, stack_images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from train.data.types import Image
    from train.proposals import Proposal

BATCH = 8
MAP_SIDE = 224  # the protocol judges maps of this side
DELTAS = (0.3, 0.5, 0.7)


@dataclass(frozen=True)
class Glance:
    """Figures of one look at val, in percent.

    `boxes`: mean over IoU .3/.5/.7 of the best accuracy over thresholds against annotated boxes, None
    without any. `steady`: the same of the best stretch of thresholds: what one that is somewhat off still
    gives. `agreement`: as `boxes`, against top-1 proposals. `class_acc`: class head.
    `separation`: AUC of the presence score, positives against negatives, None without negatives.
    """

    boxes: float | None
    steady: float | None
    agreement: float | None
    class_acc: float
    separation: float | None


def predict_maps(
    model: Localizer, images: Sequence[Image], side: int, workers: int
) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.float32]]]:
    """(index, map (side, side) float32 in [0, 1], class probabilities) of every readable photo."""
    device = next(model.parameters()).device

    def load(_epoch: int, index: int) -> tuple[int, NDArray[np.uint8]]:
        return index, resize_frame(read_image_bgr(images[index].path), side, side)

    batches = [list(range(i, min(i + BATCH, len(images)))) for i in range(0, len(images), BATCH)]
    with PhotoLoader(load, workers) as loader:
        for items in loader.tolerant(0, batches):
            if not items:
                continue
            x = normalise(stack_images([photo for _, photo in items]).to(device), model.mean, model.std)
            with torch.inference_mode(), autocast(device):
                map_logits, class_logits = model(x.contiguous(memory_format=torch.channels_last))
            maps, probs = foreground(map_logits).cpu().numpy(), class_logits.float().softmax(1).cpu().numpy()
            yield from ((i, m, p) for (i, _), m, p in zip(items, maps, probs, strict=True))


def glance(
    model: Localizer,
    images: Sequence[Image],
    proposals: Sequence[Sequence[Proposal]],
    negative: int | None,
    side: int,
    workers: int,
) -> Glance:
    """Look at val once. `proposals` are per photo, best first."""
    was_training = model.training
    model.eval()
    seen = judge_predictions(predict_maps(model, images, side, workers), images, proposals, negative)
    model.train(was_training)
    return seen


def judge_predictions(
    predictions: Iterable[tuple[int, NDArray[np.float32], NDArray[np.float32]]],
    images: Sequence[Image],
    proposals: Sequence[Sequence[Proposal]] | None,
    negative: int | None,
    presence: PresenceRule = PresenceRule.MAP,
) -> Glance:
    """The same for predictions that are already being made: (index, map, class probabilities)."""
    box_curves, proposal_curves, right = [], [], []
    scores: dict[bool, list[float]] = {True: [], False: []}
    for i, score_map, class_probs in predictions:
        image = images[i]
        right.append(int(class_probs.argmax()) == image.label)
        scores[image.label != negative].append(presence.score(score_map, class_probs, negative))
        if image.label == negative:
            continue
        small = np.clip(cv2.resize(score_map, (MAP_SIDE, MAP_SIDE), interpolation=cv2.INTER_LINEAR), 0, 1)
        size = (image.width, image.height)
        if image.boxes is not None and len(image.boxes):
            box_curves.append(quick_curve(small, image.boxes, size))
        if proposals is not None and proposals[i]:
            scale = np.array([image.width, image.height] * 2)
            pseudo = np.round(np.array([proposals[i][0].box]) * scale).astype(np.int64)
            proposal_curves.append(quick_curve(small, pseudo, size))
    return Glance(
        boxes=_score(box_curves),
        steady=_score(box_curves, best_stretch),
        agreement=_score(proposal_curves),
        class_acc=100.0 * sum(right) / max(1, len(right)),
        separation=presence_auc(scores[True], scores[False]),
    )


def _score(
    curves: list[NDArray[np.float64]],
    best: Callable[[NDArray[np.float64]], float] = np.max,
) -> float | None:
    """`best`: (thresholds,) accuracies to the one that counts."""
    if not curves:
        return None
    ious = np.stack(curves)  # (photos, thresholds)
    return float(np.mean([100.0 * best((ious >= delta).mean(0)) for delta in DELTAS]))
