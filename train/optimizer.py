"""What every training shares around its optimiser: learning rate over time, its state, loss scaling's."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import torch

from train.optimstate import pack_optimizer, unpack_optimizer

if TYPE_CHECKING:
    from torch import Tensor


class Schedule(Protocol):
    """The part of the settings that shapes the learning rate; see `train.config.OptimConfig`."""

    @property
    def schedule(self) -> str: ...
    @property
    def warmup(self) -> float: ...
    @property
    def step_epochs(self) -> int: ...
    @property
    def epochs(self) -> int: ...


def lr_factor(settings: Schedule, steps_per_epoch: int, at: int) -> float:
    """Share of the base learning rate at global step `at`: warm-up and cosine, or steps of 0.1."""
    if settings.schedule == "step":
        return float(0.1 ** (at // (steps_per_epoch * settings.step_epochs)))
    total = steps_per_epoch * settings.epochs
    rise = max(1, round(settings.warmup * total))
    if at < rise:
        return 0.04 + 0.96 * at / rise
    return 0.5 * (1 + math.cos(math.pi * (at - rise) / max(1, total - rise)))


def optimizer_state(optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler) -> dict[str, Tensor]:
    """`pack_optimizer`, and `scaler.scale` where loss scaling is on."""
    tensors = pack_optimizer(optimizer)
    if scaler.is_enabled():
        tensors["scaler.scale"] = torch.tensor(scaler.get_scale())
    return tensors


def load_optimizer_state(
    optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, tensors: dict[str, Tensor]
) -> None:
    """The reverse of `optimizer_state`. Raises IndexError or ValueError for another network's state."""
    unpack_optimizer(optimizer, tensors)
    if "scaler.scale" in tensors and scaler.is_enabled():
        scaler.load_state_dict(scaler.state_dict() | {"scale": float(tensors["scaler.scale"])})
