"""ACoL: two classifiers on the same features; the second does not see where the first one looked.

Zhang et al., "Adversarial Complementary Learning" (CVPR 2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from train.baselines.backbones import Backbone
from train.baselines.base import Baseline, cross_entropy, pick, unit_range
from train.baselines.config import MethodSettings
from train.config_limits import NOT_NEGATIVE, SHARE
from train.tensors import normalise

if TYPE_CHECKING:
    from collections.abc import Mapping

    from train.baselines.config import BaselineConfig

WIDE, NARROW = 1024, 256


@dataclass(frozen=True)
class AcolSettings(MethodSettings):
    """What is erased."""

    threshold: float = 0.7  # of the first branch's map in [0, 1], from which on features are erased
    width: int = 0  # channels of a branch; 0: 1024 (protocol), or 256 on an EfficientNet


class Acol(Baseline):
    """A backbone and two convolutional branches."""

    Settings = AcolSettings
    RULES: ClassVar[Mapping[str, str]] = {"threshold": SHARE, "width": NOT_NEGATIVE}

    def __init__(
        self, config: BaselineConfig, classes: int, negative: int | None, *, pretrained: bool = True
    ) -> None:
        """Raises UsageError when the backbone cannot be had or is no CNN of a known family."""
        super().__init__(config, classes, negative, pretrained=pretrained)
        assert isinstance(config.baseline, AcolSettings)
        self.backbone = Backbone(config.backbone, config.method, pretrained=pretrained, neck=False)
        self.mean, self.std = self.backbone.mean, self.backbone.std
        self.threshold = config.baseline.threshold
        width = config.baseline.width or (NARROW if self.backbone.light else WIDE)
        self.first, self.second = (_branch(self.backbone.channels, width, classes) for _ in range(2))

    def losses(self, x: Tensor, targets: Tensor) -> dict[str, Tensor]:
        first, second = self._class_maps(self.backbone(x), targets)
        return {
            "first": cross_entropy(first.mean((2, 3)), targets),
            "second": cross_entropy(second.mean((2, 3)), targets),
        }

    def explain(self, rgb_u8: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        x = normalise(rgb_u8, self.mean, self.std).contiguous(memory_format=torch.channels_last)
        features = self.backbone(x)
        logits = self.first(features).mean((2, 3)).float()
        classes = self.chosen(logits, labels)
        maps = [unit_range(pick(m, classes)) for m in self._class_maps(features, classes)]
        return torch.maximum(*maps), logits.softmax(1)

    def _class_maps(self, features: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """(N, K, h, w) of both branches; the second without what the first one found for `classes`."""
        first = self.first(features)
        seen = unit_range(pick(first.detach(), classes))[:, None] >= self.threshold
        return first, self.second(features * ~seen)

    def fast_parameters(self) -> list[nn.Parameter]:
        branches = (p for branch in (self.first, self.second) for p in branch.parameters())
        return [*self.backbone.fast_parameters(self.config.optim.fast), *branches]


def _branch(channels: int, width: int, classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, classes, 1),
    )
