"""CLS attention as the network itself computes it, its order, its scaling and its failures."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from edge_runtime.errors import UsageError
from train.config import SstConfig
from train.sst import SelfSupervisedTransformer, likeness_maps, scale_maps, unlike_maps
from train.tensors import normalise

from . import tiny  # noqa: F401  (registers the tiny_vit_...)

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


def test_a_transformer_of_two_blocks_gives_the_features_of_both() -> None:
    sst, photos = _sst(name="tiny_vit_two_blocks"), _photos()
    maps, features = sst(photos)
    assert maps.shape[:2] == (2, 4)
    assert features.shape == (2, sst.features) == (2, 2 * 48)


def test_features_pass_the_gradient_to_the_photo_and_keep_no_graph() -> None:
    sst = _sst()
    x = torch.randn(1, 3, 64, 64, requires_grad=True)
    sst.features_of(x)[0, 0].backward()  # not of their sum: the norm at the end makes that constant
    assert x.grad is not None
    assert x.grad.abs().max() > 1e-6
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


def _two_things(rows: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens (1, rows^2, 4) of an object of three rows on ground; attention on a tenth of the object."""
    gen = torch.Generator().manual_seed(1)
    tokens = 0.05 * torch.randn(1, rows * rows, 4, generator=gen) + torch.tensor([1.0, 0.0, 0.3, 0.0])
    tokens[:, : 3 * rows] += torch.tensor([-1.0, 1.0, 0.0, 0.0])
    attention = torch.full((1, rows * rows), 0.001)
    attention[0, :3] = 0.5
    return tokens, attention


def test_likeness_fills_the_object_of_which_attention_saw_a_part() -> None:
    tokens, attention = _two_things()
    likeness = likeness_maps(tokens, attention)
    assert likeness[0, :24].min() > 0.8
    assert likeness[0, 24:].max() < 0.2
    assert (likeness.min(), likeness.max()) == (0, 1)


def test_what_is_unlike_every_background_stands_out_whatever_attention_says() -> None:
    tokens, _ = _two_things()
    ground = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0, 0.3, 0.0], [0.0, 0.0, 0.0, 1.0]]), dim=1)
    unlike = unlike_maps(tokens, ground)
    assert unlike[0, :24].min() > 0.7
    assert unlike[0, 24:].max() < 0.2


@pytest.mark.parametrize("value", [0.0, 1.0, torch.nan])
def test_tokens_that_are_all_alike_or_broken_give_a_dark_map(value: float) -> None:
    tokens = torch.full((2, 16, 4), value)
    assert not likeness_maps(tokens, torch.ones(2, 16)).any()
    assert not unlike_maps(tokens, torch.eye(4)[:1]).any()


@pytest.mark.parametrize(
    ("maps", "prototypes", "count"),
    [
        ("attention", 0, 3),
        ("attention", 5, 3),
        ("tokens", 0, 1),
        ("tokens", 5, 1),
        ("both", 0, 4),
        ("both", 5, 4),
    ],
)
def test_the_map_of_tokens_comes_before_those_of_attention(maps: str, prototypes: int, count: int) -> None:
    sst = _sst(maps=maps)
    if prototypes:
        sst.prototypes = torch.nn.functional.normalize(torch.randn(prototypes, 64), dim=1)
    found, features = sst(_photos())
    assert found.shape == (2, count, 4, 4) == (2, sst.maps, *sst.grid)
    assert features.shape == (2, sst.features)
    if maps == "both":
        torch.testing.assert_close(found[:, 1:], _sst()(_photos())[0])
        sst.config = dataclasses.replace(sst.config, maps="tokens")
        torch.testing.assert_close(found[:, :1], sst(_photos())[0])
        sst.prototypes = None if prototypes else torch.eye(64)[:2]
        assert not torch.equal(found[:, :1], sst(_photos())[0])


def test_patch_tokens_are_those_of_the_network() -> None:
    sst, photos = _sst(), _photos()
    with torch.no_grad():
        expected = sst._net.forward_features(normalise(photos, sst.mean, sst.std))[:, 1:]
    torch.testing.assert_close(sst.patch_tokens(photos), expected, atol=0.05, rtol=0.05)  # bf16
