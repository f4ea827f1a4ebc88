"""SPG: sure pixels of a deep attention map teach shallower branches, which teach the deep features back.

class map ──mask──▶ B2 ──mask──▶ B1; mean of B1 and B2 ──mask──▶ C, on the deepest features

Zhang et al., "Self-produced Guidance for Weakly-supervised Object Localization" (ECCV 2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.baselines.acol import NARROW, WIDE
from train.baselines.backbones import Backbone
from train.baselines.base import Baseline, cross_entropy, pick, unit_range
from train.baselines.config import MethodSettings
from train.config_limits import NOT_NEGATIVE, SHARE
from train.tensors import normalise

if TYPE_CHECKING:
    from collections.abc import Mapping

    from train.baselines.config import BaselineConfig

FEWEST = 30  # foreground pixels of a mask; where there are fewer, the level falls to 0.7 of the maximum
UNSURE = -1.0


@dataclass(frozen=True)
class SpgSettings(MethodSettings):
    """From which level on a pixel is foreground, and below which it is background; between, unsure."""

    b2: tuple[float, float] = (0.01, 0.7)  # of the class map, for B2
    b1: tuple[float, float] = (0.05, 0.5)  # of B2, for B1
    c: tuple[float, float] = (0.1, 0.7)  # of the mean of B1 and B2, for C
    width: int = 0  # channels of the branches; 0: 1024 (protocol), or 256 on an EfficientNet


class Spg(Baseline):
    """A backbone with a class map on top and three branches that say where."""

    Settings = SpgSettings
    RULES: ClassVar[Mapping[str, str]] = {"b1": SHARE, "b2": SHARE, "c": SHARE, "width": NOT_NEGATIVE}

    def __init__(
        self, config: BaselineConfig, classes: int, negative: int | None, *, pretrained: bool = True
    ) -> None:
        """Raises UsageError when the backbone cannot be had or is no CNN of a known family."""
        super().__init__(config, classes, negative, pretrained=pretrained)
        assert isinstance(config.baseline, SpgSettings)
        self.backbone = Backbone(config.backbone, config.method, pretrained=pretrained, neck=False)
        self.mean, self.std = self.backbone.mean, self.backbone.std
        self._levels = config.baseline
        width = config.baseline.width or (NARROW if self.backbone.light else WIDE)
        deep, half = self.backbone.channels, max(1, width // 2)
        self.top = nn.Sequential(_conv(deep, width), nn.Conv2d(width, classes, 1))
        shallow = (self.backbone.widths[i] for i in self.backbone.places.sides)
        self.b1, self.b2 = (_conv(channels, half) for channels in shallow)
        self.shared = nn.Sequential(_conv(half, half), nn.Conv2d(half, 1, 1))
        self.c = nn.Sequential(_conv(deep, half), nn.Conv2d(half, 1, 1))

    def losses(self, x: Tensor, targets: Tensor) -> dict[str, Tensor]:
        shallow, middle, deep = self.backbone.taps(x, self.backbone.places.sides)
        class_maps = self.top(deep)
        losses = {"class": cross_entropy(class_maps.mean((2, 3)), targets)}
        side = x.shape[-1]
        said = {
            "b1": _upsampled(self.shared(self.b1(shallow)), side),
            "b2": _upsampled(self.shared(self.b2(middle)), side),
            "c": _upsampled(self.c(deep), side),
        }
        first, second = said["b1"].detach().sigmoid(), said["b2"].detach().sigmoid()
        attention = unit_range(pick(class_maps.detach(), targets))
        masks = {
            "b2": sure(_upsampled(attention[:, None], side), *self._levels.b2),
            "b1": sure(second, *self._levels.b1),
            "c": sure((first + second) / 2, *self._levels.c),
        }
        for name, mask in masks.items():
            if self.negative is not None:
                mask[targets == self.negative] = UNSURE  # where nothing is, no map can teach
            losses[name] = sure_cross_entropy(said[name], mask)
        return losses

    def explain(self, rgb_u8: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        x = normalise(rgb_u8, self.mean, self.std).contiguous(memory_format=torch.channels_last)
        maps = self.top(self.backbone(x))
        logits = maps.mean((2, 3)).float()
        return pick(maps, self.chosen(logits, labels)), logits.softmax(1)

    def fast_parameters(self) -> list[nn.Parameter]:
        branches = (self.top, self.b1, self.b2, self.shared, self.c)
        own = (p for branch in branches for p in branch.parameters())
        return [*self.backbone.fast_parameters(self.config.optim.fast), *own]


def sure(maps: Tensor, low: float, high: float) -> Tensor:
    """(N, S, S) of 1 above `high`, 0 below `low`, `UNSURE` between; never fewer than `FEWEST` of 1.

    Args:
        maps: (N, S, S) float in [0, 1].
    """
    few = (maps > high).sum((1, 2), keepdim=True) < FEWEST
    level = torch.where(few, 0.7 * maps.amax((1, 2), keepdim=True), high)
    unsure = torch.full_like(maps, UNSURE)
    background = torch.where(maps < low, torch.zeros_like(maps), unsure)
    return torch.where(maps > level, torch.ones_like(maps), background)


def sure_cross_entropy(logits: Tensor, mask: Tensor) -> Tensor:
    """Binary cross-entropy, mean over the pixels of (N, S, S) that `mask` is sure of; 0 without any."""
    known = (mask != UNSURE).float()
    each = F.binary_cross_entropy_with_logits(logits, mask.clamp_min(0.0), reduction="none")
    return (each * known).sum() / known.sum().clamp_min(1.0)


def _conv(channels: int, width: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), nn.ReLU())


def _upsampled(maps: Tensor, side: int) -> Tensor:
    """(N, 1, h, w) to (N, side, side) float32."""
    return F.interpolate(maps.float(), size=(side, side), mode="bilinear", align_corners=False)[:, 0]
