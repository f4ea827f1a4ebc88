"""What student and teacher are made of: a transformer, and a head that sorts its CLS token into prototypes.

crops of one size (N, 3, s, s) ──ViT──▶ CLS (N, d) ──MLP──▶ (N, 256) on the unit sphere ──▶ logits (N, K)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge_runtime.errors import UsageError
from train.sst import gives_cls_attention
from train.weights import create_timm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from train.pretrain.config import CropConfig, HeadConfig, NetworkConfig

UNUSED = ("head.", "fc_norm.")  # of a timm transformer, when only its CLS token is read


class ProjectionHead(nn.Module):
    """Three layers, then cosines to K prototypes: a last layer under weight normalisation with g = 1."""

    def __init__(self, dim: int, config: HeadConfig) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(dim, config.hidden),
            nn.GELU(),
            nn.Linear(config.hidden, config.hidden),
            nn.GELU(),
            nn.Linear(config.hidden, config.bottleneck),
        )
        self.prototypes = nn.Parameter(torch.empty(config.prototypes, config.bottleneck))
        for layer in self.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        nn.init.normal_(self.prototypes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, dim) to (N, K) float32: cosines, in [-1, 1].

        Never in half precision: divided by a temperature of 0.04, its rounding would be the loudest signal.
        """
        with torch.autocast(x.device.type, enabled=False):
            point = F.normalize(self.mlp(x.float()), dim=-1)
            return F.linear(point, F.normalize(self.prototypes, dim=-1))


class Branch(nn.Module):
    """Student or teacher."""

    def __init__(self, backbone: nn.Module, head: ProjectionHead) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        for name, parameter in backbone.named_parameters():
            parameter.requires_grad_(not name.startswith(UNUSED))

    def forward(self, groups: Sequence[Tensor]) -> Tensor:
        """Normalised crops, in groups of one size each, to logits in the same order: (all crops, K)."""
        net: Any = self.backbone
        tokens = [net.forward_features(group)[:, 0] for group in groups]
        logits: Tensor = self.head(torch.cat(tokens))
        return logits


def build_backbone(network: NetworkConfig, crops: CropConfig, *, student: bool, weights: str) -> nn.Module:
    """A timm transformer that takes crops of any whole number of patches.

    Args:
        weights: as for `create_timm`.

    Raises:
        UsageError: not a plain transformer with a CLS token, or weights that do not fit it.
        TrainingError: the weights could not be downloaded.
    """
    net: Any = create_timm(
        network.name,
        weights,
        "SST to begin with",
        num_classes=0,
        img_size=crops.global_size,
        dynamic_img_size=True,
        drop_path_rate=network.drop_path if student else 0.0,
    )
    if not gives_cls_attention(net):
        raise UsageError(f"SST {network.name!r}: expected a plain vision transformer with a CLS token")
    made: nn.Module = net
    return made
