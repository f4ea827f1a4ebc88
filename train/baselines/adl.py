"""ADL: a CAM network whose most attended places are hidden from it now and then, without extra weights.

Choe & Shim, "Attention-based Dropout Layer" (CVPR 2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from train.baselines.cam import Cam, cub_rates
from train.baselines.config import MethodSettings
from train.config_limits import SHARE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from train.baselines.config import BaselineConfig


@dataclass(frozen=True)
class AdlSettings(MethodSettings):
    """How often and how much is hidden."""

    drop: float = 0.75  # chance to hide the most attended places; otherwise they are stressed
    gamma: float = 0.9  # share of the strongest attention from which on a place is hidden


class Adl(Cam):
    """CAM with dropout layers inside the backbone."""

    Settings = AdlSettings
    RULES: ClassVar[Mapping[str, str]] = {"drop": SHARE, "gamma": SHARE}
    PAPER: ClassVar[Mapping[str, Any]] = cub_rates(1.2534e-2) | {
        "baseline.drop": 0.24,
        "baseline.gamma": 0.76,
    }

    def __init__(
        self, config: BaselineConfig, classes: int, negative: int | None, *, pretrained: bool = True
    ) -> None:
        super().__init__(config, classes, negative, pretrained=pretrained)
        settings = config.baseline
        assert isinstance(settings, AdlSettings)
        for place in self.backbone.places.drops:
            self.backbone.attach(place, AttentionDropout(settings))


class AttentionDropout(nn.Module):
    """Acts in training only."""

    def __init__(self, settings: AdlSettings) -> None:
        super().__init__()
        self._settings = settings

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) times a mask that hides, or a map that stresses, where the channels' mean is high."""
        if not self.training:
            return x
        attention = x.mean(1, keepdim=True)
        if float(torch.rand(())) < self._settings.drop:
            strongest = attention.amax((2, 3), keepdim=True)
            return x * (attention < self._settings.gamma * strongest)
        return x * attention.sigmoid()
