"""Self-supervised transformer: maps of where an object may be, and CLS features.

photo (S, S) ──ViT──┬▶ CLS attention of the last block: the mean of all heads, then single heads
                    └▶ patch tokens ──likeness to the most attended──▶ one map
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from edge_runtime.errors import UsageError
from train.tensors import autocast, normalise
from train.weights import create_timm

if TYPE_CHECKING:
    from train.config import SstConfig

ATTENDED = 0.05  # share of the patches whose tokens stand for the object
PAPER_HEADS = 4  # paper section 3.3: the first four maps and the average of all
FEATURE_BLOCKS = 4  # CLS tokens of the last four blocks, as DINO's linear evaluation does


class SelfSupervisedTransformer:
    """A frozen timm ViT.

    Attributes:
        grid: (rows, columns) of the maps.
        maps: how many there are.
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
        shown = heads if config.heads == "all" else min(PAPER_HEADS, heads)
        self.maps = {"attention": 1 + shown, "tokens": 1, "both": 2 + shown}[config.maps]
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
        return self._tokens(x)[1]

    def _tokens(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Patch tokens of the last block (N, patches, dim) and CLS features (N, 4 * dim)."""
        tokens = self._net.get_intermediate_layers(x, n=FEATURE_BLOCKS, return_prefix_tokens=True, norm=True)
        features = torch.cat([prefix[:, 0].float() for _, prefix in tokens], dim=1)
        return tokens[-1][0].float(), features

    @torch.inference_mode()
    def __call__(self, images_rgb_u8: Tensor) -> tuple[Tensor, Tensor]:
        """Maps and features of a batch.

        Args:
            images_rgb_u8: (N, 3, size, size) uint8.

        Returns:
            maps (N, maps, rows, columns) float32 in [0, 1] without NaN, those of tokens (`likeness_maps`)
            before those of attention (`scale_maps`); features (N, 4 * dim) float32.
        """
        x = normalise(images_rgb_u8.to(self.device), self.mean, self.std)
        with autocast(self.device):
            tokens, features = self._tokens(x)
            weights = self._cls_attention()
        weights = torch.nan_to_num(weights.float(), nan=0.0, posinf=1.0, neginf=0.0)
        found: list[Tensor] = []
        if self.config.maps != "attention":
            found.append(likeness_maps(tokens, weights.mean(1)).reshape(-1, 1, *self.grid))
        if self.config.maps != "tokens":
            shown = self.maps - len(found) - 1
            maps = torch.cat([weights.mean(1, keepdim=True), weights[:, :shown]], dim=1)
            found.append(scale_maps(maps.reshape(*maps.shape[:2], *self.grid), self.config.clip_quantile))
        return torch.cat(found, dim=1), features

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


def likeness_maps(tokens: Tensor, attention: Tensor) -> Tensor:
    """How much each patch looks like those that are attended to most.

    Attention lights up on parts of an object and on single patches; tokens of one object resemble each other
    (Simeoni et al., "Localizing Objects with Self-Supervised Transformers and no Labels", 2021). The mean token
    of the most attended patches stands for the object, whichever head found them.

    Args:
        tokens: (N, patches, dim) float32. attention: (N, patches) float32 >= 0.

    Returns:
        (N, patches) float32, cosine likeness from 0, stretched to [0, 1]; 0 where it is constant or not finite.
    """
    directions = F.normalize(tokens, dim=-1)
    count = max(1, round(ATTENDED * attention.shape[1]))
    picked = attention.topk(count, dim=1).indices[..., None].expand(-1, -1, directions.shape[2])
    thing = F.normalize(directions.gather(1, picked).mean(1), dim=-1)
    likeness = torch.einsum("npd,nd->np", directions, thing).clamp_min(0.0)
    low, high = likeness.amin(1, keepdim=True), likeness.amax(1, keepdim=True)
    return torch.nan_to_num((likeness - low) / (high - low).clamp_min(1e-6), nan=0.0, posinf=0.0, neginf=0.0)


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
