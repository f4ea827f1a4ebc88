"""LayerCAM: a CAM network, its map from the last stages with a weight for every place.

Jiang et al., "LayerCAM" (IEEE TIP 2021). A reference: CAM's network, another way to look at it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from train.baselines.cam import Cam
from train.baselines.config import MethodSettings
from train.config_limits import AT_LEAST_ONE
from train.tensors import normalise

if TYPE_CHECKING:
    from collections.abc import Mapping

GAMMA = 2.0  # how much maps of earlier stages are lifted (paper, eq. 9)


@dataclass(frozen=True)
class LayerCamSettings(MethodSettings):
    """Where the map comes from."""

    stages: int = 3  # how many of the last stages, at most 3


class LayerCam(Cam):
    """CAM's network and training; another map."""

    Settings = LayerCamSettings
    RULES: ClassVar[Mapping[str, str]] = {"stages": AT_LEAST_ONE}

    def explain(self, rgb_u8: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        settings = self.config.baseline
        assert isinstance(settings, LayerCamSettings)
        x = normalise(rgb_u8, self.mean, self.std).contiguous(memory_format=torch.channels_last)
        with torch.enable_grad():
            *taps, features = self.backbone.taps(
                x, self.backbone.places.stages[-settings.stages :], leaf=True
            )
            logits = self.head(features.mean((2, 3))).float()
            score = logits.gather(1, self.chosen(logits.detach(), labels)[:, None]).sum()
            grads = torch.autograd.grad(score, taps)
        maps = [layer_map(a.detach(), g) for a, g in zip(taps, grads, strict=True)]
        return fuse(maps), logits.detach().softmax(1)


def layer_map(activation: Tensor, gradient: Tensor) -> Tensor:
    """(N, h, w) ReLU of the channels' sum, each place weighted by its own positive gradient (eq. 6, 7)."""
    return (gradient.clamp_min(0) * activation).sum(1).clamp_min(0).float()


def fuse(maps: list[Tensor]) -> Tensor:
    """(N, h, w) largest value of all stages, at the size of the first; earlier stages lifted by tanh.

    Args:
        maps: (N, h, w) >= 0, from early to late.
    """
    size = maps[0].shape[1:]
    big = [F.interpolate(m[:, None], size=size, mode="bilinear", align_corners=False)[:, 0] for m in maps]
    scaled = [m / m.amax((1, 2), keepdim=True).clamp_min(1e-12) for m in big]
    lifted = [torch.tanh(GAMMA * m) for m in scaled[:-1]]
    return torch.stack([*lifted, scaled[-1]]).amax(0)
