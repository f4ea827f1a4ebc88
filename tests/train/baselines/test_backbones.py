"""CNNs as rows of units: map sizes, the places that methods name, taps, attachments."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edge_runtime.errors import UsageError
from tests.train import tiny
from train.baselines.backbones import Backbone
from train.baselines.config import BackboneConfig

assert tiny.tiny_vgg16  # known to timm


def _backbone(name: str, stride: int = 16, **options: bool) -> Backbone:
    config = BackboneConfig(name=name, weights="none", stride=stride)
    return Backbone(config, "cam", pretrained=True, **options).eval()


@pytest.mark.parametrize("stride", [16, 32])
@pytest.mark.parametrize("name", ["tiny_vgg16", "test_resnet", "test_efficientnet"])
def test_a_map_has_one_cell_per_stride(name: str, stride: int) -> None:
    backbone = _backbone(name, stride)
    with torch.no_grad():
        features = backbone(torch.zeros(1, 3, 96, 128))
    assert features.shape == (1, backbone.channels, 96 // stride, 128 // stride)


@pytest.mark.parametrize(
    ("name", "places", "units"),
    [
        # units: stem, pool, layer1 (2-4), layer2 (5-8), layer3 (9-14), layer4 (15-17)
        pytest.param("resnet50", ((9, 15, 17), (9, 14), (8, 14, 17)), 18, id="ResNet-50"),
        # pool3 is unit 16, conv4_3 with its ReLU ends at 22, conv5_3 at 29; the last unit is the new layer
        pytest.param("tiny_vgg16", ((16, 22, 29), (22, 29), (15, 22, 29)), 31, id="VGG-16"),
        # stem, then 1, 2, 2, 3, 3, 4, 1 blocks; the map has 1/16 of the side from unit 6 on
        pytest.param(
            "tf_efficientnet_lite0", ((6, 12, 16), (6, 11), (5, 11, 16)), 18, id="EfficientNet-Lite0"
        ),
    ],
)
def test_methods_find_the_layers_of_the_protocol(
    name: str, places: tuple[tuple[int, ...], ...], units: int
) -> None:
    backbone = _backbone(name)
    found = backbone.places
    assert (found.drops, found.sides, found.stages) == places
    assert len(backbone.units) == units


def test_without_its_stride_the_last_stage_keeps_its_weights_and_its_place() -> None:
    """Every second cell of the finer map is a cell of the coarser one, where no 3 x 3 layer follows."""
    torch.manual_seed(0)
    coarse, fine = _backbone("test_resnet", 32), _backbone("test_resnet", 16)
    fine.load_state_dict(coarse.state_dict())
    assert fine.widths == coarse.widths
    x = torch.randn(1, 3, 64, 64)
    late = coarse.places.late
    with torch.no_grad():
        before_coarse, before_fine = (b.taps(x, (late - 1,))[0] for b in (coarse, fine))
        assert torch.equal(before_coarse, before_fine)
        first = [b.units[late].conv1(before_coarse) for b in (coarse, fine)]
    assert torch.allclose(first[0], first[1][:, :, ::2, ::2], atol=1e-5)


def test_taps_come_in_order_with_the_features_last() -> None:
    backbone = _backbone("test_efficientnet")
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        first, second, features = backbone.taps(x, (2, 4))
        assert torch.equal(features, backbone(x))
    assert first.shape[1] == backbone.widths[2]
    assert second.shape[1] == backbone.widths[4]


def test_an_attachment_acts_after_its_unit() -> None:
    backbone = _backbone("test_efficientnet")
    backbone.attach(3, _Zero())
    (tap, _) = backbone.taps(torch.randn(1, 3, 64, 64), (3,))
    assert not tap.any()


class _Zero(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 0


@pytest.mark.parametrize(
    ("name", "fast", "count"),
    [
        pytest.param("tiny_vgg16", "new", 2, id="the layer a VGG is given"),
        pytest.param("tiny_vgg16", "last", 2, id="a VGG has no last stage of its own"),
        pytest.param("test_resnet", "new", 0, id="a ResNet is given none"),
    ],
)
def test_new_layers_learn_fast(name: str, fast: str, count: int) -> None:
    assert len(_backbone(name).fast_parameters(fast)) == count


def test_the_last_stage_of_a_resnet_can_learn_fast() -> None:
    backbone = _backbone("test_resnet")
    own = list(backbone.units[backbone.places.late :].parameters())
    assert len(backbone.fast_parameters("last")) == len(own) > 0


@pytest.mark.parametrize("name", ["test_vit", "test_convnext"])
def test_a_network_of_another_family_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"cam with the encoder '{name}': expected a VGG, ResNet or Eff"):
        _backbone(name)
