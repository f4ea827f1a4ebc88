"""Slow, separate implementations the dense CRF tests and benchmark compare against.

`DictLattice`: permutohedral lattice with one Python dict, written from Adams et al. (Eurographics 2010)
without sharing code with train/lattice.py. `exact_filter`: the dense Gaussian that it approximates.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Point = tuple[int, ...]


def natural_image(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """(3, H, W) uint8: shaded sky and ground, two objects with hard edges, fine texture."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    sky = np.stack([90 + 110 * y, 140 + 70 * y, 225 - 60 * y])
    ground = np.stack([110 + 40 * x, 120 - 30 * y, 60 + 20 * np.sin(9 * x)])
    horizon = 0.62 * height / max(height, width) + 0.05 * np.sin(7 * x)
    image = np.where(y < horizon, sky, ground)
    mast = np.abs(x - 0.4 - 0.1 * y) < 0.05 + 0.04 * y
    image = np.where(mast, np.array([150.0, 60.0, 50.0])[:, None, None] * (0.7 + 0.6 * y), image)
    disc = (x - 0.75) ** 2 + (y - 0.3) ** 2 < 0.012
    image = np.where(disc, np.array([240.0, 240.0, 235.0])[:, None, None], image)
    image = image + rng.normal(0, 4, image.shape) + rng.normal(0, 5, (1, height, width))
    return np.clip(image, 0, 255).astype(np.uint8)


def smooth_logits(channels: int, height: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    """(K, H, W) float32 smooth random logits of about unit spread."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    out = np.zeros((channels, height, width))
    for _ in range(12):
        fx, fy, phase = rng.uniform(-5, 5), rng.uniform(-5, 5), rng.uniform(0, 2 * math.pi, (channels, 1, 1))
        out += rng.normal(0, 1, (channels, 1, 1)) * np.sin(2 * math.pi * (fx * x + fy * y) + phase) / 2
    return out.astype(np.float32)


class DictLattice:
    """Splat, blur and slice with lattice points as dict keys; positions in float32, sums in float64."""

    def __init__(self, image_u8: NDArray[np.uint8], sigma_rgb: float, sigma_xy: float) -> None:
        _, height, width = image_u8.shape
        self.shares: list[list[tuple[Point, float]]] = []
        for y in range(height):
            for x in range(width):
                spatial = [np.float32(v) / np.float32(sigma_xy) for v in (x, y)]
                colour = [np.float32(v) / np.float32(sigma_rgb) for v in image_u8[:, y, x]]
                self.shares.append(_simplex(_embed(spatial + colour)))

    def filter(self, values: NDArray[np.float32], *, transpose: bool = False) -> NDArray[np.float64]:
        """A @ values for (P,) values; `transpose` gives A^T @ values (blurs in reverse order)."""
        field: dict[Point, float] = {}
        for share, value in zip(self.shares, values.tolist(), strict=True):
            for point, weight in share:
                field[point] = field.get(point, 0.0) + weight * value
        for axis in reversed(range(6)) if transpose else range(6):
            step = [6 if i == axis else 0 for i in range(6)]
            field = {
                p: v
                + 0.5 * field.get(tuple(c + s - 1 for c, s in zip(p, step, strict=True)), 0.0)
                + 0.5 * field.get(tuple(c - s + 1 for c, s in zip(p, step, strict=True)), 0.0)
                for p, v in field.items()
            }
        return np.array([sum(w * field[p] for p, w in share) for share in self.shares]) * 32 / 33


def _embed(feature: list[np.float32]) -> list[np.float32]:
    """Five features to six hyperplane coordinates, every operation rounded to float32."""
    spread = np.float32(6 * math.sqrt(2 / 3))
    scaled = [f * np.float32(float(spread) / math.sqrt((i + 1) * (i + 2))) for i, f in enumerate(feature)]
    coordinates = []
    tail = np.float32(0)
    for j in (5, 4, 3, 2, 1):
        coordinates.append(tail - np.float32(j) * scaled[j - 1])
        tail = tail + scaled[j - 1]
    return [tail, *reversed(coordinates)]


def _simplex(position: list[np.float32]) -> list[tuple[Point, float]]:
    """Six lattice points around a position with their barycentric weights."""
    sixth = np.float32(1) / np.float32(6)
    origin = [6 * round(float(p * sixth)) for p in position]  # Python rounds half to even too
    excess = sum(origin) // 6

    def rest(i: int) -> np.float32:
        return position[i] - np.float32(origin[i])

    falling = sorted(range(6), key=lambda i: (-rest(i), i))
    if excess > 0:  # the ones that were rounded up the most go down, and become the largest rest
        moved = falling[6 - excess :]
        falling = moved + falling[: 6 - excess]
    else:
        moved = falling[:-excess] if excess else []
        falling = falling[len(moved) :] + moved
    for i in moved:
        origin[i] -= 6 if excess > 0 else -6

    level = [float(rest(i) * sixth) for i in falling]
    weights = [1 - level[0] + level[5]] + [level[5 - k] - level[6 - k] for k in range(1, 6)]
    shares = []
    for k, weight in enumerate(weights):
        top = set(falling[6 - k :])  # the k coordinates with the smallest rest
        shares.append((tuple(o + k - (6 if i in top else 0) for i, o in enumerate(origin)), weight))
    return shares


def exact_filter(
    image_u8: NDArray[np.uint8], values: NDArray[np.float32], sigma_rgb: float, sigma_xy: float
) -> NDArray[np.float64]:
    """Dense exp(-|f_i - f_j|^2 / 2) @ values by brute force: (K, P) values, P at most a few thousand."""
    _, height, width = image_u8.shape
    y, x = np.mgrid[0:height, 0:width]
    xy = np.stack([x, y]).reshape(2, -1) / sigma_xy
    feature = np.concatenate([xy, image_u8.reshape(3, -1) / sigma_rgb]).T
    square = (feature**2).sum(1)
    affinity = np.exp(feature @ feature.T - 0.5 * (square[:, None] + square[None, :]))
    return np.asarray(values.astype(np.float64) @ affinity)
