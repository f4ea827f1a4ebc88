"""The network as a board runs it: camera bytes in, probabilities out, nothing left to do outside.

image uint8 NHWC BGR ──Cast, Transpose, Sub mean──▶ U-Net ──Sigmoid──▶ prob
                                                      └──class head, Softmax──▶ class_probs
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from timm.layers import Conv2dSame
from timm.utils import reparameterize_model
from torch import Tensor, nn

from train.localizer import BACKGROUND, FOREGROUND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from train.localizer import Localizer


class DeployedLocalizer(nn.Module):
    """A localizer that takes frames as OpenCV gives them and returns what the model contract promises.

    Made exact, not approximate: 1/std and the channel swap go into the first convolution, the two map
    channels become their difference, softmax(z)[1] = sigmoid(z1 - z0). The mean stays a subtraction:
    in a convolution's bias it would be wrong along the zero-padded border.
    """

    def __init__(self, localizer: Localizer) -> None:
        super().__init__()
        net = copy.deepcopy(localizer).eval()
        net.unet.encoder = reparameterize_model(net.unet.encoder)  # RepVGG, MobileOne, FastViT branches
        net.unet.segmentation_head[0] = difference_conv(net.unet.segmentation_head[0])
        self.net = net
        scale = [1.0 / (255.0 * s) for s in net.std]
        folded = fold_input_scale(net.unet.encoder, scale)
        mean_bgr = torch.tensor([255.0 * m for m in net.mean]).flip(0)
        self.register_buffer("mean_bgr", mean_bgr.reshape(1, 3, 1, 1))
        # An encoder whose first layer cannot take the scale gets it, and the channel swap, as operations.
        self.register_buffer("scale_rgb", None if folded else torch.tensor(scale).reshape(1, 3, 1, 1))
        self.mean_bgr: Tensor
        self.scale_rgb: Tensor | None

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities of a batch of frames.

        Args:
            image: (N, H, W, 3) uint8 BGR.

        Returns:
            (N, 1, H, W) float32 foreground probability; (N, K) float32 class probabilities.
        """
        x = image.float().permute(0, 3, 1, 2) - self.mean_bgr
        if self.scale_rgb is not None:
            x = x[:, [2, 1, 0]] * self.scale_rgb
        map_logits, class_logits = self.net(x)
        return torch.sigmoid(map_logits), torch.softmax(class_logits, 1)


def difference_conv(conv: nn.Conv2d) -> nn.Conv2d:
    """One output channel, foreground minus background, of the two-channel map head."""
    merged = copy.deepcopy(conv)
    merged.out_channels = 1
    with torch.no_grad():
        merged.weight = nn.Parameter(conv.weight[FOREGROUND : FOREGROUND + 1] - conv.weight[BACKGROUND])
        if conv.bias is not None:
            merged.bias = nn.Parameter(conv.bias[FOREGROUND : FOREGROUND + 1] - conv.bias[BACKGROUND])
    return merged


def fold_input_scale(encoder: nn.Module, scale_rgb: Sequence[float]) -> bool:
    """Scale the first convolution's weights per input channel and turn their order from RGB to BGR.

    Returns:
        False, with nothing changed, when the image does not enter by exactly one plain convolution
        (for instance one that standardises its weights).
    """
    entries = [m for m in encoder.modules() if isinstance(m, nn.Conv2d) and m.in_channels == 3]
    if len(entries) != 1 or type(entries[0]) not in (nn.Conv2d, Conv2dSame) or entries[0].groups != 1:
        return False
    with torch.no_grad():
        weight = entries[0].weight  # (out, RGB, kh, kw)
        weight.copy_((weight * torch.tensor(scale_rgb).reshape(1, 3, 1, 1)).flip(1))
    return True
