"""Self-distillation: a student follows its own average, the teacher, across crops. One step at a time.

crops ─┬─ large ──▶ teacher (average of students) ──▶ answers ─┐
       └─ all ────▶ student ─────────────────────────▶ guesses ─┴▶ loss ──▶ AdamW on the student
Source: DINO, Caron et al. 2021, arXiv 2104.14294.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from train.optimizer import load_optimizer_state, optimizer_state
from train.optimstate import part_of
from train.pretrain.heads import Branch, ProjectionHead, build_backbone
from train.pretrain.loss import Agreement, agreement
from train.pretrain.schedule import Pace, pace_at
from train.tensors import autocast, normalise, stack_images

if TYPE_CHECKING:
    from collections.abc import Sequence

    from train.distributed import World
    from train.pretrain.config import PretrainConfig
    from train.pretrain.crops import Crops

STEP_STREAM = 6


class NotFinite(Exception):
    """Loss or gradient is not a number; nothing was learned from this step."""


class Distiller:
    """Student, teacher, centre and optimiser."""

    def __init__(
        self, config: PretrainConfig, steps_per_epoch: int, device: torch.device, world: World, weights: str
    ) -> None:
        """`weights` to begin with, as for `create_timm`. Raises UsageError, TrainingError as that does."""
        self._config, self._device, self._world = config, device, world
        self._steps_per_epoch = steps_per_epoch
        torch.manual_seed(config.seed)
        net: Any = build_backbone(config.sst, config.crops, student=True, weights=weights)
        self.mean, self.std = net.pretrained_cfg["mean"], net.pretrained_cfg["std"]
        self._student = Branch(net, ProjectionHead(net.embed_dim, config.head)).to(device)
        twin = build_backbone(config.sst, config.crops, student=False, weights="none")
        self._teacher = Branch(twin, ProjectionHead(net.embed_dim, config.head)).to(device)
        self._teacher.load_state_dict(self._student.state_dict())
        self._teacher.requires_grad_(False)
        self._center = torch.zeros(config.head.prototypes, device=device)
        self._wrapped = world.wrap(self._student)
        self._optimizer = _optimizer(self._student)
        self._scaler = torch.amp.GradScaler(device.type, enabled=device.type == "cuda")

    def step(self, items: Sequence[Crops], epoch: int, index: int) -> dict[str, float]:
        """One optimiser step on one batch (this process's share).

        Args:
            epoch, index: position in the run; they alone seed every random draw.

        Returns:
            What to show, by name.

        Raises:
            NotFinite: in every process alike; weights are as before.
        """
        at = epoch * self._steps_per_epoch + index
        pace = pace_at(self._config, at, self._steps_per_epoch * self._config.optim.epochs)
        sequence = np.random.SeedSequence([self._config.seed, STEP_STREAM, at, self._world.rank])
        torch.manual_seed(int(sequence.generate_state(1)[0]))  # stochastic depth
        self._student.train()
        found = self._compare(items, pace.teacher_temp)
        loss = float(self._world.mean(found.loss.detach()))
        if not math.isfinite(loss):
            raise NotFinite("loss")
        self._learn(found.loss, pace, frozen=epoch < self._config.head.freeze_epochs)
        self._follow(found, pace)
        return {
            "loss": loss,
            "entropy": float(found.entropy),
            "used": float(found.used),
            "lr": pace.lr,
            "weight_decay": pace.weight_decay,
            "momentum": pace.momentum,
            "teacher_temp": pace.teacher_temp,
        }

    def _compare(self, items: Sequence[Crops], teacher_temp: float) -> Agreement:
        large = self._batch([item.large for item in items])
        groups = [large]
        if self._config.crops.locals:
            groups.append(self._batch([item.small for item in items]))
        with autocast(self._device):
            with torch.no_grad():
                said = self._teacher([large])
            guessed = self._wrapped(groups)
        return agreement(guessed, said, self._center, self._config.loss.student_temp, teacher_temp)

    def _batch(self, crops: Sequence[Any]) -> Tensor:
        """Photo by photo (v, s, s, 3) to one normalised batch, crop by crop: (v * N, 3, s, s)."""
        ordered = [own[v] for v in range(len(crops[0])) for own in crops]
        return normalise(stack_images(ordered).to(self._device), self.mean, self.std)

    def _learn(self, loss: Tensor, pace: Pace, *, frozen: bool) -> None:
        decays, plain = self._optimizer.param_groups
        decays["lr"] = plain["lr"] = pace.lr
        decays["weight_decay"] = pace.weight_decay
        self._optimizer.zero_grad()
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        if frozen:
            self._student.head.prototypes.grad = None
        self._scaler.unscale_(self._optimizer)
        norm = nn.utils.clip_grad_norm_(self._student.parameters(), self._config.optim.clip)
        if not self._scaler.is_enabled() and not math.isfinite(float(norm)):
            raise NotFinite("gradient")  # the scaler leaves such a step out by itself
        self._scaler.step(self._optimizer)
        self._scaler.update()

    @torch.no_grad()
    def _follow(self, found: Agreement, pace: Pace) -> None:
        """The teacher takes a step towards the student, the centre one towards the batch."""
        students, teachers = self._student.parameters(), self._teacher.parameters()
        torch._foreach_lerp_(list(teachers), list(students), 1 - pace.momentum)
        batch_center = self._world.mean(found.batch_center)
        self._center.lerp_(batch_center, 1 - self._config.loss.center_momentum)

    def backbone(self) -> dict[str, Tensor]:
        """The teacher's transformer, under timm's names: what `dips-edge train --sst-weights` takes."""
        return {k: v.detach().clone() for k, v in self._teacher.backbone.state_dict().items()}

    def state(self) -> dict[str, Tensor]:
        """Everything a resumed run needs, as named tensors."""
        tensors = {f"student.{k}": v for k, v in self._student.state_dict().items()}
        tensors |= {f"teacher.{k}": v for k, v in self._teacher.state_dict().items()}
        tensors |= optimizer_state(self._optimizer, self._scaler) | {"center": self._center}
        return {k: v.clone() for k, v in tensors.items()}

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """The reverse of `state`. Raises RuntimeError, KeyError or the like for another network's state."""
        self._student.load_state_dict(part_of(tensors, "student."))
        self._teacher.load_state_dict(part_of(tensors, "teacher."))
        self._center.copy_(tensors["center"])
        load_optimizer_state(self._optimizer, self._scaler, tensors)


def _optimizer(student: Branch) -> torch.optim.Optimizer:
    """AdamW; biases and norms are not decayed."""
    learned = [p for p in student.parameters() if p.requires_grad]
    decays, plain = [p for p in learned if p.ndim > 1], [p for p in learned if p.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": decays}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups)
