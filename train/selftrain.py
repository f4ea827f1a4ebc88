"""Self-training: in late epochs a share of the views learns from the localizer's own confident maps.

weights at the start of an epoch ──whole train photos──▶ maps ──▶ RUN/own.f16 ──views──▶ pseudo-pixels

Where the maps have seen many photos they know more than one photo's attention: other objects of the same
kind, and how far each reaches. Only sure pixels teach; the photo's proposals go on to teach the other views.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from edge_runtime.boxes import presence_score
from train.ownmaps import OwnMapFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from train.config import SelfTrainingConfig
    from train.data.types import Image
    from train.distributed import World
    from train.localizer import Localizer

SIDE = 160  # of a kept map, px
_log = logging.getLogger(__name__)


class OwnMaps:
    """The localizer's own maps of the train photos, renewed every few epochs; only sure ones teach."""

    def __init__(
        self, run_dir: Path, images: Sequence[Image], indices: Sequence[int], config: SelfTrainingConfig
    ) -> None:
        """`indices`: of the train photos with an object that can be read."""
        self._config = config
        self._maps = OwnMapFile(run_dir, "own", images, indices, SIDE)

    def round_of(self, epoch: int) -> int:
        """The epoch (from 0) at whose start the maps for `epoch` are made; -1: none yet."""
        first, every = self._config.from_epoch, self._config.every
        if not first or epoch + 1 < first:
            return -1
        return epoch - (epoch + 1 - first) % every

    def reserve(self) -> None:
        """Take the space on the disk, where they will teach. Raises TrainingError when it is full."""
        if self._config.from_epoch:
            self._maps.reserve()

    def prepare(self, epoch: int, model: Localizer, side: int, workers: int, world: World) -> None:
        """Have the maps for `epoch` at hand, made now or found on the disk where a run goes on.

        Args:
            model: the localizer as it is at the start of `epoch`. side: its input, px.

        Raises:
            TrainingError: the disk is full.
        """
        made_at = self.round_of(epoch)
        if made_at >= 0 and self._maps.prepare(made_at, epoch, model, [side], workers, world) and world.main:
            indices = self._maps.indices
            sure = sum(self.get(index) is not None for index in indices)
            _log.info(
                "own maps at the start of epoch %d: %d of %d photos are sure", made_at + 1, sure, len(indices)
            )

    def get(self, index: int) -> NDArray[np.float32] | None:
        """(SIDE, SIDE) float32 in [0, 1] of train photo `index`; None where there is no sure one."""
        found = self._maps.get(index)
        return found if found is not None and presence_score(found) > self._config.sure_fg else None
