"""CLS attention as the network itself computes it, its order, its scaling and its failures."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from edge_runtime.errors import UsageError
from train.config import SstConfig
from train.sst import SelfSupervisedTransformer, scale_maps
from train.tensors import normalise

from . import tiny  # noqa: F401  (registers tiny_vit_six_heads)

CPU = torch.device("cpu")
TINY = SstConfig(name="test_vit", weights="none", size=64, clip_quantile=1.0)


def _photos(n: int = 2, height: int = 64, width: int = 64) -> torch.Tensor:
    return torch.randint(
        0, 256, (n, 3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def _sst(**changes: Any) -> SelfSupervisedTransformer:
    torch.manual_seed(0)
    return SelfSupervisedTransformer(dataclasses.replace(TINY, **changes), CPU)


def _softmax_of_last_block(sst: SelfSupervisedTransformer, photos: torch.Tensor) -> torch.Tensor:
    """(N, heads, tokens, tokens), written to the letter: every query, every key."""
    net = sst._net
    seen: list[torch.Tensor] = []
    handle = net.blocks[-1].attn.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        net.forward_features(normalise(photos, sst.mean, sst.std))
        handle.remove()
        x, attn = seen[0], net.blocks[-1].attn
        n, tokens, dim = x.shape
        q, k, _ = attn.qkv(x).reshape(n, tokens, 3, attn.num_heads, -1).permute(2, 0, 3, 1, 4)
        return torch.softmax(q @ k.transpose(-1, -2) / (dim / attn.num_heads) ** 0.5, dim=-1)


def test_maps_are_the_mean_and_the_heads_of_the_cls_row_each_divided_by_its_maximum() -> None:
    sst, photos = _sst(), _photos()
    maps, _ = sst(photos)
    full = _softmax_of_last_block(sst, photos)[:, :, 0, 1:]  # CLS asks, patches answer
    expected = torch.cat([full.mean(1, keepdim=True), full], dim=1).reshape(2, 3, 4, 4)
    expected = expected / expected.amax((2, 3), keepdim=True)
    torch.testing.assert_close(maps, expected, atol=0.02, rtol=0)  # bf16 where the CPU has it


def test_patches_come_row_by_row() -> None:
    """A bright patch on an even photo changes the token under it: rows and columns are not mixed up."""
    sst, photos = _sst(), torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    seen: list[torch.Tensor] = []
    sst._net.patch_embed.register_forward_hook(lambda _, __, out: seen.append(out))
    sst(photos)
    photos[:, :, 16:32, 48:64] = 255  # second row, fourth column of 4 x 4
    sst(photos)
    changed = (seen[1] - seen[0]).abs().sum(-1)[0].reshape(sst.grid)
    assert changed.nonzero().tolist() == [[1, 3]]


@pytest.mark.parametrize(
    ("heads", "kept"),
    [
        pytest.param("all", [0, 1, 2, 3, 4, 5], id="all heads"),
        pytest.param("first4", [0, 1, 2, 3], id="first four, paper section 3.3"),
        pytest.param("mean", [], id="none"),
    ],
)
def test_which_heads_are_kept_beside_the_mean_of_all_six(heads: str, kept: list[int]) -> None:
    sst, photos = _sst(name="tiny_vit_six_heads", heads=heads), _photos()
    maps, _ = sst(photos)
    full = _softmax_of_last_block(sst, photos)[:, :, 0, 1:].reshape(2, 6, *sst.grid)
    expected = torch.cat([full.mean(1, keepdim=True), full[:, kept]], dim=1)
    assert sst.maps == maps.shape[1] == 1 + len(kept)
    torch.testing.assert_close(maps, expected / expected.amax((2, 3), keepdim=True), atol=0.02, rtol=0)


def test_features_are_the_cls_tokens_of_the_last_four_blocks() -> None:
    sst, photos = _sst(), _photos()
    _, features = sst(photos)
    assert features.shape == (2, sst.features) == (2, 4 * 64)
    with torch.no_grad():
        last = sst._net.forward_features(normalise(photos, sst.mean, sst.std))[:, 0]
    torch.testing.assert_close(features[:, -64:], last, atol=0.05, rtol=0.05)


def test_features_pass_the_gradient_to_the_photo_and_keep_no_graph() -> None:
    sst = _sst()
    x = torch.randn(1, 3, 64, 64, requires_grad=True)
    sst.features_of(x).sum().backward()
    assert x.grad is not None
    assert x.grad.any()
    assert sst._attn_input is not None
    assert not sst._attn_input.requires_grad


def test_attention_that_overflowed_is_zero_not_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half precision can overflow in the softmax; such a map must not poison what comes after."""
    sst = _sst()
    broken = torch.rand(2, 2, 16)
    broken[0, 1], broken[1, 0, 3] = torch.nan, torch.inf
    monkeypatch.setattr(sst, "_cls_attention", lambda: broken)
    maps, _ = sst(_photos())
    assert torch.isfinite(maps).all()
    assert maps.min() >= 0
    assert maps.max() <= 1
    assert not maps[0, 2].any()


@pytest.mark.parametrize("quantile", [1.0, 0.95])
@pytest.mark.parametrize("value", [0.0, 0.3])
def test_constant_maps_survive_scaling(value: float, quantile: float) -> None:
    scaled = scale_maps(torch.full((1, 4, 4), value), quantile)
    assert torch.equal(scaled, torch.full((1, 4, 4), float(value > 0)))


def test_a_single_peak_does_not_hide_the_object() -> None:
    """One patch a hundred times the object: divided by the maximum the object is gone, cut off it is not."""
    maps = torch.full((1, 10, 10), 0.001)
    maps[0, 2:5, 2:5], maps[0, 9, 9] = 0.01, 1.0
    assert scale_maps(maps, 1.0)[0, 3, 3] == pytest.approx(0.01)
    assert scale_maps(maps, 0.95)[0, 3, 3] == pytest.approx(1.0)
    assert scale_maps(maps, 0.95).max() == 1


def test_when_the_quantile_is_zero_the_maximum_scales() -> None:
    maps = torch.zeros(1, 10, 10)
    maps[0, 0, 0] = 0.2
    assert scale_maps(maps, 0.95).max() == 1


def test_a_224_px_position_grid_serves_other_sizes() -> None:
    sst = _sst(name="tiny_vit_six_heads", size=96)
    assert sst.grid == (6, 6)
    assert sst(_photos(1, 96, 96))[0].shape == (1, 7, 6, 6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"name": "vit_nonsense"}, "is not a timm model", id="unknown"),
        pytest.param({"name": "test_resnet"}, "it is no vision transformer", id="not a transformer"),
        pytest.param({"name": "test_vit2"}, "plain vision transformer with a CLS token", id="no CLS token"),
        pytest.param(
            {"size": 70}, "sst.size = 70: expected a multiple of 16", id="not a whole number of patches"
        ),
        pytest.param({"weights": "/nowhere/w.safetensors"}, "no such file", id="weights missing"),
    ],
)
def test_transformers_that_cannot_be_used_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        _sst(**changes)
    assert "\n" not in str(caught.value)
