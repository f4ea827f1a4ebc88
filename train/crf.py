"""Dense CRF loss: pixels that look alike and lie close together should get the same label.

raw image + class probabilities ──▶ scalar, the more negative the better map edges follow image edges.
The pairwise sums over all pixels come from a permutohedral lattice: NumPy on a CPU, torch on a GPU.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from train.lattice import build_lattice
from train.lattice_torch import lattice_filter

Backend = Literal["auto", "numpy", "torch"]


def dense_crf_loss(
    images_u8: Tensor,
    probs: Tensor,
    *,
    sigma_rgb: float,
    sigma_xy: float,
    scale: float,
    backend: Backend = "auto",
) -> Tensor:
    """-(1/N) sum over images and channels of S^T A S, A the Gaussian affinity of position and colour.

    The gradient is -(2/N) A S, as if the lattice operator A were exactly symmetric (its true
    derivative differs by about 3 % in logit space), chained through the bilinear downscale.
    Paper section 3.3, with Tang et al., "On Regularized Losses for Weakly-supervised CNN
    Segmentation", ECCV 2018.

    Args:
        images_u8: (N, 3, H, W) uint8, raw RGB of the view the network saw; never normalised.
        probs: (N, K, H, W) floating point of any width, softmax over channels. Computed in float32;
            the gradient comes back in this dtype.
        sigma_rgb: colour scale in grey levels.
        sigma_xy: spatial scale in pixels of the full (H, W) image.
        scale: in (0, 1]; the image is shrunk to it by nearest, the map by bilinear interpolation.
        backend: "numpy" (one CPU thread, bit-reproducible), "torch" (on the device of `probs`), or
            "auto": torch for probabilities on a GPU, numpy otherwise.

    Returns:
        Scalar float32, negative, not normalised by area; on the device of `probs`.

    Raises:
        ValueError: a shape, dtype or range is not as above, or a side is 1 pixel or less after scaling.
    """
    _check(images_u8, probs, sigma_rgb, sigma_xy, scale, backend)
    if backend == "auto":
        backend = "torch" if probs.is_cuda else "numpy"
    with torch.autocast(probs.device.type, enabled=False):
        images, maps = images_u8, probs.float()
        if scale != 1:
            images = functional.interpolate(images, scale_factor=scale, mode="nearest")
            maps = functional.interpolate(maps, scale_factor=scale, mode="bilinear", align_corners=False)
        loss: Tensor = _DenseCrf.apply(maps, images, float(sigma_rgb), float(sigma_xy) * scale, backend)
        return loss


def normalised_crf_loss(
    images_u8: Tensor,
    probs: Tensor,
    *,
    sigma_rgb: float = 15.0,
    sigma_xy_fraction: float = 100 / 224,
    scale: float = 0.5,
) -> Tensor:
    """`dense_crf_loss` divided by the squared number of pixels, so that a weight holds for any size.

    A weight of 5.035 here equals the published 2e-9 on the plain loss at 224 x 224 and scale 1.

    Args:
        images_u8, probs, sigma_rgb, scale: as in `dense_crf_loss`.
        sigma_xy_fraction: spatial scale as a fraction of the image side (of sqrt(H W) if not square).

    Returns:
        Scalar float32 in [-1, 0] for probabilities that sum to 1.
    """
    loss = dense_crf_loss(
        images_u8,
        probs,
        sigma_rgb=sigma_rgb,
        sigma_xy=sigma_xy_fraction * (probs.shape[-2] * probs.shape[-1]) ** 0.5,
        scale=scale,
    )
    height, width = _scaled(probs.shape[-2], scale), _scaled(probs.shape[-1], scale)
    return loss / (height * width) ** 2


class _DenseCrf(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, maps: Tensor, images: Tensor, sigma_rgb: float, sigma_xy: float, backend: Backend
    ) -> Tensor:
        apply_affinity = _filter_numpy if backend == "numpy" else lattice_filter
        filtered = apply_affinity(images, maps.detach(), sigma_rgb, sigma_xy)
        ctx.save_for_backward(filtered)
        return -(maps.double() * filtered).sum().float() / len(maps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None, None]:
        (filtered,) = ctx.saved_tensors
        return filtered * (grad_outputs[0] * (-2 / len(filtered))), None, None, None, None


def _filter_numpy(images: Tensor, maps: Tensor, sigma_rgb: float, sigma_xy: float) -> Tensor:
    pixels = images.cpu().numpy()
    values = maps.cpu().reshape(*maps.shape[:2], -1).numpy()
    filtered = [
        build_lattice(image, sigma_rgb, sigma_xy).filter(value)
        for image, value in zip(pixels, values, strict=True)
    ]
    return torch.from_numpy(np.stack(filtered)).reshape(maps.shape).to(maps.device)


def _scaled(side: int, scale: float) -> int:
    return int(side * scale)


def _check(
    images: Tensor, probs: Tensor, sigma_rgb: float, sigma_xy: float, scale: float, backend: str
) -> None:
    if images.dtype != torch.uint8:
        raise ValueError(f"expected raw images as uint8 0..255, got {images.dtype}; do not normalise them")
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"expected images (N, 3, H, W), got {tuple(images.shape)}")
    if not probs.is_floating_point():
        raise ValueError(f"expected floating-point probabilities, got {probs.dtype}; apply softmax first")
    n, _, height, width = images.shape
    if probs.ndim != 4 or (probs.shape[0], *probs.shape[2:]) != (n, height, width):
        raise ValueError(
            f"expected probabilities (N, K, H, W) of the same N, H, W as images {tuple(images.shape)}, "
            f"got {tuple(probs.shape)}"
        )
    if n == 0 or probs.shape[1] == 0:
        raise ValueError(f"expected at least one image and one channel, got {tuple(probs.shape)}")
    if not 0 < scale <= 1:
        raise ValueError(f"expected scale in (0, 1], got {scale}")
    for name, sigma in (("sigma_rgb", sigma_rgb), ("sigma_xy", sigma_xy)):
        if not 0 < sigma < float("inf"):
            raise ValueError(f"expected {name} positive and finite, got {sigma}")
    if min(_scaled(height, scale), _scaled(width, scale)) < 2:
        raise ValueError(
            f"expected images of at least 2 x 2 pixels after scaling by {scale}, got {height} x {width}"
        )
    if backend not in ("auto", "numpy", "torch"):
        raise ValueError(f"expected backend auto, numpy or torch, got {backend!r}")
