"""CutMix: a CAM network trained on photos with a piece of another photo in them, and labels mixed alike.

Yun et al., "CutMix" (ICCV 2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from train.baselines.base import cross_entropy
from train.baselines.cam import Cam, cub_rates
from train.baselines.config import MethodSettings
from train.config_limits import ABOVE_ZERO, SHARE

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class CutMixSettings(MethodSettings):
    """How photos are mixed."""

    beta: float = 1.0  # of the Beta distribution that the kept share is drawn from
    chance: float = 1.0  # of a batch to be mixed


class CutMix(Cam):
    """CAM with mixed photos in training."""

    Settings = CutMixSettings
    RULES: ClassVar[Mapping[str, str]] = {"beta": ABOVE_ZERO, "chance": SHARE}
    PAPER: ClassVar[Mapping[str, Any]] = cub_rates(2.2517e-3) | {
        "baseline.beta": 1.35,
        "baseline.chance": 0.34,
    }

    def losses(self, x: Tensor, targets: Tensor) -> dict[str, Tensor]:
        settings = self.config.baseline
        assert isinstance(settings, CutMixSettings)
        if float(torch.rand(())) >= settings.chance:
            return {"class": cross_entropy(self.logits(x), targets)}
        order = torch.randperm(len(x)).to(x.device)
        share = float(torch.distributions.Beta(settings.beta, settings.beta).sample())
        mixed, kept = paste(x, x[order], share)
        logits = self.logits(mixed)
        own, other = cross_entropy(logits, targets), cross_entropy(logits, targets[order])
        return {"class": kept * own + (1 - kept) * other}


def paste(x: Tensor, other: Tensor, share: float) -> tuple[Tensor, float]:
    """`x` with a box of `other`, the same for the whole batch, and the share of `x` that is left.

    The box has sqrt(1 - share) of each side, lies anywhere and is cut off at the border.
    """
    height, width = x.shape[2:]
    side = (1 - share) ** 0.5
    (y0, y1), (x0, x1) = (_span(size, side) for size in (height, width))
    mixed = x.clone()
    mixed[:, :, y0:y1, x0:x1] = other[:, :, y0:y1, x0:x1]
    return mixed, 1 - (y1 - y0) * (x1 - x0) / (height * width)


def _span(size: int, share: float) -> tuple[int, int]:
    cut, middle = int(size * share), int(torch.randint(size, ()))
    return max(0, middle - cut // 2), min(size, middle + cut // 2)
