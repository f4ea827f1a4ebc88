"""Self-training: in late epochs a share of the views learns from the localizer's own confident maps.

weights at the start of an epoch ──whole train photos──▶ maps ──▶ RUN/own.f16 ──views──▶ pseudo-pixels

Where the maps have seen many photos they know more than one photo's attention: other objects of the same
kind, and how far each reaches. Only sure pixels teach; the photo's proposals go on to teach the other views.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_runtime.boxes import presence_score
from edge_runtime.errors import TrainingError
from train.checkpoint import write_text
from train.validate import predict_maps

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from train.config import SelfTrainingConfig
    from train.data.types import Image
    from train.distributed import World
    from train.localizer import Localizer

MAPS, ABOUT = "own.f16", "own.json"
SIDE = 160  # of a kept map, px
_log = logging.getLogger(__name__)


class OwnMaps:
    """The localizer's own maps of the train photos, on disk, renewed every few epochs."""

    def __init__(
        self, run_dir: Path, images: Sequence[Image], negative: int | None, config: SelfTrainingConfig
    ) -> None:
        self._dir, self._images, self._config = run_dir, images, config
        self._positive = [i for i, image in enumerate(images) if image.label != negative]
        self._row = {index: row for row, index in enumerate(self._positive)}
        self._maps: NDArray[np.float16] | None = None

    def round_of(self, epoch: int) -> int:
        """The epoch (from 0) at whose start the maps for `epoch` are made; -1: none yet."""
        first, every = self._config.from_epoch, self._config.every
        if not first or epoch + 1 < first:
            return -1
        return epoch - (epoch + 1 - first) % every

    def prepare(self, epoch: int, model: Localizer, side: int, workers: int, world: World) -> None:
        """Have the maps for `epoch` at hand, made now or found on the disk where a run goes on.

        Args:
            model: the localizer as it is at the start of `epoch`. side: its input, px.

        Raises:
            TrainingError: the disk is full.
        """
        made_at = self.round_of(epoch)
        if made_at < 0:
            return
        if world.main and self._made_at() != made_at:
            self._make(made_at, model, side, workers)
        world.barrier()
        self._maps = np.memmap(self._dir / MAPS, np.float16, "r", shape=(len(self._positive), SIDE, SIDE))

    def get(self, index: int) -> NDArray[np.float32] | None:
        """(SIDE, SIDE) float32 in [0, 1] of train photo `index`; None where there is no sure one."""
        row = self._row.get(index)
        if self._maps is None or row is None:
            return None
        found = np.asarray(self._maps[row], np.float32)
        return found if presence_score(found) > self._config.sure_fg else None

    def _made_at(self) -> int:
        try:
            about = json.loads((self._dir / ABOUT).read_text(encoding="utf-8"))
            return int(about["epoch"])
        except (OSError, ValueError, KeyError, TypeError):
            return -1

    def _make(self, epoch: int, model: Localizer, side: int, workers: int) -> None:
        (self._dir / ABOUT).unlink(missing_ok=True)
        photos = [self._images[i] for i in self._positive]
        try:
            shape = (max(1, len(photos)), SIDE, SIDE)
            maps: np.memmap[tuple[int, ...], np.dtype[np.float16]] = np.memmap(
                self._dir / MAPS, np.float16, "w+", shape=shape
            )
            for i, score_map, _ in predict_maps(model, photos, side, workers):
                maps[i] = cv2.resize(score_map, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
            maps.flush()
        except OSError as error:
            raise TrainingError(
                f"{self._dir / MAPS}: cannot be written ({error.strerror}); make room and --resume"
            ) from error
        write_text(self._dir / ABOUT, json.dumps({"epoch": epoch}))
        sure = sum(presence_score(np.asarray(m, np.float32)) > self._config.sure_fg for m in maps)
        _log.info("own maps at the start of epoch %d: %d of %d photos are sure", epoch + 1, sure, len(photos))
