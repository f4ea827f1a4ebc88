"""What the localizer is fitted to: CPA on pseudo-pixels, CLS through the classifier, CRF on colours, class.

Batch + (map, class) logits ──▶ the losses of one step by name, and their weighted sum
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from train.crf import normalised_crf_loss
from train.items import seed_inputs
from train.localizer import foreground
from train.losses import classifier_loss, partial_cross_entropy, soft_cross_entropy
from train.sampling import IGNORE, sample_seeds
from train.shared import Timer
from train.tensors import autocast, normalise, stack_images

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from train.classifier import Classifier
    from train.config import TrainConfig
    from train.distributed import World
    from train.items import Item


@dataclass(frozen=True)
class Batch:
    """This process's share of one step, on the device.

    rgb: (N, 3, S, S) uint8 views. targets: (N,) int64 classes. positive: (N,) bool, photos with an object.
    labels: (N, S, S) int64 pseudo-pixels: 0, 1 or IGNORE. attention: (N, S, S) float32 in [0, 1], the
    selected map of each view. target: (N, S, S) float32 in [0, 1], what the maps shall be; None:
    pseudo-pixels teach.
    """

    rgb: Tensor
    targets: Tensor
    positive: Tensor
    labels: Tensor
    attention: Tensor
    target: Tensor | None = None


class Objective:
    """The losses of the paper's section 3.3 and ours, weighed as configured."""

    def __init__(
        self,
        classifier: Classifier,
        negative: int | None,
        config: TrainConfig,
        device: torch.device,
        world: World,
        seconds: dict[str, float],
    ) -> None:
        """`seconds`: time spent is added to it, by part."""
        self._classifier = classifier.to(device)
        self._negative, self._config, self._device, self._world = negative, config, device, world
        self._seconds = seconds

    def batch(self, items: Sequence[Item], seed: int) -> Batch:
        """Stack the views and draw their pseudo-pixels; `seed` alone decides the draw."""
        with Timer(self._seconds, "seeds"):
            rgb = stack_images([item.image_bgr_u8 for item in items]).to(self._device)
            targets = torch.tensor([item.label for item in items], device=self._device)
            positive = targets != (-1 if self._negative is None else self._negative)
            targeted = [item.target for item in items if item.target is not None]
            if targeted:
                target = torch.from_numpy(np.stack(targeted)).to(self._device)
                unlabelled = torch.full(target.shape, IGNORE, dtype=torch.int64, device=self._device)
                return Batch(rgb, targets, positive, unlabelled, target, target)
            inputs = seed_inputs(items, ~positive, self._config, self._device)
            generator = torch.Generator(self._device).manual_seed(seed)
            labels = sample_seeds(inputs, self._config.sampling, generator, self._config.selftrain)
            for i, item in enumerate(items):
                if item.labels is not None:
                    labels[i] = torch.from_numpy(item.labels).to(self._device)
        return Batch(rgb, targets, positive, labels, inputs.attention)

    def losses(
        self, batch: Batch, map_logits: Tensor, class_logits: Tensor, epoch: int, index: int
    ) -> dict[str, Tensor]:
        """Scalars by name; "total" is what is descended.

        Args:
            map_logits: (N, 2, S, S) float32. class_logits: (N, classes). epoch, index: position in the run;
                some losses act in some steps only.
        """
        weights = self._config.losses
        mine = self._world.weight(len(batch.targets))
        head = F.cross_entropy(class_logits.float(), batch.targets)
        if batch.target is not None:
            own = soft_cross_entropy(map_logits, batch.target)
            return {"own": own, "head": head, "total": mine * (own + weights.head * head)}
        labelled = self._world.mean((batch.labels != IGNORE).sum())
        losses = {
            "cpa": partial_cross_entropy(map_logits, batch.labels, labelled),
            "head": head,
        }
        mine_positive = self._world.weight(int(batch.positive.sum()))
        total = weights.cpa * losses["cpa"] + mine * weights.head * losses["head"]
        for name, weight, value in self._on_positive(batch, map_logits, epoch, index):
            losses[name] = value
            total = total + mine_positive * weight * value
        losses.setdefault("area", total * 0)
        return losses | {"total": total}

    def _on_positive(
        self, batch: Batch, map_logits: Tensor, epoch: int, index: int
    ) -> Iterator[tuple[str, float, Tensor]]:
        """Name, weight and value of the losses of this step that only photos with an object have."""
        if not bool(batch.positive.any()):
            return
        weights, rgb, targets = self._config.losses, batch.rgb[batch.positive], batch.targets[batch.positive]
        logits = map_logits[batch.positive]
        if weights.crf and index % weights.crf_every == 0:
            with Timer(self._seconds, "crf"):
                crf = normalised_crf_loss(rgb, logits.softmax(1), scale=weights.crf_scale)
            yield "crf", weights.crf * weights.crf_every, crf
        if weights.cls and epoch >= weights.cls_from_epoch and (index + 1) % weights.cls_every == 0:
            with Timer(self._seconds, "cls"):
                shown = (
                    batch.attention[batch.positive]
                    if weights.cls_source == "attention"
                    else foreground(logits)
                )
                cls = self._through_classifier(rgb, shown, targets)
            yield "cls", weights.cls, cls
        if weights.rest and self._negative is not None:
            with Timer(self._seconds, "cls"):
                nothing = torch.full_like(targets, self._negative)
                rest = self._through_classifier(rgb, 1 - foreground(logits), nothing)
            yield "rest", weights.rest, rest
        # First learn where the object is, then how far it reaches.
        yield "area", weights.area if epoch >= 1 else 0.0, foreground(logits).mean()

    def _through_classifier(self, rgb: Tensor, mask: Tensor, targets: Tensor) -> Tensor:
        teacher = self._classifier
        images = normalise(rgb, teacher.mean, teacher.std)
        with autocast(self._device):
            return classifier_loss(teacher, images, mask, targets)
