"""An optimiser's memory as named tensors, for checkpoints that unpickle nothing.

optimiser ──pack──▶ {"optim.<parameter>.<name>": tensor} ──unpack──▶ the same optimiser, to the bit
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

PREFIX = "optim."


def pack_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What the optimiser remembers of each parameter; learning rates are not part of it."""
    return {
        f"{PREFIX}{i}.{name}": torch.as_tensor(value)
        for i, slot in optimizer.state_dict()["state"].items()
        for name, value in slot.items()
        if value is not None
    }


def unpack_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """The reverse; names that do not begin with `optim.` are left alone.

    Raises:
        IndexError, ValueError: the state of another network.
    """
    params = [p for group in optimizer.param_groups for p in group["params"]]
    slots: dict[int, dict[str, Tensor]] = {}
    for key, value in part_of(tensors, PREFIX).items():
        i, _, name = key.partition(".")
        like = params[int(i)].detach()  # the same memory layout as the weights, for speed
        slots.setdefault(int(i), {})[name] = (
            torch.empty_like(like).copy_(value) if value.shape == like.shape else value
        )
    packed = optimizer.state_dict()
    optimizer.load_state_dict({"state": slots, "param_groups": packed["param_groups"]})


def part_of(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose name begins with `prefix`, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
