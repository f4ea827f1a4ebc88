"""The lattice of train/lattice.py for a whole batch at once in torch, for a GPU.

images (N, 3, H, W) + maps (N, K, H, W) ──lattice_filter──▶ filtered maps (N, K, H, W)
One lattice holds all images: the image number is the leading digit of every key, so they never meet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from train.lattice import CORNERS, DIM, GAIN, SORT_SIX, feature_tables, key_layout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


@torch.no_grad()
def lattice_filter(images_u8: Tensor, maps: Tensor, sigma_rgb: float, sigma_xy: float) -> Tensor:
    """A @ map for every image and channel; equals `Lattice.filter` to float32 rounding.

    On CUDA the sums are atomic: bit-reproducible only under `torch.use_deterministic_algorithms`.

    Args:
        images_u8: (N, 3, H, W) uint8 raw colours, on any device.
        maps: (N, K, H, W) float32; the work is done on its device.
        sigma_rgb: colour scale in grey levels.
        sigma_xy: spatial scale in pixels of these images.

    Returns:
        (N, K, H, W) float32.

    Raises:
        ValueError: the sigmas are too small for the lattice coordinates to fit 64-bit keys.
    """
    n, channels, height, width = maps.shape
    origin, rank, weights = _locate(_elevate(images_u8.to(maps.device), sigma_rgb, sigma_xy))
    corners, plus, minus = _connect(origin, rank, images=n)

    values = maps.transpose(0, 1).reshape(channels, -1)  # (K, N * H * W)
    out = torch.empty_like(values)
    for channel, value in zip(out, values, strict=True):
        field = torch.zeros(plus.shape[1], dtype=torch.float32, device=maps.device)
        field.index_add_(0, corners.flatten(), (weights * value).flatten())
        for up, down in zip(plus, minus, strict=True):
            field = field + 0.5 * (field[up] + field[down])
        channel.copy_((weights * field[corners]).sum(0).mul_(GAIN))
    return out.reshape(channels, n, height, width).transpose(0, 1).contiguous()


def _elevate(images_u8: Tensor, sigma_rgb: float, sigma_xy: float) -> Tensor:
    """Pixel features on the hyperplane sum(x) = 0: (6, N * H * W) float32, in the order of lattice.py."""
    n, _, height, width = images_u8.shape
    tables = feature_tables(height, width, sigma_rgb, sigma_xy)
    columns, rows, *levels = (torch.from_numpy(table).to(images_u8.device) for table in tables)
    colours = [table[images_u8[:, c].int()] for c, table in enumerate(levels)]
    parts = [columns[None, None, :], rows[None, :, None], *colours]
    out = torch.empty((CORNERS, n, height, width), dtype=torch.float32, device=images_u8.device)
    total = out[0].zero_()
    for j in range(DIM, 0, -1):
        # Two operations on purpose: a fused multiply-add rounds once and moves ties.
        out[j] = total - parts[j - 1] * j
        total += parts[j - 1]
    return out.flatten(1)


def _locate(elevated: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Origin (6, P) int64, rank (6, P) int64 and barycentric weights (6, P) float32 of each point."""
    sixth = torch.tensor(1 / CORNERS, dtype=torch.float32, device=elevated.device)
    steps = (elevated * sixth).round()  # half to even
    origin = steps * CORNERS
    rest = elevated - origin
    # A tie: the later coordinate ranks higher.
    rank = torch.arange(CORNERS, device=elevated.device)[:, None].repeat(1, elevated.shape[1])
    for i in range(CORNERS):
        for j in range(i + 1, CORNERS):
            smaller = rest[i] < rest[j]
            rank[i] += smaller
            rank[j] -= smaller.long()
    rank += steps.sum(0).long()
    back = CORNERS * ((rank < 0).long() - (rank > DIM).long())
    rank += back
    origin += back

    rows = list(((elevated - origin) * sixth).unbind())
    for i, j in SORT_SIX:
        rows[i], rows[j] = torch.maximum(rows[i], rows[j]), torch.minimum(rows[i], rows[j])
    weights = [rows[DIM] + (1 - rows[0])]
    weights += [rows[DIM - k] - rows[CORNERS - k] for k in range(1, CORNERS)]
    return origin.long(), rank, torch.stack(weights)


def _connect(origin: Tensor, rank: Tensor, *, images: int) -> tuple[Tensor, Tensor, Tensor]:
    """Lattice points at the corners of each pixel (6, P), and their neighbours up and down (6, M + 1)."""
    key_axes = origin[:DIM]
    low, strides, image_stride = key_layout(
        key_axes.amin(1).tolist(), key_axes.amax(1).tolist(), images=images
    )
    image_key = torch.arange(images, device=origin.device).repeat_interleave(origin.shape[1] // images)
    image_key *= image_stride
    simplices, simplex_of_pixel = torch.unique(
        _mix(origin - rank, low, strides) + image_key, return_inverse=True
    )
    pixel = torch.empty_like(simplices)  # any pixel of each simplex
    pixel[simplex_of_pixel] = torch.arange(origin.shape[1], device=origin.device)

    corner_keys = [_mix(origin[:, pixel], low, strides) + image_key[pixel]]
    for k in range(1, CORNERS):
        wrapped = [(rank[j, pixel] == CORNERS - k) * (CORNERS * strides[j]) for j in range(DIM)]
        corner_keys.append(corner_keys[-1] + sum(strides) - torch.stack(wrapped).sum(0))
    keys, point_of_corner = torch.unique(torch.stack(corner_keys), return_inverse=True)
    plus, minus = _neighbours(keys, strides)
    return point_of_corner[:, simplex_of_pixel], plus, minus


def _mix(points: Tensor, low: Sequence[int], strides: Sequence[int]) -> Tensor:
    keys = torch.zeros_like(points[0])
    for coordinate, lo, stride in zip(points[:DIM], low, strides, strict=True):
        keys += (coordinate - lo) * stride
    return keys


def _neighbours(keys: Tensor, strides: Sequence[int]) -> tuple[Tensor, Tensor]:
    m = keys.numel()
    steps = [(CORNERS * strides[j] if j < DIM else 0) - sum(strides) for j in range(CORNERS)]
    shift = torch.tensor(steps, device=keys.device)[:, None]

    def find(wanted: Tensor) -> Tensor:
        found = torch.searchsorted(keys, wanted).clamp_(max=m - 1)
        found = torch.where(keys[found] == wanted, found, m)
        return torch.cat([found, found.new_full((CORNERS, 1), m)], dim=1)

    return find(keys + shift), find(keys - shift)
