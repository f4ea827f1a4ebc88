"""HaS: a CAM network that never sees the whole photo, so that it cannot rest on one part of the object.

Singh & Lee, "Hide-and-Seek" (ICCV 2017).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from train.baselines.base import cross_entropy
from train.baselines.cam import Cam, cub_rates
from train.baselines.config import MethodSettings
from train.config_limits import AT_LEAST_ONE, SHARE

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class HasSettings(MethodSettings):
    """How much is hidden."""

    grid: int = 56  # side of a tile, px of the training crop
    drop: float = 0.5  # chance of a tile to be hidden


class HideAndSeek(Cam):
    """CAM with hidden tiles in training."""

    Settings = HasSettings
    RULES: ClassVar[Mapping[str, str]] = {"grid": AT_LEAST_ONE, "drop": SHARE}
    PAPER: ClassVar[Mapping[str, Any]] = cub_rates(3.62e-3) | {"baseline.grid": 120, "baseline.drop": 0.66}

    def losses(self, x: Tensor, targets: Tensor) -> dict[str, Tensor]:
        settings = self.config.baseline
        assert isinstance(settings, HasSettings)
        return {"class": cross_entropy(self.logits(hide(x, settings.grid, settings.drop)), targets)}


def hide(x: Tensor, grid: int, drop: float) -> Tensor:
    """Square tiles of `grid` px set to 0 (the mean colour), each with chance `drop`, drawn per photo.

    Args:
        x: (N, 3, H, W) float, normalised.
    """
    rows, columns = -(-x.shape[2] // grid), -(-x.shape[3] // grid)
    kept = torch.rand(len(x), 1, rows, columns, device=x.device) >= drop
    mask = kept.repeat_interleave(grid, 2).repeat_interleave(grid, 3)[:, :, : x.shape[2], : x.shape[3]]
    return x * mask
