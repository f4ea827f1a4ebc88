"""A baseline's epochs: one optimiser step, and the look at val that belongs to it.

photo ──view──▶ network ──losses──▶ step ──epochs──▶ last.safetensors, localizer.safetensors
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import torch

from train.baselines.explain import build_baseline, predict_baseline
from train.checkpoint import FILES
from train.data.imageio import read_image_bgr
from train.data.loader import epoch_batches
from train.epochs import Course, Outcome, run_epochs
from train.evaluation.split_scores import PresenceRule
from train.optimizer import load_optimizer_state, lr_factor, optimizer_state
from train.optimstate import part_of
from train.selection import BY_PROTOCOL
from train.shared import Timer
from train.tensors import autocast, speed_up_training, stack_images
from train.validate import Glance, judge_predictions
from train.views import draw_view, render, rng_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from train.baselines.base import Baseline
    from train.baselines.config import BaselineConfig
    from train.shared import Run

    Item = tuple[NDArray[np.uint8], int]

VIEW_STREAM, STEP_STREAM = 5, 6


def learn(run: Run[BaselineConfig], meta: Mapping[str, object]) -> Outcome:
    """Train from where the run stands to its last epoch; `meta` travels with the checkpoints.

    Raises:
        TrainingError: a loss is not finite, or a checkpoint cannot be written.
        ModelError: the run began with another data set.
    """
    config, dataset = run.config, run.dataset
    images, optim, photos = dataset.splits["train"], config.optim, config.photos
    labels = [image.label for image in images]

    def load(epoch: int, index: int) -> Item:
        view = draw_view(rng_for(config.seed, epoch, index, VIEW_STREAM), photos.crop)
        return render(read_image_bgr(images[index].path), view, photos.size)[0], labels[index]

    def batches(epoch: int) -> list[list[int]]:
        return epoch_batches(labels, dataset.negative, optim.negatives, optim.batch_size, config.seed, epoch)

    by_boxes = dataset.has_boxes("val") and config.select != "accuracy"
    course = Course(
        images=images,
        epochs=optim.epochs,
        batches=batches,
        load=load,
        score=BY_PROTOCOL.score if by_boxes else lambda seen: seen.class_acc,
        selection=BY_PROTOCOL.words if by_boxes else "class accuracy",
    )
    return run_epochs(run, BaselineLearner(run, len(batches(0))), course, meta)


class BaselineLearner:
    """Network, optimiser and schedule; one `step` per batch."""

    def __init__(self, run: Run[BaselineConfig], steps_per_epoch: int) -> None:
        torch.manual_seed(run.config.seed)
        dataset, device, optim = run.dataset, run.device, run.config.optim
        pretrained = not (run.out / FILES["last"]).exists()
        self.model = build_baseline(
            run.config, len(dataset.classes), dataset.negative, pretrained=pretrained
        ).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        speed_up_training(self.model, device)
        self._judged = copy.deepcopy(self.model).eval().requires_grad_(False)
        self._wrapped = run.world.wrap(self.model)
        self._run, self._device, self._steps = run, device, steps_per_epoch
        self._optimizer = _optimizer(self.model, run.config)
        self._base_lr = [float(group["lr"]) for group in self._optimizer.param_groups]
        self._scaler = torch.amp.GradScaler(device.type, enabled=device.type == "cuda")
        self._clip = optim.clip
        self.seconds: dict[str, float] = {}

    def step(self, items: Sequence[Item], epoch: int, index: int) -> dict[str, float]:
        """One optimiser step on this process's share of a batch; the position alone seeds every draw."""
        config, at = self._run.config, epoch * self._steps + index
        sequence = np.random.SeedSequence([config.seed, STEP_STREAM, at, self._run.world.rank])
        torch.manual_seed(int(sequence.generate_state(1)[0]))
        for group, base in zip(self._optimizer.param_groups, self._base_lr, strict=True):
            group["lr"] = base * lr_factor(config.optim, self._steps, at)
        self.model.train()
        with Timer(self.seconds, "forward"):
            rgb = stack_images([photo for photo, _ in items]).to(self._device)
            targets = torch.tensor([label for _, label in items], device=self._device)
            with autocast(self._device):
                losses: dict[str, Tensor] = self._wrapped(rgb, targets)
        with Timer(self.seconds, "backward"):
            self._optimizer.zero_grad()
            total = losses["total"] * self._run.world.weight(len(items))  # shares may be unequal
            self._scaler.scale(total).backward()  # type: ignore[no-untyped-call]
            self._scaler.unscale_(self._optimizer)
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self._clip)
            self._scaler.step(self._optimizer)
            self._scaler.update()
        values = {name: float(value.detach()) for name, value in losses.items()}
        return values | {"lr": float(self._optimizer.param_groups[0]["lr"])}

    def look(self) -> Glance:
        """Judge the network on val."""
        self._judged.load_state_dict(self.model.state_dict())
        images, negative = self._run.dataset.splits["val"], self._run.dataset.negative
        index_of = {image.image_id: i for i, image in enumerate(images)}
        found = predict_baseline(self._judged, images, workers=self._run.workers, fast=True)
        indexed = ((index_of[image.image_id], score_map, probs) for image, score_map, probs in found)
        return judge_predictions(indexed, images, None, negative, PresenceRule.CLASS)

    def evaluated_state(self) -> Mapping[str, Tensor]:
        """The network's weights."""
        return dict(self.model.state_dict())

    def state(self) -> dict[str, Tensor]:
        """Everything a resumed run needs, as named tensors."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= optimizer_state(self._optimizer, self._scaler)
        return {k: v.clone() for k, v in tensors.items()}

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """The reverse of `state`. Raises RuntimeError, KeyError or ValueError for another network's state."""
        self.model.load_state_dict(part_of(tensors, "model."))
        load_optimizer_state(self._optimizer, self._scaler, tensors)


def _optimizer(model: Baseline, config: BaselineConfig) -> torch.optim.Optimizer:
    settings = config.optim
    fast = model.fast_parameters()
    ids = {id(p) for p in fast}
    slow = [p for p in model.parameters() if id(p) not in ids]
    groups = [{"params": fast, "lr": settings.lr}, {"params": slow, "lr": settings.encoder_lr}]
    if settings.name == "sgd":
        return torch.optim.SGD(groups, momentum=0.9, nesterov=True, weight_decay=settings.weight_decay)
    return torch.optim.AdamW(groups, weight_decay=settings.weight_decay)
