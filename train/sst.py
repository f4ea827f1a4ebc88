"""Self-supervised transformer: CLS attention maps of its last block, and CLS features.

photo (S, S) ──ViT──▶ attention (maps, S/patch, S/patch): index 0 the mean of all heads, then single heads
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from edge_runtime.errors import UsageError
from train.tensors import autocast, normalise
from train.weights import create_timm

if TYPE_CHECKING:
    from train.config import SstConfig

PAPER_HEADS = 4  # paper section 3.3: the first four maps and the average of all
FEATURE_BLOCKS = 4  # CLS tokens of the last four blocks, as DINO's linear evaluation does


class SelfSupervisedTransformer:
    """A frozen timm ViT.

    Attributes:
        grid: (rows, columns) of the attention maps.
        maps: how many maps `attention` gives.
        features: length of the CLS feature vector.
        mean, std: input normalisation, RGB, in units of 0..1.
    """

    def __init__(self, config: SstConfig, device: torch.device) -> None:
        """Raises UsageError when the network is unknown or no ViT of the plain kind with a CLS token."""
        self.device = device
        self.config = config
        net: Any = create_timm(config.name, config.weights, "SST", num_classes=0, img_size=config.size)
        if not gives_cls_attention(net):
            raise UsageError(f"SST {config.name!r}: expected a plain vision transformer with a CLS token")
        patch = int(net.patch_embed.patch_size[0])
        if config.size % patch:
            raise UsageError(
                f"sst.size = {config.size}: expected a multiple of {patch}, the patch of {config.name}"
            )
        self._net = net.eval().requires_grad_(False).to(device)
        self._attn: Any = net.blocks[-1].attn
        self._attn_input: Tensor | None = None
        self._attn.register_forward_pre_hook(self._remember)
        self.mean, self.std = net.pretrained_cfg["mean"], net.pretrained_cfg["std"]
        self.grid: tuple[int, int] = tuple(net.patch_embed.grid_size)
        heads = int(self._attn.num_heads)
        self.maps = 1 + (heads if config.heads == "all" else min(PAPER_HEADS, heads))
        self.features = FEATURE_BLOCKS * int(net.embed_dim)

    def parameter_count(self) -> int:
        """Numbers among the network's weights."""
        return sum(p.numel() for p in self._net.parameters())

    def to(self, device: torch.device) -> None:
        """Move the network; photos follow it."""
        if device != self.device:
            self.device, self._net = device, self._net.to(device)

    def _remember(self, _module: object, inputs: tuple[Tensor, ...]) -> None:
        self._attn_input = inputs[0].detach()

    def features_of(self, x: Tensor) -> Tensor:
        """CLS features (N, 4 * dim) of normalised photos (N, 3, size, size); the gradient reaches `x`."""
        tokens = self._net.get_intermediate_layers(x, n=FEATURE_BLOCKS, return_prefix_tokens=True, norm=True)
        return torch.cat([prefix[:, 0].float() for _, prefix in tokens], dim=1)

    @torch.inference_mode()
    def __call__(self, images_rgb_u8: Tensor) -> tuple[Tensor, Tensor]:
        """Attention and features of a batch.

        Args:
            images_rgb_u8: (N, 3, size, size) uint8.

        Returns:
            attention (N, maps, rows, columns) float32 in [0, 1], see `scale_maps`, without NaN;
            features (N, 4 * dim) float32.
        """
        x = normalise(images_rgb_u8.to(self.device), self.mean, self.std)
        with autocast(self.device):
            features = self.features_of(x)
            weights = self._cls_attention()
        n = x.shape[0]
        heads = weights.float().reshape(n, -1, *self.grid)  # (N, heads, rows, columns)
        maps = torch.cat([heads.mean(1, keepdim=True), heads], dim=1)[:, : self.maps]
        maps = torch.nan_to_num(maps, nan=0.0, posinf=1.0, neginf=0.0)
        return scale_maps(maps, self.config.clip_quantile), features

    def _cls_attention(self) -> Tensor:
        """softmax(q_cls k^T / sqrt(d)) over all tokens, patch columns only: (N, heads, patches)."""
        if self._attn_input is None:
            raise AssertionError("the last block has not run")
        return cls_attention(self._attn, self._attn_input, int(self._net.num_prefix_tokens))


def cls_attention(attn: Any, x: Tensor, prefix: int) -> Tensor:
    """softmax(q_cls k^T / sqrt(d)) of a timm attention module, which fused kernels do not give away.

    Args:
        x: (N, tokens, dim) what the module was given. prefix: tokens before those of patches, CLS first.

    Returns:
        (N, heads, patches) float32; a row and the weights of the prefix add up to 1.
    """
    n, tokens, dim = x.shape
    qkv = attn.qkv(x).reshape(n, tokens, 3, attn.num_heads, dim // attn.num_heads)
    q, k = attn.q_norm(qkv[:, :1, 0].transpose(1, 2)), attn.k_norm(qkv[:, :, 1].transpose(1, 2))
    scores = (q.float() * attn.scale) @ k.float().transpose(-2, -1)  # (N, heads, 1, tokens)
    cls_to_patches: Tensor = scores.softmax(-1)[:, :, 0, prefix:]
    return cls_to_patches


def gives_cls_attention(net: Any) -> bool:
    """Whether `cls_attention` computes what the network computes (no rotary embedding, one qkv)."""
    attn = getattr(net.blocks[-1], "attn", None) if hasattr(net, "blocks") else None
    has_parts = all(callable(getattr(attn, part, None)) for part in ("qkv", "q_norm", "k_norm"))
    return has_parts and getattr(net, "cls_token", None) is not None and getattr(net, "rope", None) is None


def scale_maps(maps: Tensor, quantile: float) -> Tensor:
    """Cut each map off at its own quantile and scale it to a maximum of 1; a zero map stays zero.

    Some transformers park global information in a few patches of very high attention (Darcet et al.,
    "Vision Transformers Need Registers", 2024); dividing by such a peak hides the object from Otsu.

    Args:
        maps: (..., rows, columns) float32 >= 0.
        quantile: in (0, 1]; 1 divides by the maximum (paper).
    """
    top = maps.amax((-2, -1), keepdim=True)
    if quantile < 1:
        level = maps.flatten(-2).quantile(quantile, dim=-1)[..., None, None]
        top = torch.where(level > 0, level, top)
    return (maps / top.clamp_min(1e-12)).clamp_max(1.0)
