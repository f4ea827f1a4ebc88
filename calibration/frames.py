"""Which frames represent a mission: a few hundred that differ from each other, picked with a seed.

photos, or a clip ──small colour and edge descriptors──greedy k-centre──▶ indices of diverse frames
Photos are decoded one at a time; of a clip only evenly spread frames at the network's size are held.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

import cv2
import numpy as np

from edge_runtime.errors import DatasetError
from edge_runtime.imagefile import decode_image
from edge_runtime.preprocess import resize_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_runtime.frames import Frame

log = logging.getLogger(__name__)

GRID = 8  # descriptor cells per side
EDGE_DIRECTIONS = 4
CANDIDATES_PER_FRAME = 4  # looked at for every frame wanted; decoding is what choosing costs


class Photos(Sequence["NDArray[np.uint8]"]):
    """Image files as a sequence of frames at the network's input size, decoded when asked for.

    An item is (height, width, 3) uint8 BGR; asking for a file that is no whole image raises DatasetError.
    """

    def __init__(self, paths: Sequence[Path], input_hw: tuple[int, int]) -> None:
        self.paths, self.input_hw = tuple(paths), input_hw

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.uint8]: ...
    @overload
    def __getitem__(self, index: slice) -> Photos: ...
    def __getitem__(self, index: int | slice) -> NDArray[np.uint8] | Photos:
        if isinstance(index, slice):
            return Photos(self.paths[index], self.input_hw)
        path = self.paths[index]
        try:
            image = decode_image(path.read_bytes())
        except OSError as error:
            raise DatasetError(
                f"{path}: cannot be read ({error.strerror or error}); mend or remove it"
            ) from error
        if image is None:
            raise DatasetError(f"{path}: not a whole readable image; replace or remove it")
        return resize_frame(image, *self.input_hw)

    def take(self, indices: Iterable[int]) -> Photos:
        """Those photos only, in that order."""
        return Photos([self.paths[i] for i in indices], self.input_hw)


def choose(
    frames: Sequence[NDArray[np.uint8]],
    count: int | None,
    seed: int,
    step: Callable[[], None] = lambda: None,
) -> list[int]:
    """Indices of at most `count` diverse frames, the most telling first; frames that do not decode are left
    out, each named in a warning.

    Greedy k-centre (Gonzalez 1985): a random first frame, then always the one farthest from all chosen.

    Args:
        frames: each (h, w, 3) uint8 BGR; read once, one at a time, at most `CANDIDATES_PER_FRAME * count`
            of them, drawn by `seed`.
        count: None takes every frame that can be read, in order.
        step: called once per frame looked at (progress).
    """
    rng = np.random.default_rng(seed)
    candidates = np.arange(len(frames))
    if count is not None and len(frames) > CANDIDATES_PER_FRAME * count:
        candidates = np.sort(rng.choice(len(frames), CANDIDATES_PER_FRAME * count, replace=False))
    readable: list[int] = []
    described: list[NDArray[np.float32]] = []
    for index in candidates.tolist():
        try:
            described.append(describe(frames[index]))
            readable.append(index)
        except DatasetError as error:
            log.warning("skipped: %s", error)
        step()
    if count is None or len(readable) <= count:
        return readable
    return [readable[i] for i in k_centre(_balanced(np.stack(described)), count, rng)]


def describe(image_bgr_u8: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What a frame looks like from afar: 8 x 8 CIELAB colours, then edge strength in 4 directions per cell.

    Args:
        image_bgr_u8: (h, w, 3) uint8.

    Returns:
        (2 * 8 * 8 * ...,) float32: 192 colours in [0, 1], 256 square roots of edge energies.
    """
    small = cv2.resize(image_bgr_u8, (8 * GRID, 8 * GRID), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small, cv2.COLOR_BGR2LAB)
    colours = cv2.resize(lab, (GRID, GRID), interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0
    gray = lab[..., 0].astype(np.float32) / 255.0
    dx, dy = cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1)
    direction = (np.arctan2(dy, dx) % np.pi / np.pi * EDGE_DIRECTIONS).astype(int) % EDGE_DIRECTIONS
    strength = np.hypot(dx, dy)
    edges = [
        cv2.resize(np.where(direction == k, strength, 0.0), (GRID, GRID), interpolation=cv2.INTER_AREA)
        for k in range(EDGE_DIRECTIONS)
    ]
    return np.concatenate([colours.ravel(), np.sqrt(np.stack(edges)).ravel()]).astype(np.float32)


def k_centre(points: NDArray[np.float32], count: int, rng: np.random.Generator) -> list[int]:
    """Indices of `count` rows of (n, d) `points`: one at random, then always the farthest from all chosen."""
    chosen = [int(rng.integers(len(points)))]
    nearest = np.full(len(points), np.inf)
    while len(chosen) < count:
        nearest = np.minimum(nearest, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
        nearest[chosen[-1]] = -1.0  # so that duplicates of a chosen frame come before the frame itself
        chosen.append(int(nearest.argmax()))
    return chosen


def sample_clip(source: Iterable[Frame], input_hw: tuple[int, int], most: int) -> list[NDArray[np.uint8]]:
    """Evenly spread frames of a clip of unknown length, between `most / 2` and `most` of a long one.

    Every n-th frame is kept; when there are too many, every second goes and n doubles.

    Returns:
        (height, width, 3) uint8 BGR each, in order.
    """
    kept: list[NDArray[np.uint8]] = []
    every = 1
    for number, frame in enumerate(source):
        if number % every:
            continue
        if len(kept) == most:
            del kept[1::2]
            every *= 2
            if number % every:
                continue
        kept.append(np.array(resize_frame(frame.image_bgr_u8, *input_hw)))
    return kept


def _balanced(described: NDArray[np.float32]) -> NDArray[np.float32]:
    """Colours and edges scaled so that both count alike in a distance."""
    split = 3 * GRID * GRID
    parts = (described[:, :split], described[:, split:])
    return np.concatenate(
        [part / max(1e-6, float(np.sqrt(part.var(axis=0).sum()))) for part in parts], axis=1
    )
