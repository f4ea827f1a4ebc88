"""What every training here shares around its optimiser: learning rate over time, state as named tensors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import torch

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
    """`optim.<parameter>.<slot>` of every parameter, and `scaler.scale` where loss scaling is on."""
    tensors: dict[str, Tensor] = {}
    for i, slot in optimizer.state_dict()["state"].items():
        tensors |= {f"optim.{i}.{k}": torch.as_tensor(v) for k, v in slot.items() if v is not None}
    if scaler.is_enabled():
        tensors["scaler.scale"] = torch.tensor(scaler.get_scale())
    return tensors


def load_optimizer_state(
    optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, tensors: dict[str, Tensor]
) -> None:
    """The reverse of `optimizer_state`. Raises LookupError or ValueError for another network's state."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    slots: dict[int, dict[str, Tensor]] = {}
    for key, value in part_of(tensors, "optim.").items():
        i, _, name = key.partition(".")
        like = params[int(i)].detach()  # the same memory layout as the weights, for speed
        slots.setdefault(int(i), {})[name] = (
            torch.empty_like(like).copy_(value) if value.shape == like.shape else value
        )
    packed = optimizer.state_dict()
    optimizer.load_state_dict({"state": slots, "param_groups": packed["param_groups"]})
    if "scaler.scale" in tensors and scaler.is_enabled():
        scaler.load_state_dict(scaler.state_dict() | {"scale": float(tensors["scaler.scale"])})


def part_of(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose name begins with `prefix`, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
