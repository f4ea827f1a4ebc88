"""Pseudo-pixels: which pixels of a view are foreground or background in this iteration (paper eq. 3-4).

attention (N, S, S) + selected box + all kept boxes ──▶ labels (N, S, S): 0 background, 1 foreground, IGNORE
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from train.localizer import BACKGROUND, FOREGROUND

if TYPE_CHECKING:
    from train.config import SamplingConfig, SelfTrainingConfig

IGNORE = -100
REFERENCE_SIDE = 224  # counts of the configuration are meant for this side


@dataclass(frozen=True)
class SeedInputs:
    """What one batch is sampled from; all tensors on one device.

    attention: (N, S, S) float32 in [0, 1], the selected map of each view.
    box: (N, 4) float32 xyxy fractions of the view; zero width where there is no proposal.
    kept: (N, S, S) bool, union of all kept proposals of each view.
    level: (N,) float32, Otsu level of the selected map in [0, 1].
    negative: (N,) bool, photo of the negative class: every pixel is background.
    others: (N, S, S) bool, boxes of further objects on the selected map, foreground as the selected box is;
        None: the selected box alone.
    own: (N, S, S) float32, the localizer's own map of each view in [0, 1], -1 where the view learns from
        its proposal; None: all do.
    """

    attention: Tensor
    box: Tensor
    kept: Tensor
    level: Tensor
    negative: Tensor
    others: Tensor | None = None
    own: Tensor | None = None


def sample_seeds(
    inputs: SeedInputs,
    config: SamplingConfig,
    generator: torch.Generator,
    sure: SelfTrainingConfig | None = None,
) -> Tensor:
    """Draw the labels of one iteration: multinomial foreground in the box, uniform weak background.

    Args:
        sure: what is sure in `inputs.own`; there both sides are drawn uniformly.

    Returns:
        (N, S, S) int64: 0, 1 or IGNORE. Pixels drawn for both are ignored.
    """
    attention = inputs.attention
    n, side, _ = attention.shape
    scale = (side / REFERENCE_SIDE) ** 2
    inside = box_masks(inputs.box, side)
    if inputs.others is not None:
        inside = inside | inputs.others
    flat = attention.reshape(n, -1)
    valid = inside.flatten(1).any(1)

    fg_allowed = _foreground_pool(flat, inside.flatten(1), inputs.level, config)
    bg_allowed = _background_pool(flat, inside.flatten(1), inputs.kept.flatten(1), config)
    weight = flat.clamp_min(1e-8).log()
    if inputs.own is not None and sure is not None:
        own = inputs.own.reshape(n, -1)
        by_own = own.amin(1) >= 0
        fg_allowed = torch.where(by_own[:, None], own > sure.sure_fg, fg_allowed)
        bg_allowed = torch.where(by_own[:, None], own < sure.sure_bg, bg_allowed)
        weight = torch.where(by_own[:, None], 0.0, weight)
        valid |= by_own
    fg = _draw(weight, fg_allowed, round(config.n_fg * scale), generator)
    bg = _draw(torch.zeros_like(flat), bg_allowed, round(config.n_bg * scale), generator)

    fg_map = _dilate(fg.reshape(n, side, side), config.dilation)
    bg_map = _dilate(bg.reshape(n, side, side), config.dilation)
    labels = torch.full((n, side, side), IGNORE, dtype=torch.int64, device=attention.device)
    labels[bg_map & ~fg_map] = BACKGROUND
    labels[fg_map & ~bg_map] = FOREGROUND
    # Without a proposal nothing says where the object is: no seeds at all, unless the photo is negative.
    labels[~valid] = IGNORE
    labels[inputs.negative] = BACKGROUND
    return labels


def box_masks(boxes: Tensor, side: int) -> Tensor:
    """(N, 4) xyxy fractions to (N, side, side) bool: pixels whose centre lies in the half-open box."""
    centre = (torch.arange(side, device=boxes.device, dtype=torch.float32) + 0.5) / side
    x = (centre >= boxes[:, 0:1]) & (centre < boxes[:, 2:3])
    y = (centre >= boxes[:, 1:2]) & (centre < boxes[:, 3:4])
    return y[:, :, None] & x[:, None, :]


def _foreground_pool(flat: Tensor, inside: Tensor, level: Tensor, config: SamplingConfig) -> Tensor:
    """Pixels that may become foreground: the strongest share of the box, or its part above Otsu's level."""
    if config.fg_pool == "region":
        return inside & (flat > level[:, None])
    wanted = (config.fg_fraction * inside.sum(1)).long()
    return inside & _top_mask(torch.where(inside, flat, -1.0), wanted)


def _background_pool(flat: Tensor, inside: Tensor, kept: Tensor, config: SamplingConfig) -> Tensor:
    """Pixels that may become background: the weakest share of the image, outside boxes as configured."""
    n, pixels = flat.shape
    wanted = torch.full((n,), int(config.bg_fraction * pixels), device=flat.device)
    pool = _top_mask(-flat, wanted)
    if config.bg_pool == "box":
        return pool & ~inside
    return pool & ~kept if config.bg_pool == "proposals" else pool


def _top_mask(values: Tensor, counts: Tensor) -> Tensor:
    """Mask of the `counts[i]` largest values of each row; `topk` decides among equals at the edge."""
    most = int(counts.max())
    if most == 0:
        return torch.zeros_like(values, dtype=torch.bool)
    order = values.topk(most, dim=1).indices
    rank_ok = torch.arange(most, device=values.device)[None] < counts[:, None]
    return torch.zeros_like(values, dtype=torch.bool).scatter_(1, order, rank_ok)


def _draw(log_weight: Tensor, allowed: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Multinomial draw of up to `count` pixels per row without replacement (Gumbel top-k)."""
    if count == 0:
        return torch.zeros_like(allowed)
    uniform = torch.rand(log_weight.shape, generator=generator, device=log_weight.device)
    gumbel = -torch.log(-torch.log(uniform.clamp(1e-20, 1 - 1e-7)))
    keys = torch.where(allowed, log_weight + gumbel, -torch.inf)
    top = keys.topk(min(count, keys.shape[1]), dim=1)
    return torch.zeros_like(allowed).scatter_(1, top.indices, top.values > -torch.inf)


def _dilate(mask: Tensor, side: int) -> Tensor:
    """Grow (N, S, S) bool by a flat square; image borders do not wrap."""
    if side <= 1:
        return mask
    return F.max_pool2d(mask[:, None].float(), side, stride=1, padding=side // 2)[:, 0] > 0
