"""Dense CRF loss: exact lattice values, the published gradient convention, and both back ends alike."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from tests.train.crf_oracle import DictLattice, exact_filter, natural_image, smooth_logits
from train.crf import dense_crf_loss, normalised_crf_loss
from train.lattice import SORT_SIX, build_lattice

if TYPE_CHECKING:
    from pathlib import Path

BACKENDS = ("numpy", "torch")
SIGMAS = {"sigma_rgb": 15.0, "sigma_xy": 100.0}


def softmax_maps(channels: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(smooth_logits(channels, height, width, seed)).softmax(0)


def batch(*images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(images))


def loss_and_grad(images: torch.Tensor, probs: torch.Tensor, **options: object) -> tuple[float, np.ndarray]:
    probs = probs.detach().clone().requires_grad_()
    loss = dense_crf_loss(images, probs, **{**SIGMAS, "scale": 1.0, **options})  # type: ignore[arg-type]
    loss.backward()
    assert probs.grad is not None
    return loss.item(), probs.grad.float().numpy()


def relative(actual: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def logit_gradient(probs: np.ndarray, grad: np.ndarray) -> np.ndarray:
    """Chain d loss / d probs (K, P) through the softmax over K."""
    return probs * (grad - (probs * grad).sum(0))


RNG = np.random.default_rng(3)
GOLDEN_IMAGES = [
    pytest.param(natural_image(14, 11), 15, 7, id="natural"),
    pytest.param(natural_image(9, 12), 4.0, 40, id="natural, sharp colours"),
    pytest.param(RNG.integers(0, 256, (3, 10, 9), dtype=np.uint8), 15, 100, id="noise"),
    pytest.param(RNG.integers(0, 256, (3, 7, 9), dtype=np.uint8), 200, 2.5, id="noise, sharp positions"),
    pytest.param(np.zeros((3, 13, 16), np.uint8), 15, 8, id="black: all colour ranks tie"),
    pytest.param(np.full((3, 13, 16), 255, np.uint8), 15, 8, id="white"),
    pytest.param(np.full((3, 12, 12), 128, np.uint8), 15, 1.2247448, id="grey, sharp positions"),
    pytest.param(np.zeros((3, 5, 10), np.uint8), 15, 1.1547006, id="black, coordinates exactly half way"),
    pytest.param(RNG.integers(0, 2, (3, 8, 8), dtype=np.uint8) * 255, 15, 12, id="black and white only"),
    pytest.param(natural_image(2, 17), 15, 5, id="two rows"),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("image", "sigma_rgb", "sigma_xy"), GOLDEN_IMAGES)
def test_loss_and_gradient_equal_a_dictionary_lattice(image, sigma_rgb, sigma_xy, backend):
    maps = softmax_maps(3, *image.shape[1:], seed=5)
    lattice = DictLattice(image, sigma_rgb, sigma_xy)
    flat = maps.reshape(3, -1).numpy()
    filtered = np.stack([lattice.filter(channel) for channel in flat])
    loss, grad = loss_and_grad(
        batch(image), maps[None], sigma_rgb=sigma_rgb, sigma_xy=sigma_xy, backend=backend
    )
    assert loss == pytest.approx(-(flat * filtered).sum(), rel=1e-6)
    assert relative(grad.reshape(3, -1), -2 * filtered) <= 2e-6


@pytest.mark.data
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "case", ["synth_96x128_half", "batch2_64", "k3_48_noise", "noise_image_48", "const_map_64"]
)
def test_reference_cases_are_met(research_data: Path, case, backend):
    with np.load(research_data / "crf_cases.npz") as cases:
        image, seg, params, expected, grad_expected = (
            cases[f"{case}/{key}"] for key in ("image", "seg", "params", "loss", "grad")
        )
    sigma_rgb, sigma_xy, scale = params.tolist()
    loss, grad = loss_and_grad(
        torch.from_numpy(image),
        torch.from_numpy(seg),
        sigma_rgb=sigma_rgb,
        sigma_xy=sigma_xy,
        scale=scale,
        backend=backend,
    )
    assert loss == pytest.approx(float(expected), rel=1e-6)
    assert relative(grad, grad_expected) <= 2e-6


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.37])
def test_back_ends_agree_on_a_batch(scale):
    images = batch(natural_image(64, 49, 1), natural_image(64, 49, 2), np.zeros((3, 64, 49), np.uint8))
    probs = torch.stack([softmax_maps(3, 64, 49, seed) for seed in range(3)])
    loss_n, grad_n = loss_and_grad(images, probs, scale=scale, backend="numpy")
    loss_t, grad_t = loss_and_grad(images, probs, scale=scale, backend="torch")
    assert loss_t == pytest.approx(loss_n, rel=1e-6)
    assert relative(grad_t, grad_n) <= 2e-6


@pytest.mark.parametrize("backend", BACKENDS)
def test_images_of_a_batch_do_not_see_each_other(backend):
    images = batch(natural_image(20, 30, 1), natural_image(20, 30, 2))
    probs = torch.stack([softmax_maps(2, 20, 30, seed) for seed in range(2)])
    loss, grad = loss_and_grad(images, probs, backend=backend)
    alone = [loss_and_grad(images[i : i + 1], probs[i : i + 1], backend=backend) for i in range(2)]
    assert loss == pytest.approx(sum(one for one, _ in alone) / 2, rel=1e-6)
    assert relative(grad, np.concatenate([one for _, one in alone]) / 2) <= 1e-6


@pytest.mark.parametrize("seed", [0, 1])
def test_lattice_follows_the_exact_gaussian(seed):
    image, probs = natural_image(48, 48, seed), softmax_maps(2, 48, 48, seed).reshape(2, -1).numpy()
    filtered = build_lattice(image, 15, 100).filter(probs)
    exact = exact_filter(image, probs, 15, 100)
    assert np.corrcoef(filtered.ravel(), exact.ravel())[0, 1] >= 0.97
    assert 0.45 <= (probs * filtered).sum() / (probs * exact).sum() <= 0.75
    assert cosine(logit_gradient(probs, filtered), logit_gradient(probs, exact)) >= 0.98


def test_gradient_is_within_five_percent_of_the_difference_quotient():
    images, probs = batch(natural_image(48, 40)), softmax_maps(2, 48, 40)[None]
    _, grad = loss_and_grad(images, probs)
    direction = torch.from_numpy(grad / np.abs(grad).max()) * 0.5
    ahead, _ = loss_and_grad(images, probs + direction)
    behind, _ = loss_and_grad(images, probs - direction)
    slope = (ahead - behind) / 2  # the loss is quadratic: a central difference of any width is exact
    assert slope == pytest.approx(float((grad * direction.numpy()).sum()), rel=0.05)


def test_difference_quotient_is_the_symmetrised_lattice():
    image, maps = natural_image(16, 18), softmax_maps(2, 16, 18)
    direction = softmax_maps(2, 16, 18, seed=9)
    lattice = DictLattice(image, 15, 30)
    flat = maps.reshape(2, -1).numpy()
    true_grad = -np.stack([lattice.filter(c) + lattice.filter(c, transpose=True) for c in flat])
    ahead, _ = loss_and_grad(batch(image), (maps + direction)[None], sigma_xy=30)
    behind, _ = loss_and_grad(batch(image), (maps - direction)[None], sigma_xy=30)
    expected = float((true_grad * direction.reshape(2, -1).numpy()).sum())
    assert (ahead - behind) / 2 == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_undecided_map_has_no_logit_gradient(backend):
    logits = torch.zeros(1, 2, 32, 32, requires_grad=True)
    probs = logits.softmax(1)
    probs.retain_grad()
    dense_crf_loss(batch(natural_image(32, 32)), probs, **SIGMAS, scale=0.5, backend=backend).backward()
    assert logits.grad is not None
    assert probs.grad is not None
    assert logits.grad.abs().max() <= 1e-9 * probs.grad.abs().max()


@pytest.mark.parametrize("backend", BACKENDS)
def test_permuted_channels_permute_the_gradient(backend):
    images, probs = batch(natural_image(24, 32)), softmax_maps(3, 24, 32)[None]
    loss, grad = loss_and_grad(images, probs, backend=backend)
    loss_permuted, grad_permuted = loss_and_grad(images, probs[:, [2, 0, 1]], backend=backend)
    assert loss_permuted == pytest.approx(loss, rel=1e-6)
    np.testing.assert_array_equal(grad_permuted, grad[:, [2, 0, 1]])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("level", [0, 255])
def test_flat_images_and_hard_maps_stay_finite_and_negative(level, backend):
    images = torch.full((2, 3, 30, 46), level, dtype=torch.uint8)
    probs = torch.zeros(2, 2, 30, 46)
    probs[:, 1, :, 20:] = 1
    probs[:, 0, :, :20] = 1
    loss, grad = loss_and_grad(images, probs, scale=0.5, backend=backend)
    assert -((15 * 23) ** 2) < loss < 0
    assert np.isfinite(grad).all()
    assert (grad <= 0).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_float_types_are_computed_in_float32_and_get_their_own_gradient(dtype):
    images, probs = batch(natural_image(20, 20)), softmax_maps(2, 20, 20)[None].to(dtype)
    reference, grad_reference = loss_and_grad(images, probs.float())
    leaf = probs.clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = dense_crf_loss(images, leaf, **SIGMAS, scale=1.0)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == reference
    assert leaf.grad is not None
    assert leaf.grad.dtype == dtype
    assert relative(leaf.grad.float().numpy(), grad_reference) <= 2**-8


def test_upstream_weight_scales_the_gradient():
    images, probs = batch(natural_image(20, 20)), softmax_maps(2, 20, 20)[None]
    _, grad = loss_and_grad(images, probs)
    leaf = probs.clone().requires_grad_()
    (2e-9 * dense_crf_loss(images, leaf, **SIGMAS, scale=1.0)).backward()
    assert leaf.grad is not None
    assert relative(leaf.grad.numpy(), 2e-9 * grad) <= 1e-6


def test_normalised_loss_at_weight_5_equals_the_published_weight_at_224():
    images, probs = batch(natural_image(224, 224)), softmax_maps(2, 224, 224)[None]
    plain = dense_crf_loss(images, probs, **SIGMAS, scale=1.0)
    assert -1 < normalised_crf_loss(images, probs, scale=1.0) < 0
    assert (5.035 * normalised_crf_loss(images, probs, scale=1.0)).item() == pytest.approx(
        2e-9 * plain.item(), rel=1e-3
    )


@pytest.mark.parametrize(("factor", "scale"), [(2, 0.5), (2, 1.0), (1, 0.5)])
def test_normalised_loss_hardly_depends_on_resolution(factor, scale):
    images, probs = batch(natural_image(80, 96)), softmax_maps(2, 80, 96)[None]
    expected = normalised_crf_loss(images, probs, scale=1.0).item()
    larger = images.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    maps = probs.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    assert normalised_crf_loss(larger, maps, scale=scale).item() == pytest.approx(expected, rel=0.05)


IMAGE, PROBS = torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.full((1, 2, 8, 8), 0.5)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        pytest.param({"images_u8": IMAGE.float()}, "uint8 .* got torch.float32", id="normalised image"),
        pytest.param({"images_u8": IMAGE[:, :1]}, r"\(N, 3, H, W\), got \(1, 1, 8, 8\)", id="grey image"),
        pytest.param({"images_u8": IMAGE[0]}, r"\(N, 3, H, W\), got \(3, 8, 8\)", id="no batch axis"),
        pytest.param({"probs": PROBS.long()}, "floating-point .* got torch.int64", id="labels"),
        pytest.param({"probs": PROBS[:, :, :4]}, r"got \(1, 2, 4, 8\)", id="other height"),
        pytest.param({"probs": PROBS.repeat(2, 1, 1, 1)}, r"got \(2, 2, 8, 8\)", id="other batch"),
        pytest.param({"probs": PROBS[:, :0]}, "at least one", id="no channel"),
        pytest.param({"scale": 0.0}, r"\(0, 1\], got 0.0", id="scale 0"),
        pytest.param({"scale": 1.5}, r"\(0, 1\], got 1.5", id="scale above 1"),
        pytest.param({"scale": 0.2}, "at least 2 x 2 .* got 8 x 8", id="one pixel left"),
        pytest.param({"images_u8": IMAGE[:, :, :1], "probs": PROBS[:, :, :1]}, "got 1 x 8", id="one row"),
        pytest.param({"sigma_rgb": 0.0}, "sigma_rgb positive", id="sigma_rgb 0"),
        pytest.param({"sigma_xy": float("nan")}, "sigma_xy positive", id="sigma_xy NaN"),
        pytest.param({"backend": "cuda"}, "got 'cuda'", id="unknown back end"),
    ],
)
def test_bad_input_names_what_was_expected(changed, message):
    arguments = {"images_u8": IMAGE, "probs": PROBS, **SIGMAS, "scale": 1.0} | changed
    with pytest.raises(ValueError, match=message):
        dense_crf_loss(**arguments)


@pytest.mark.parametrize("backend", BACKENDS)
def test_sigmas_too_small_for_the_keys_are_refused(backend):
    noise = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 3, 8, 8), dtype=np.uint8))
    with pytest.raises(ValueError, match="raise sigma_rgb or sigma_xy"):
        dense_crf_loss(noise, PROBS, sigma_rgb=1e-3, sigma_xy=100, scale=1.0, backend=backend)


def test_sorting_network_sorts_every_pattern_of_zeros_and_ones():
    for pattern in product((0, 1), repeat=6):
        row = list(pattern)
        for i, j in SORT_SIX:
            row[i], row[j] = max(row[i], row[j]), min(row[i], row[j])
        assert row == sorted(pattern, reverse=True)
