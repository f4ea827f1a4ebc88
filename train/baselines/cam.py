"""CAM: the weights of a class, applied where the features were before they were averaged.

Zhou et al., "Learning Deep Features for Discriminative Localization" (CVPR 2016).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from train.baselines.backbones import Backbone
from train.baselines.base import Baseline, cross_entropy, pick
from train.tensors import normalise

if TYPE_CHECKING:
    from train.baselines.config import BaselineConfig


class Cam(Baseline):
    """A CNN, global average pooling, one linear layer."""

    def __init__(
        self, config: BaselineConfig, classes: int, negative: int | None, *, pretrained: bool = True
    ) -> None:
        """Raises UsageError when the backbone cannot be had or is no CNN of a known family."""
        super().__init__(config, classes, negative, pretrained=pretrained)
        self.backbone = Backbone(config.backbone, config.method, pretrained=pretrained)
        self.mean, self.std = self.backbone.mean, self.backbone.std
        self.head = nn.Linear(self.backbone.channels, classes)

    def logits(self, x: Tensor) -> Tensor:
        """(N, K) of normalised photos."""
        scores: Tensor = self.head(self.backbone(x).mean((2, 3)))
        return scores

    def losses(self, x: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return {"class": cross_entropy(self.logits(x), targets)}

    def explain(self, rgb_u8: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        x = normalise(rgb_u8, self.mean, self.std).contiguous(memory_format=torch.channels_last)
        features = self.backbone(x)
        logits = self.head(features.mean((2, 3))).float()
        maps = torch.einsum("nchw,kc->nkhw", features.float(), self.head.weight.float())
        return pick(maps, self.chosen(logits, labels)), logits.softmax(1)

    def fast_parameters(self) -> list[nn.Parameter]:
        return [*self.backbone.fast_parameters(self.config.optim.fast), *self.head.parameters()]


def cub_rates(rate: float) -> dict[str, Any]:
    """Learning rate of a ResNet-50 on CUB, ten times it for the last stage and what is new."""
    return {"optim.encoder_lr": rate, "optim.lr": 10 * rate}
