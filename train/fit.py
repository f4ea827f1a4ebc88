"""Fit the localizer: one optimiser step per batch, and everything a resumed run needs of it.

Items ──▶ views, pseudo-pixels ──U-Net──▶ map, class ──Objective──▶ losses ──▶ step ──▶ last.safetensors
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from train.objective import Objective
from train.optimizer import load_optimizer_state, lr_factor, optimizer_state
from train.optimstate import part_of
from train.shared import Timer
from train.tensors import autocast, normalise, speed_up_training

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from train.classifier import Classifier
    from train.config import TrainConfig
    from train.distributed import World
    from train.items import Item
    from train.localizer import Localizer

STEP_STREAM = 4
POLISH_WARMUP = 0.1  # share of the steps of the last epochs


class Fitter:
    """Model, optimiser and schedule; one `step` per batch."""

    def __init__(
        self,
        model: Localizer,
        classifier: Classifier,
        negative: int | None,
        config: TrainConfig,
        steps_per_epoch: int,
        device: torch.device,
        world: World,
        *,
        polish_steps: int = 1,
    ) -> None:
        """`polish_steps`: in each of the epochs that polish."""
        self.model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        speed_up_training(self.model, device)
        speed_up_training(classifier, device)
        self._wrapped = world.wrap(self.model)
        self._config, self._device, self._world = config, device, world
        self.seconds: dict[str, float] = {}
        self._objective = Objective(classifier, negative, config, device, world, self.seconds)
        self._steps_per_epoch, self._polish_steps = steps_per_epoch, polish_steps
        self._optimizer = _optimizer(self.model, config)
        self._base_lr = [float(group["lr"]) for group in self._optimizer.param_groups]
        self._scaler = torch.amp.GradScaler(device.type, enabled=device.type == "cuda")
        self._ema = (
            {k: v.detach().clone() for k, v in self.model.state_dict().items()} if config.optim.ema else {}
        )

    def step(self, items: Sequence[Item], epoch: int, index: int) -> dict[str, float]:
        """One optimiser step on one batch (this process's share).

        Args:
            epoch, index: position in the run; they alone seed every random draw.

        Returns:
            Loss values by name and the learning rate; the caller checks that they are finite.
        """
        at = self._at(epoch, index)
        if (epoch, index) == (self._config.optim.epochs, 0):
            self._optimizer.state.clear()  # polish: another loss, other photos, other batches
        sequence = np.random.SeedSequence([self._config.seed, STEP_STREAM, at, self._world.rank])
        seed = int(sequence.generate_state(1)[0])
        torch.manual_seed(seed)  # dropout and stochastic depth
        for group, base in zip(self._optimizer.param_groups, self._base_lr, strict=True):
            group["lr"] = base * self.lr_factor(at)
        self.model.train()
        batch = self._objective.batch(items, seed)
        part = "polish " if epoch >= self._config.optim.epochs else ""
        with Timer(self.seconds, part + "forward"):
            x = normalise(batch.rgb, self.model.mean, self.model.std)
            with autocast(self._device):
                map_logits, class_logits = self._wrapped(x.contiguous(memory_format=torch.channels_last))
        losses = self._objective.losses(batch, map_logits.float(), class_logits, epoch, index)
        with Timer(self.seconds, part + "backward"):
            self._optimizer.zero_grad()
            self._scaler.scale(losses["total"]).backward()  # type: ignore[no-untyped-call]
            self._scaler.unscale_(self._optimizer)
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self._config.optim.clip)
            self._scaler.step(self._optimizer)
            self._scaler.update()
            self._update_ema()
        values = {name: float(value.detach()) for name, value in losses.items()}
        return values | {"lr": float(self._optimizer.param_groups[0]["lr"])}

    def lr_factor(self, at: int) -> float:
        """Share of the base learning rates at global step `at`."""
        optim, polish = self._config.optim, self._config.polish
        before = optim.epochs * self._steps_per_epoch
        if at < before or not polish.epochs:
            return lr_factor(optim, self._steps_per_epoch, at)
        course = replace(optim, schedule="cosine", warmup=POLISH_WARMUP, epochs=polish.epochs)
        return polish.lr * lr_factor(course, self._polish_steps, at - before)

    def _at(self, epoch: int, index: int) -> int:
        """Steps of the run before step `index` of `epoch`."""
        main = min(epoch, self._config.optim.epochs)
        return main * self._steps_per_epoch + (epoch - main) * self._polish_steps + index

    def _update_ema(self) -> None:
        decay = self._config.optim.ema
        with torch.no_grad():
            for name, value in self.model.state_dict().items() if self._ema else ():
                if value.is_floating_point():
                    self._ema[name].lerp_(value, 1 - decay)
                else:
                    self._ema[name].copy_(value)

    def evaluated_state(self) -> dict[str, Tensor]:
        """Weights that are judged and flown: the average when there is one."""
        return self._ema or dict(self.model.state_dict())

    def state(self) -> dict[str, Tensor]:
        """Everything a resumed run needs, as named tensors."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"ema.{k}": v for k, v in self._ema.items()}
        tensors |= optimizer_state(self._optimizer, self._scaler)
        return {k: v.clone() for k, v in tensors.items()}

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """The reverse of `state`. Raises RuntimeError, KeyError or ValueError for another network's state."""
        self.model.load_state_dict(part_of(tensors, "model."))
        self._ema = {k: v.to(self._device) for k, v in part_of(tensors, "ema.").items()}
        load_optimizer_state(self._optimizer, self._scaler, tensors)


def _optimizer(model: Localizer, config: TrainConfig) -> torch.optim.Optimizer:
    settings = config.optim
    encoder = list(model.unet.encoder.parameters())
    ids = {id(p) for p in encoder}
    rest = [p for p in model.parameters() if id(p) not in ids]
    groups = [{"params": rest, "lr": settings.lr}, {"params": encoder, "lr": settings.encoder_lr}]
    if settings.name == "sgd":
        return torch.optim.SGD(groups, momentum=0.9, nesterov=True, weight_decay=settings.weight_decay)
    return torch.optim.AdamW(groups, weight_decay=settings.weight_decay)
