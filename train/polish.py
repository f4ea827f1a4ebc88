"""Polish: the last epochs see photos at the size of flight and learn from the localizer's own maps.

weights before each of them ──train photos at several sizes──▶ maximum of the maps ──views──▶ soft targets

Crops of training are smaller than photos in flight (Touvron et al., "Fixing the train-test resolution
discrepancy", 2019), and several sizes together see more than one (Radosavovic et al., "Data distillation",
2018). What is made here costs nothing in flight.

The label says that the photo has an object, so its warmest place is one, however warm: two shares of that are
stretched to 0 and 1. Between them targets stay soft and carry over how far the object reaches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.errors import DatasetError
from train.config import UNSTRETCHED
from train.ownmaps import OwnMapFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from train.config import TrainConfig
    from train.data.types import Image
    from train.distributed import World
    from train.localizer import Localizer

SIDE = 256  # of a kept map, px
WARMEST = 0.995  # quantile of a map that is its warmest place
MULTIPLE = 32  # sides the network takes


class Polish:
    """Which epochs polish, at what sizes, and the maps that teach there."""

    def __init__(
        self, run_dir: Path, images: Sequence[Image], indices: Sequence[int], config: TrainConfig
    ) -> None:
        """`indices`: of the train photos with an object that can be read."""
        self._first, self._eval_size = config.optim.epochs, config.localizer.eval_size
        self._epochs, self._sizes, self._images = config.polish.epochs, config.polish.sizes, images
        self._contrast = config.polish.contrast
        self._maps = OwnMapFile(run_dir, "polish", images, indices, SIDE)

    def covers(self, epoch: int) -> bool:
        """Whether `epoch`, counted from 0, is one of these."""
        return epoch >= self._first

    def reserve(self) -> None:
        """Take the space on the disk, where there are such epochs. Raises TrainingError when it is full."""
        if self._epochs:
            self._maps.reserve()

    def prepare(self, epoch: int, model: Localizer, workers: int, world: World) -> None:
        """Have the teacher's maps for `epoch` at hand; `model`: as it is when the epoch begins.

        Raises:
            TrainingError: the disk is full.
        """
        sides = [MULTIPLE * max(1, round(share * self._eval_size / MULTIPLE)) for share in self._sizes]
        self._maps.prepare(epoch, epoch, model, sides, workers, world)

    def get(self, index: int) -> NDArray[np.float32] | None:
        """(SIDE, SIDE) float32 in [0, 1] of train photo `index`; None for a photo of the negative class.

        Raises:
            DatasetError: the photo could not be read when the maps were made.
        """
        found = self._maps.get(index)
        if found is None and index in self._maps:
            name = self._images[index].image_id
            raise DatasetError(
                f"{name}: could not be read when this epoch began, so nothing says what it shows"
            )
        return found if found is None else stretched(found, self._contrast)


def stretched(score_map: NDArray[np.float32], shares: tuple[float, float]) -> NDArray[np.float32]:
    """A map with contrast, whatever it had.

    Args:
        score_map: (H, W) float32 in [0, 1] of a photo with an object.
        shares: of the map's warmest place; up to the first it becomes 0, from the second on 1, and rises
            evenly between. `UNSTRETCHED` changes nothing.

    Returns:
        (H, W) float32 in [0, 1]; a map that is 0 everywhere stays as it is.
    """
    warmest = float(np.quantile(score_map, WARMEST))
    if shares == UNSTRETCHED or warmest <= 0:
        return score_map
    low, high = (share * warmest for share in shares)
    return np.asarray(np.clip((score_map - low) / (high - low), 0, 1), np.float32)
