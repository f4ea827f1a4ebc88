"""Pretrained CNNs as a row of units: what a method taps, attaches to, or continues from.

photo (N, 3, S, S) ──unit──▶ ... ──unit──▶ features (N, C, S / stride, S / stride)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from timm.models.efficientnet import EfficientNet
from timm.models.resnet import ResNet
from timm.models.vgg import VGG
from torch import Tensor, nn

from edge_runtime.errors import UsageError
from train.weights import create_timm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from train.baselines.config import BackboneConfig

PROBE = 64  # px of the blank photo that tells where units halve the map


@dataclass(frozen=True)
class Places:
    """Indices of units that methods name, as in Choe et al.'s protocol or its nearest counterpart.

    `drops`: after which ADL drops. `sides`: where SPG branches off. `stages`: last unit of each of the last
    three stages. `late`: first unit of the last stage.
    """

    drops: tuple[int, int, int]
    sides: tuple[int, int]
    stages: tuple[int, int, int]
    late: int


class Backbone(nn.Module):
    """A VGG, ResNet or EfficientNet of timm without its classifier.

    Attributes:
        channels: of the features it gives. widths: after each unit.
        mean, std: input normalisation, RGB, in units of 0..1.
        places: units that methods name.
        light: an EfficientNet, on which side branches are kept narrow.
        new: layers that are not pretrained.
    """

    def __init__(self, config: BackboneConfig, method: str, *, pretrained: bool, neck: bool = True) -> None:
        """Build it.

        Args:
            method: who asks; named in errors.
            neck: with the layer that widens the features before a linear classifier: the protocol's 3 x 3
                convolution of a VGG, the 1 x 1 convolution of an EfficientNet.

        Raises:
            UsageError: unknown to timm, of another family, or with foreign weights.
        """
        super().__init__()
        net: Any = create_timm(config.name, config.weights if pretrained else "none", "encoder")
        self.light = isinstance(net, EfficientNet)
        self.mean, self.std = net.pretrained_cfg["mean"], net.pretrained_cfg["std"]
        self.new: list[nn.Module] = []
        if isinstance(net, VGG):
            units, self.places = _of_vgg(net, config.stride)
            if neck:
                width = _shapes(units)[-1][0]
                units.append(nn.Sequential(nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU()))
                self.new.append(units[-1])
        elif isinstance(net, ResNet | EfficientNet):
            units, self.places = _of_blocks(_blocks(net), config.stride)
            if neck and isinstance(net, EfficientNet):
                units.append(nn.Sequential(net.conv_head, net.bn2))
        else:
            raise UsageError(
                f"{method} with the encoder {config.name!r}: expected a VGG, ResNet or EfficientNet of timm; "
                "transformers are for tscam and sst, by --sst"
            )
        self.units = nn.ModuleList(units)
        self.widths = [channels for channels, _ in _shapes(units)]
        self.channels = self.widths[-1]
        self._attached: dict[int, nn.Module] = {}

    def attach(self, after: int, module: nn.Module) -> None:
        """Run `module` (without weights) on what the unit with this index gives."""
        self._attached[after] = module

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, S, S) float normalised RGB to features (N, C, S / stride, S / stride)."""
        return self.taps(x, ())[-1]

    def taps(self, x: Tensor, at: Sequence[int], *, leaf: bool = False) -> list[Tensor]:
        """What the units `at` (ascending) give, and the features last.

        Args:
            leaf: the first tap becomes the start of the gradient's graph; nothing before it is kept.
        """
        found: dict[int, Tensor] = {}
        for index, unit in enumerate(self.units):
            x = unit(x)
            if index in self._attached:
                x = self._attached[index].train(self.training)(x)
            if index in at:
                if leaf and not found:
                    x = x.detach().requires_grad_()
                found[index] = x
        return [*(found[index] for index in at), x]

    def fast_parameters(self, fast: str) -> list[nn.Parameter]:
        """Weights that learn as fast as a new layer: "new" layers, or with "last" the last stage, too."""
        layers = self.new + (list(self.units[self.places.late :]) if fast == "last" else [])
        return list(dict.fromkeys(p for layer in layers for p in layer.parameters()))


def _of_vgg(net: VGG, stride: int) -> tuple[list[nn.Module], Places]:
    units: list[nn.Module] = list(net.features)
    pools = [i for i, unit in enumerate(units) if isinstance(unit, nn.MaxPool2d)]
    third, fourth, fifth = (pool - 1 for pool in pools[2:])
    places = Places((pools[2], fourth, fifth), (fourth, fifth), (third, fourth, fifth), len(units))
    return units[: fifth + 1] if stride == 16 else units, places


def _blocks(net: Any) -> list[nn.Module]:
    if isinstance(net, ResNet):
        stages: list[Any] = [net.layer1, net.layer2, net.layer3, net.layer4]
        stem = [nn.Sequential(net.conv1, net.bn1, net.act1), net.maxpool]
    else:
        stages, stem = list(net.blocks), [nn.Sequential(net.conv_stem, net.bn1)]
    return [*stem, *(block for stage in stages for block in stage)]


def _of_blocks(units: list[nn.Module], stride: int) -> tuple[list[nn.Module], Places]:
    sides = [side for _, side in _shapes(units)]
    mid, late = sides.index(PROBE // 16), sides.index(PROBE // 32)
    if stride == 16:
        _keep_resolution(units[late])
    last = len(units) - 1
    return units, Places((mid, late, last), (mid, late - 1), (mid - 1, late - 1, last), late)


def _keep_resolution(block: nn.Module) -> None:
    """Let a block that halves the map keep its size; weights stay the same."""
    for module in block.modules():
        if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
            module.stride = (1, 1)
        elif isinstance(module, nn.AvgPool2d) and module.stride == 2:
            module.kernel_size = module.stride = 1


@torch.no_grad()
def _shapes(units: Sequence[nn.Module]) -> list[tuple[int, int]]:
    """(channels, side) after each unit for a blank photo of `PROBE` px; training state stays."""
    x, shapes = torch.zeros(1, 3, PROBE, PROBE), []
    for unit in units:
        was_training = unit.training
        x = unit.eval()(x)
        unit.train(was_training)
        shapes.append((int(x.shape[1]), int(x.shape[2])))
    return shapes
