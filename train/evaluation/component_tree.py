"""Connected regions of a grey image at all its cuts at once: one merge tree instead of 256 labellings.

heights ──steepest ascent──▶ basins ──saddles, highest first──▶ merge tree ──▶ a measure per region and cut

Cut an image at a level: each region above it is a union of basins seen from above the cut, and lowering
the cut only lets regions grow and meet. So a region is named by one basin and a cut, and any minimum or
sum over its pixels is a running minimum or sum down that basin's range of cuts.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

_FEW = 400  # basins up to which a table of regions is cheaper than walking the tree


class MergeTree:
    """Every connected region of every mask `rank >= cut`, cut = 0 .. rank.max().

    `cut`: (m,) int64, the cut of each of the m regions; the other per-region arrays follow its order.
    """

    def __init__(self, height: Ints, rank: NDArray[np.uint8], *, diagonal: bool) -> None:
        """Build the tree.

        Args:
            height: (H, W) with H * W <= 2**16, values in 0 .. 2**36. Orders the pixels at least as finely
                as `rank`: of two pixels, the one of higher rank is higher.
            rank: (H, W).
            diagonal: pixels that touch at a corner are connected too.
        """
        basin, peaks = _basins(height, diagonal)
        parent, bottom = _merge(basin, rank, len(peaks), diagonal)
        peak = rank.ravel()[peaks].astype(np.int64)
        parent = _owner(parent, parent, bottom, np.maximum(bottom - 1, 0))
        alive = bottom <= peak  # the others are never apart from their parent: ripples on a plateau
        number = np.cumsum(alive) - 1
        self.basin = number[np.where(alive, np.arange(len(peaks)), parent)][basin]
        self._parent, self._bottom, self._peak = number[parent[alive]], bottom[alive], peak[alive]
        lengths = self._peak - self._bottom + 1
        self._start = np.cumsum(lengths) - lengths
        self._basin_of = np.repeat(np.arange(len(lengths)), lengths)
        self.cut = (self._peak + self._start)[self._basin_of] - np.arange(len(self._basin_of))
        self._generations = _generations(self._parent)
        self._table = self._region_table(int(rank.max()) + 1) if len(lengths) <= _FEW else None
        self._pixel_region = self.region(self.basin.ravel(), rank.ravel().astype(np.int64))

    def region(self, basin: Ints, cut: Ints) -> Ints:
        """(k,) index of the region that a basin (k,) belongs to at a cut (k,) not above its peak."""
        if self._table is not None:
            return np.asarray(self._table.ravel()[basin * self._table.shape[1] + cut])
        owner = _owner(basin, self._parent, self._bottom, cut)
        return np.asarray(self._start[owner] + self._peak[owner] - cut)

    def _region_table(self, cuts: int) -> Ints:
        """(basins, cuts) what `region` tells, for trees small enough to have it all at hand."""
        cut = np.arange(cuts)
        table = (self._start + self._peak)[:, None] - cut
        for young in reversed(self._generations):
            above = table[self._parent[young]]
            table[young] = np.where(cut < self._bottom[young, None], above, table[young])
        return np.asarray(table)

    def boxes(self) -> Ints:
        """(m, 4) x0, y0, x1, y1 of each region in pixels, end pixels included."""
        sides = [self._least(pixels, value) for pixels, value in _by_side(self.basin.shape)]
        return np.asarray(np.stack(sides, axis=1) * np.array([1, 1, -1, -1]))

    def _least(self, pixels: Ints, value: Ints) -> Ints:
        """(m,) smallest value of the pixels of each region; `pixels` are in order of falling `value`."""
        low = np.full(len(self.cut), 1 << 15, dtype=np.int64)
        low[self._pixel_region[pixels]] = value  # the last one written to a region stays: the smallest
        whole = np.minimum.reduceat(low, self._start)
        for young in self._generations:
            np.minimum.at(whole, self._parent[young], whole[young])
            np.minimum.at(low, self._meeting(young), whole[young])
        reset = self._basin_of << 17  # each basin's range starts below all that came before it
        return np.asarray(np.minimum.accumulate(low - reset) + reset)

    def count(self, entered: Ints) -> Ints:
        """(m,) how many of `entered` (k,), each the `region` where it enters, lie in each region."""
        added = np.bincount(entered, minlength=len(self.cut))
        whole = np.add.reduceat(added, self._start)
        for young in self._generations:
            np.add.at(whole, self._parent[young], whole[young])
            np.add.at(added, self._meeting(young), whole[young])
        running = np.cumsum(added)
        before = (running - added)[self._start]
        return np.asarray(running - before[self._basin_of])

    def _meeting(self, young: Ints) -> Ints:
        """The region of its parent that each of these basins becomes part of."""
        return self.region(self._parent[young], self._bottom[young] - 1)


@functools.lru_cache(maxsize=4)
def _by_side(shape: tuple[int, int]) -> list[tuple[Ints, Ints]]:
    """For x, y, -x and -y of an image: its pixels (flat index) in order of falling value, and the values."""
    y, x = np.indices(shape)
    orders = [(np.argsort(-side, axis=None, kind="stable"), side.ravel()) for side in (x, y, -x, -y)]
    return [(order, side[order]) for order, side in orders]


def _owner(basin: Ints, parent: Ints, bottom: Ints, cut: Ints) -> Ints:
    """(k,) the basin that names the region of `basin` (k,) at `cut` (k,): the first ancestor that low."""
    basin = basin.copy()
    todo = np.flatnonzero(cut < bottom[basin])
    while len(todo):
        basin[todo] = parent[basin[todo]]
        todo = todo[cut[todo] < bottom[basin[todo]]]
    return basin


def _basins(height: Ints, diagonal: bool) -> tuple[Ints, Ints]:
    """Basin number of each pixel (H, W), and the pixel (flat index) at the peak of each basin."""
    index = np.arange(height.size).reshape(height.shape)
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT if diagonal else cv2.MORPH_CROSS, (3, 3))
    key = ((height << 16) + index).astype(np.float64)  # at most 2**53: exact, and no two are equal
    target = (cv2.dilate(key, kernel).astype(np.int64) & 0xFFFF).ravel()
    further = target[target]
    while not np.array_equal(further, target):
        np.take(further, further, out=target, mode="clip")
        further, target = target, further
    peaks = np.flatnonzero(target == index.ravel())
    number = np.empty(height.size, dtype=np.int64)
    number[peaks] = np.arange(len(peaks))
    return number[target].reshape(height.shape), peaks


def _merge(basin: Ints, rank: NDArray[np.uint8], count: int, diagonal: bool) -> tuple[Ints, Ints]:
    """Which basin each one joins (itself for the last), and the lowest cut at which it is still apart."""
    parent, bottom, size = list(range(count)), [0] * count, [1] * count
    root = list(range(count))

    def find(k: int) -> int:
        while root[k] != k:
            root[k] = root[root[k]]
            k = root[k]
        return k

    for a, b, saddle in zip(*_saddles(basin, rank, count, diagonal), strict=True):
        kept, joined = find(a), find(b)
        if kept == joined:
            continue
        if size[kept] < size[joined]:
            kept, joined = joined, kept
        size[kept] += size[joined]
        root[joined] = parent[joined] = kept
        bottom[joined] = saddle + 1
    return np.array(parent), np.array(bottom)


def _saddles(
    basin: Ints, rank: NDArray[np.uint8], count: int, diagonal: bool
) -> tuple[list[int], list[int], list[int]]:
    """Neighbouring basins a, b and the highest cut at which they touch, highest first."""
    every, head, tail = slice(None), slice(None, -1), slice(1, None)
    steps = [((every, head), (every, tail)), ((head, every), (tail, every))]
    if diagonal:
        steps += [((head, head), (tail, tail)), ((head, tail), (tail, head))]
    keys = []
    for p, q in steps:
        edge = np.flatnonzero(basin[p] != basin[q])
        a, b = basin[p].ravel()[edge], basin[q].ravel()[edge]
        saddle = np.minimum(rank[p].ravel()[edge], rank[q].ravel()[edge]).astype(np.int64)
        keys.append((np.minimum(a, b) * count + np.maximum(a, b) << 8) | (255 - saddle))
    key = np.sort(np.concatenate(keys))
    pair = key >> 8
    first = np.diff(pair, prepend=-1) != 0
    pair, depth = pair[first], (key[first] & 255).astype(np.uint8)
    order = np.argsort(depth, kind="stable")
    pair = pair[order]
    return (pair // count).tolist(), (pair % count).tolist(), (255 - depth[order]).tolist()


def _generations(parent: Ints) -> list[Ints]:
    """The basins that join another, the furthest from the last one first."""
    depth = np.zeros(len(parent), dtype=np.int64)
    above = parent.copy()
    alive = np.flatnonzero(parent != np.arange(len(parent)))
    while len(alive):
        depth[alive] += 1
        alive = alive[above[alive] != parent[above[alive]]]
        above[alive] = parent[above[alive]]
    return [np.flatnonzero(depth == d) for d in range(int(depth.max()), 0, -1)]
