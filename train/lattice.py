"""Gaussian filtering over position and colour with a permutohedral lattice, in NumPy on one thread.

image (3, H, W) uint8 ──build_lattice──▶ Lattice ──filter──▶ sums of a map over similar pixels

Adams, Baek, Davis, "Fast High-Dimensional Filtering Using the Permutohedral Lattice", Eurographics 2010:
splat every pixel onto the 6 corners of its simplex, blur along the 6 lattice axes, slice back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

DIM = 5  # x, y, r, g, b
CORNERS = DIM + 1
# One step along each of the six axes leads back to the start, up or down: a point meets itself again
# with 2 * 2**-6 in the six blurs, and this takes it off.
GAIN = 1 / (1 + 2.0**-DIM)
KEY_MARGIN = 12  # corners lie at most 5 from the simplex origin, their neighbours 5 further
# Exchanges that sort six numbers (Knuth, The Art of Computer Programming, vol. 3, section 5.3.4).
SORT_SIX = ((0, 5), (1, 3), (2, 4), (1, 2), (3, 4), (0, 3), (2, 5), (0, 1), (2, 3), (4, 5), (1, 2), (3, 4))


@dataclass(frozen=True)
class Lattice:
    """The M occupied lattice points of an image of P pixels, and each pixel's share in its six.

    An absent neighbour is index M: its value is 0 and stays 0.
    """

    corners: NDArray[np.intp]  # (6, P) lattice point at each simplex corner
    weights: NDArray[np.float32]  # (6, P) barycentric; sum to 1 over the corners
    plus: NDArray[np.intp]  # (6, M + 1) neighbour one step up each axis
    minus: NDArray[np.intp]  # (6, M + 1) neighbour one step down each axis

    def filter(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """A @ values, where A[i, j] follows exp(-|f_i - f_j|^2 / 2) with 0.55 to 0.61 of its mass.

        Args:
            values: (K, P) float32.

        Returns:
            (K, P) float32.
        """
        return np.stack([self._filter_one(channel) for channel in values])

    def _filter_one(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        points = self.plus.shape[1]
        splat = np.bincount(self.corners.ravel(), (self.weights * values).ravel(), minlength=points)
        field = splat.astype(np.float32)
        for plus, minus in zip(self.plus, self.minus, strict=True):
            field = field + np.float32(0.5) * (field[plus] + field[minus])
        out = np.zeros(values.size, np.float32)
        for weights, corners in zip(self.weights, self.corners, strict=True):
            out += weights * field[corners]
        out *= np.float32(GAIN)
        return out


def build_lattice(image_u8: NDArray[np.uint8], sigma_rgb: float, sigma_xy: float) -> Lattice:
    """Embed the pixels of one image at (x / sigma_xy, y / sigma_xy, rgb / sigma_rgb).

    Args:
        image_u8: (3, H, W) uint8, raw colours.
        sigma_rgb: colour scale in grey levels.
        sigma_xy: spatial scale in pixels of this image.

    Raises:
        ValueError: the sigmas are too small for the lattice coordinates to fit 64-bit keys.
    """
    origin, rank, weights = _locate(_elevate(image_u8, sigma_rgb, sigma_xy))
    low, strides, _ = key_layout(origin[:DIM].min(axis=1).tolist(), origin[:DIM].max(axis=1).tolist())

    # origin - rank names a simplex (it is its centre up to a constant), so that only the corners of
    # distinct simplices, far fewer than pixels, are sorted and looked up.
    pixel, simplex_of_pixel = _group(_mix(origin - rank, low, strides))
    corner_keys = _corner_keys(origin[:, pixel], rank[:, pixel], low, strides).ravel()
    corner, point_of_corner = _group(corner_keys)
    plus, minus = _neighbours(corner_keys[corner], strides)
    corners = point_of_corner.reshape(CORNERS, -1).take(simplex_of_pixel, axis=1)
    return Lattice(corners, weights, plus, minus)


def feature_tables(
    height: int, width: int, sigma_rgb: float, sigma_xy: float
) -> tuple[NDArray[np.float32], ...]:
    """Scaled feature of every column (W,), row (H,), and red, green and blue level (256,) each.

    The factors make the hyperplane embedding isotropic and the six blurs a unit Gaussian
    (Adams et al., section 4.1). Tables, because a quotient rounded differently on another device
    would put a pixel into another simplex.
    """
    levels = np.arange(256, dtype=np.float32) / np.float32(sigma_rgb)
    columns = np.arange(width, dtype=np.float32) / np.float32(sigma_xy)
    rows = np.arange(height, dtype=np.float32) / np.float32(sigma_xy)
    blur = np.float32(math.sqrt(2 / 3) * CORNERS)
    return tuple(
        feature * np.float32(float(blur) / math.sqrt((i + 1) * (i + 2)))
        for i, feature in enumerate((columns, rows, levels, levels, levels))
    )


def key_layout(
    low: Sequence[float], high: Sequence[float], *, images: int = 1
) -> tuple[list[int], list[int], int]:
    """Mixed-radix code of the first five coordinates that one step along any axis cannot overflow.

    Args:
        low, high: (5,) smallest and largest coordinate of the simplex origins.
        images: how many images share one key space, the image number being the leading digit.

    Returns:
        Offset of each coordinate (5), stride of each coordinate (5), stride of the image number.

    Raises:
        ValueError: the code does not fit 63 bits.
    """
    offsets = [int(lo) - KEY_MARGIN for lo in low]
    strides = [1]
    for hi, offset in zip(high, offsets, strict=True):
        strides.append(strides[-1] * (int(hi) + KEY_MARGIN + 1 - offset))
    if strides[-1] * images >= 2**63:
        raise ValueError(
            f"expected sigmas large enough for 63-bit lattice keys, got {images} images with lattice "
            f"coordinates from {min(low):.0f} to {max(high):.0f}; raise sigma_rgb or sigma_xy"
        )
    return offsets, strides[:DIM], strides[DIM]


def _elevate(image_u8: NDArray[np.uint8], sigma_rgb: float, sigma_xy: float) -> NDArray[np.float32]:
    """Pixel features on the hyperplane sum(x) = 0 of six dimensions: (6, P) float32.

    The order of these float32 operations decides ties; do not rearrange them.
    """
    _, height, width = image_u8.shape
    columns, rows, *levels = feature_tables(height, width, sigma_rgb, sigma_xy)
    colours = [table[channel] for table, channel in zip(levels, image_u8, strict=True)]
    parts = [columns[None, :], rows[:, None], *colours]
    out = np.empty((CORNERS, height, width), np.float32)
    total: NDArray[np.float32] = np.zeros((height, width), np.float32)
    for j in range(DIM, 0, -1):
        np.subtract(total, np.float32(j) * parts[j - 1], out=out[j])
        total += parts[j - 1]
    out[0] = total
    return out.reshape(CORNERS, -1)


def _locate(
    elevated: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.int8], NDArray[np.float32]]:
    """Enclosing simplex of each point: its remainder-0 corner, the rank of each coordinate, the weights.

    Args:
        elevated: (6, P) float32 on the hyperplane.

    Returns:
        origin (6, P) float32 multiples of 6, rank (6, P) int8 permutations of 0..5, weights (6, P) float32.
    """
    sixth = np.float32(1) / np.float32(CORNERS)
    steps = np.rint(elevated * sixth)  # half to even
    origin = steps * np.float32(CORNERS)
    rest = elevated - origin
    rank = np.empty(elevated.shape, np.int8)
    rank[:] = np.arange(CORNERS)[:, None]  # a tie: the later coordinate ranks higher
    for i in range(CORNERS):
        for j in range(i + 1, CORNERS):
            smaller = rest[i] < rest[j]
            rank[i] += smaller
            rank[j] -= smaller
    # Rounding may leave the hyperplane; the coordinates rounded furthest go back by one step.
    rank += steps.sum(axis=0).astype(np.int8)
    back = (rank < 0).astype(np.int8) - (rank > DIM).astype(np.int8)
    back *= CORNERS
    rank += back
    origin += back

    rest = (elevated - origin) * sixth
    for i, j in SORT_SIX:  # falling, so that row r holds the coordinate of rank r
        rest[i], rest[j] = np.maximum(rest[i], rest[j]), np.minimum(rest[i], rest[j])
    weights = np.empty_like(rest)
    weights[0] = rest[DIM] + (np.float32(1) - rest[0])
    for k in range(1, CORNERS):
        weights[k] = rest[DIM - k] - rest[CORNERS - k]
    return origin, rank, weights


def _mix(points: NDArray[np.float32], low: Sequence[int], strides: Sequence[int]) -> NDArray[np.int64]:
    """Keys of lattice points given by (>= 5, P) integer coordinates: (P,)."""
    keys = np.zeros(points.shape[1], np.int64)
    for coordinate, lo, stride in zip(points[:DIM], low, strides, strict=True):
        keys += (coordinate.astype(np.int64) - lo) * stride
    return keys


def _corner_keys(
    origin: NDArray[np.float32], rank: NDArray[np.int8], low: Sequence[int], strides: Sequence[int]
) -> NDArray[np.int64]:
    """Keys of the six corners of each simplex: (6, S).

    Corner k lies at origin + k, less 6 in the k coordinates of highest rank.
    """
    size = origin.shape[1]
    drop = np.zeros(CORNERS * size, np.int64)  # by rank: what the coordinate of that rank takes off the key
    simplex = np.arange(size)
    for ranks, stride in zip(rank[:DIM], strides, strict=True):
        drop[ranks * np.int64(size) + simplex] = CORNERS * stride
    keys = np.empty((CORNERS, size), np.int64)
    keys[0] = _mix(origin, low, strides)
    for k in range(1, CORNERS):
        np.subtract(keys[k - 1] + sum(strides), drop[(CORNERS - k) * size :][:size], out=keys[k])
    return keys


def _group(keys: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where each distinct key stands (one of its places, keys ascending), and the number of every key."""
    order = np.argsort(keys)
    ordered = keys[order]
    starts = np.empty(keys.size, np.bool_)
    starts[0] = True
    np.not_equal(ordered[1:], ordered[:-1], out=starts[1:])
    number = np.empty(keys.size, np.intp)
    number[order] = np.cumsum(starts) - 1
    return order[starts], number


def _neighbours(keys: NDArray[np.int64], strides: Sequence[int]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Index of each point's neighbours up and down the six axes, (6, M + 1) each, M where absent.

    Axis j moves coordinate j by +5 and all others by -1; the sixth coordinate is not in the key.
    """
    m = keys.size
    plus = np.full((CORNERS, m + 1), m, np.intp)
    minus = np.full((CORNERS, m + 1), m, np.intp)
    for axis in range(CORNERS):
        step = (CORNERS * strides[axis] if axis < DIM else 0) - sum(strides)
        wanted = keys + step
        found = np.searchsorted(keys, wanted)
        present = np.flatnonzero(keys[np.minimum(found, m - 1)] == wanted)
        plus[axis, present] = found[present]
        minus[axis, found[present]] = present
    return plus, minus
