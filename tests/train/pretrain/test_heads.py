"""The projection head and the branch around it."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from edge_runtime.errors import UsageError
from train.pretrain.config import CropConfig, HeadConfig, NetworkConfig
from train.pretrain.heads import Branch, ProjectionHead, build_backbone

HEAD = HeadConfig(prototypes=12, hidden=16, bottleneck=8)
TINY = NetworkConfig(name="test_vit", init="none")
CROPS = CropConfig(global_size=32)


def test_logits_are_cosines_to_prototypes_whatever_their_length() -> None:
    head, x = ProjectionHead(6, HEAD), torch.randn(5, 6)
    before = head(x)
    expected = F.cosine_similarity(head.mlp(x)[:, None], head.prototypes[None], dim=-1)
    torch.testing.assert_close(before, expected)
    with torch.no_grad():
        head.prototypes *= 7
    torch.testing.assert_close(head(x), before)


def test_the_head_stays_in_float32_under_mixed_precision() -> None:
    head, x = ProjectionHead(6, HEAD), torch.randn(5, 6)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(head(x), ProjectionHead.forward(head, x.float()))
        assert head(x.bfloat16()).dtype == torch.float32
    torch.testing.assert_close(head(x), F.cosine_similarity(head.mlp(x)[:, None], head.prototypes, dim=-1))


def test_crops_of_several_sizes_come_out_in_the_order_they_went_in() -> None:
    branch = Branch(
        build_backbone(TINY, CROPS, student=False, weights="none"), ProjectionHead(64, HEAD)
    ).eval()
    large, small = torch.randn(2, 3, 32, 32), torch.randn(3, 3, 16, 16)
    with torch.no_grad():
        together = branch([large, small])
        apart = torch.cat([branch([large]), branch([small])])
    assert together.shape == (5, HEAD.prototypes)
    torch.testing.assert_close(together, apart)


def test_only_the_student_drops_paths() -> None:
    network = dataclasses.replace(TINY, drop_path=0.5)
    x = torch.randn(4, 3, 32, 32)
    for student, alike in ((True, False), (False, True)):
        net = build_backbone(network, CROPS, student=student, weights="none").train()
        assert torch.equal(net(x), net(x)) is alike


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("vit_nonsense", "is not a timm model", id="unknown"),
        pytest.param("test_resnet", "it is no vision transformer", id="a convolutional network"),
        pytest.param("test_vit2", "plain vision transformer with a CLS token", id="no CLS token"),
        pytest.param(
            "eva02_tiny_patch14_224", "plain vision transformer with a CLS token", id="rotary positions"
        ),
    ],
)
def test_networks_that_cannot_learn_this_way_are_named(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        build_backbone(NetworkConfig(name=name), CROPS, student=True, weights="none")
    assert "\n" not in str(caught.value)
