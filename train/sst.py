"""Self-supervised transformer: maps of where an object may be, and CLS features.

photo (S, S) ──ViT──┬▶ CLS attention of the last block: the mean of all heads, then single heads
                    └▶ patch tokens ──unlike any patch of negative photos; without such photos: more like the
                                      most attended than the least──▶ one map
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

ATTENDED, UNATTENDED = 0.05, 0.3  # shares of the patches that stand for the object, and for what is around it
PAPER_HEADS = 4  # paper section 3.3: the first four maps and the average of all
FEATURE_BLOCKS = 4  # as DINO's linear evaluation: CLS tokens of the last four blocks, or of all there are


class SelfSupervisedTransformer:
    """A frozen timm ViT. With `maps` left to be chosen ("auto") it gives those of attention.

    Attributes:
        grid: (rows, columns) of the maps.
        prototypes: (K, dim) directions of background patches, see train/prototypes.py; None: not known.
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
        self._heads = {"all": heads, "first4": min(PAPER_HEADS, heads), "mean": 0}[config.heads]
        self.prototypes: Tensor | None = None
        self._blocks = min(FEATURE_BLOCKS, len(net.blocks))
        self.width = int(net.embed_dim)
        self.features = self._blocks * self.width

    @property
    def maps(self) -> int:
        """How many maps a photo has."""
        return {"tokens": 1, "both": 2 + self._heads}.get(self.config.maps, 1 + self._heads)

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
        """CLS features (N, features) of normalised photos (N, 3, size, size); the gradient reaches `x`."""
        return self._tokens(x)[1]

    @torch.inference_mode()
    def patch_tokens(self, images_rgb_u8: Tensor) -> Tensor:
        """(N, 3, size, size) uint8 to the tokens of their patches, (N, patches, dim) float32."""
        x = normalise(images_rgb_u8.to(self.device), self.mean, self.std)
        with autocast(self.device):
            return self._tokens(x)[0]

    def _tokens(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Patch tokens of the last block (N, patches, dim) and CLS features (N, features)."""
        tokens = self._net.get_intermediate_layers(x, n=self._blocks, return_prefix_tokens=True, norm=True)
        features = torch.cat([prefix[:, 0].float() for _, prefix in tokens], dim=1)
        return tokens[-1][0].float(), features

    @torch.inference_mode()
    def __call__(self, images_rgb_u8: Tensor) -> tuple[Tensor, Tensor]:
        """Maps and features of a batch.

        Args:
            images_rgb_u8: (N, 3, size, size) uint8.

        Returns:
            maps (N, maps, rows, columns) float32 in [0, 1] without NaN, that of tokens (`unlike_maps`, or
            `likeness_maps`) before those of attention (`scale_maps`); features (N, features) float32.
        """
        x = normalise(images_rgb_u8.to(self.device), self.mean, self.std)
        with autocast(self.device):
            tokens, features = self._tokens(x)
            weights = self._cls_attention()
        weights = torch.nan_to_num(weights.float(), nan=0.0, posinf=1.0, neginf=0.0)
        found: list[Tensor] = []
        if self.config.maps in ("tokens", "both"):
            if self.prototypes is None:
                by_tokens = likeness_maps(tokens, weights.mean(1))
            else:
                by_tokens = unlike_maps(tokens, self.prototypes.to(tokens.device))
            found.append(by_tokens.reshape(-1, 1, *self.grid))
        if self.config.maps != "tokens":
            maps = torch.cat([weights.mean(1, keepdim=True), weights[:, : self._heads]], dim=1)
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
    """How much more each patch looks like those attended to most than like those attended to least.

    Attention lights up on parts of an object and on single patches; tokens of one object resemble each other
    (Siméoni et al., "Localizing Objects with Self-Supervised Transformers and no Labels", 2021). The mean
    token of the most attended patches stands for the object, whichever head found them.

    Args:
        tokens: (N, patches, dim) float32. attention: (N, patches) float32 >= 0.

    Returns:
        (N, patches) float32, difference of cosines, stretched to [0, 1] by `stretch`.
    """
    directions = F.normalize(tokens, dim=-1)

    def mean_of(rank: Tensor, share: float) -> Tensor:
        count = max(1, round(share * rank.shape[1]))
        picked = rank.topk(count, dim=1).indices[..., None].expand(-1, -1, directions.shape[2])
        return F.normalize(directions.gather(1, picked).mean(1), dim=-1)

    axis = mean_of(attention, ATTENDED) - mean_of(-attention, UNATTENDED)
    return stretch(torch.einsum("npd,nd->np", directions, axis))


def unlike_maps(tokens: Tensor, prototypes: Tensor) -> Tensor:
    """How unlike every kind of background each patch is.

    Args:
        tokens: (N, patches, dim) float32. prototypes: (K, dim) float32 of length 1.

    Returns:
        (N, patches) float32, 1 - the highest cosine, stretched to [0, 1] by `stretch`.
    """
    return stretch(1 - (F.normalize(tokens, dim=-1) @ prototypes.T).amax(2))


def stretch(values: Tensor) -> Tensor:
    """(N, patches) float32 to a minimum of 0 and a maximum of 1 per row; a constant or broken row to 0."""
    low, high = values.amin(1, keepdim=True), values.amax(1, keepdim=True)
    return torch.nan_to_num((values - low) / (high - low).clamp_min(1e-6), nan=0.0, posinf=0.0, neginf=0.0)


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
