"""Batches of an epoch: which photos, in which order, decoded ahead of time by threads.

Order comes from (seed, epoch) alone. A photo that cannot be decoded is left out, named once and counted.
"""

from __future__ import annotations

import logging
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from edge_runtime.errors import DatasetError, TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from train.distributed import World

T = TypeVar("T")
_log = logging.getLogger(__name__)
AHEAD = 3  # batches decoded in advance
ORDER_STREAM = 1


def epoch_batches(
    labels: Sequence[int], negative: int | None, share: float, batch: int, seed: int, epoch: int
) -> list[list[int]]:
    """Shuffled global batches of photo indices; a last incomplete batch is dropped if others exist.

    Args:
        labels: class index of each photo.
        negative: class whose photos are subsampled anew each epoch to `share` of them; None: no such class.
    """
    rng = np.random.default_rng([seed, ORDER_STREAM, epoch])
    every = np.arange(len(labels))
    if negative is not None and share < 1:
        is_negative = np.asarray(labels) == negative
        few = rng.permutation(every[is_negative])[: max(1, round(share * is_negative.sum()))]
        every = np.concatenate([every[~is_negative], few])
    order = rng.permutation(every).tolist()
    batches = [order[i : i + batch] for i in range(0, len(order), batch)]
    return batches[:-1] if len(batches) > 1 and len(batches[-1]) < batch else batches


class PhotoLoader(Generic[T]):
    """Runs `load(epoch, index)` for each photo of each batch in threads, ahead of the consumer.

    A context manager: on leaving it, what was not yet begun is dropped.

    Attributes:
        skipped: message by photo index, for photos that could not be decoded.
    """

    def __init__(
        self,
        load: Callable[[int, int], T],
        workers: int,
        on_skip: Callable[[int, str], None] | None = None,
    ) -> None:
        """`load(epoch, index)` may raise DatasetError; OpenCV releases the GIL while decoding.

        `on_skip(index, reason)` is told once of each photo that could not be decoded.
        """
        self._load, self._on_skip = load, on_skip
        self._pool = ThreadPoolExecutor(max(1, workers), thread_name_prefix="photos")
        self.skipped: dict[int, str] = {}

    def __call__(
        self, epoch: int, batches: Sequence[Sequence[int]], world: World | None = None
    ) -> Iterator[list[T]]:
        """The loaded photos of each batch, in order; a batch may be smaller when photos are skipped.

        Of many processes each loads its share. Where not one photo of a share can be read, the first
        readable one of the batch stands in, so that every process takes every step.

        Raises:
            TrainingError: not one photo of a batch could be read.
        """
        shares = batches if world is None else [world.share(batch) for batch in batches]
        for batch, loaded in zip(batches, self.tolerant(epoch, shares), strict=True):
            if not loaded and not (loaded := self._stand_in(epoch, batch)):
                last = next(reversed(self.skipped.values()), "it has no photos")
                raise TrainingError(f"not one photo of a whole batch could be read; the last one: {last}")
            yield loaded

    def _stand_in(self, epoch: int, batch: Sequence[int]) -> list[T]:
        for index in batch:
            if index not in self.skipped:
                item = self._take(index, self._pool.submit(self._load, epoch, index))
                if item is not None:
                    return [item]
        return []

    def tolerant(self, epoch: int, batches: Sequence[Sequence[int]]) -> Iterator[list[T]]:
        """As calling it, but a batch may also be empty."""
        pending: deque[list[tuple[int, Future[T]]]] = deque()
        queue = iter(batches)
        while True:
            while len(pending) < AHEAD and (batch := next(queue, None)) is not None:
                pending.append([(i, self._pool.submit(self._load, epoch, i)) for i in batch])
            if not pending:
                return
            yield [item for i, future in pending.popleft() if (item := self._take(i, future)) is not None]

    def _take(self, index: int, future: Future[T]) -> T | None:
        try:
            return future.result()
        except DatasetError as error:
            if index not in self.skipped:
                self.skipped[index] = str(error)
                _log.warning("skipped: %s (%d so far)", error, len(self.skipped))
                if self._on_skip is not None:
                    self._on_skip(index, str(error))
            return None

    def __enter__(self) -> PhotoLoader[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
