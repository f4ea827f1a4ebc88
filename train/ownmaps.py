"""Maps the localizer itself gives of train photos, kept on the disk so that a killed run goes on with them.

weights ──whole photos at one or more sizes──▶ maximum of the maps ──▶ RUN/<name>.f16, RUN/<name>.json

The batches of photos are dealt to the processes there are, and the maps do not depend on how many these are.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_runtime.progress import counted
from train.checkpoint import write_text
from train.distributed import wait_until_seen
from train.mapfile import has_size, open_map
from train.validate import BATCH, predict_maps

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from train.data.types import Image
    from train.distributed import World
    from train.localizer import Localizer


class OwnMapFile:
    """(n, side, side) float16 maps of the n photos with an object; made and read by all processes."""

    def __init__(
        self, run_dir: Path, name: str, images: Sequence[Image], negative: int | None, side: int
    ) -> None:
        self._maps_path, self._about = run_dir / f"{name}.f16", run_dir / f"{name}.json"
        self.indices = [i for i, image in enumerate(images) if image.label != negative]
        self._row = {index: row for row, index in enumerate(self.indices)}
        self._photos, self._side = [images[i] for i in self.indices], side
        self._maps: NDArray[np.float16] | None = None

    def prepare(
        self, epoch: int, model: Localizer, inputs: Sequence[int], workers: int, world: World
    ) -> bool:
        """Have the maps made at the start of `epoch` at hand: found on the disk, or made now.

        Args:
            model: as it is at the start of `epoch`. inputs: sides it looks with, px; the maximum is kept.

        Returns:
            Whether they were made now.

        Raises:
            TrainingError: the disk is full.
        """
        makes = world.agree(self._made_at() != epoch)
        if makes:
            self._make(model, inputs, workers, world)
            world.barrier()
            if world.main:
                write_text(self._about, json.dumps({"epoch": epoch}))
        self._maps = open_map(self._maps_path, np.float16, self._shape(), "r")
        return makes

    def get(self, index: int) -> NDArray[np.float32] | None:
        """(side, side) float32 in [0, 1] of photo `index`; None without an object, and before `prepare`."""
        row = self._row.get(index)
        return None if self._maps is None or row is None else np.asarray(self._maps[row], np.float32)

    def _shape(self) -> tuple[int, int, int]:
        return max(1, len(self._photos)), self._side, self._side

    def _made_at(self) -> int:
        if not has_size(self._maps_path, np.float16, self._shape()):
            return -1
        try:
            about = json.loads(self._about.read_text(encoding="utf-8"))
            return int(about["epoch"])
        except (OSError, ValueError, KeyError, TypeError):
            return -1

    def _make(self, model: Localizer, inputs: Sequence[int], workers: int, world: World) -> None:
        """Fill the rows of this process. Whole batches: last bits depend on who shares one."""
        with world.main_first():
            if world.main:
                self._about.unlink(missing_ok=True)
            else:
                wait_until_seen(self._maps_path)
            maps = open_map(self._maps_path, np.float16, self._shape())
        rows = range(len(self._photos))
        mine = [row for start in world.share(rows[::BATCH]) for row in rows[start : start + BATCH]]
        photos = [self._photos[row] for row in mine]
        maps[mine] = 0
        for side in inputs:
            found = predict_maps(model, photos, side, workers)
            for k, score_map, _ in counted(found, f"own maps at {side} px", len(photos), world.main):
                maps[mine[k]] = np.maximum(maps[mine[k]], _resized(score_map, self._side))
        maps.flush()


def _resized(score_map: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    way = cv2.INTER_AREA if score_map.shape[0] > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(score_map, (side, side), interpolation=way), np.float32)
