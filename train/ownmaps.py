"""Maps the localizer itself gives of train photos, kept on the disk so that a killed run goes on with them.

weights ──whole photos at one or more sizes──▶ maximum of the maps ──▶ RUN/<name>.f16, RUN/<name>.json

The batches of photos are dealt to the processes there are, and the maps do not depend on how many these are.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_runtime.progress import counted
from train.checkpoint import write_text
from train.distributed import wait_until_seen
from train.mapfile import has_size, open_map, reserve
from train.validate import BATCH, predict_maps

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from train.data.types import Image
    from train.distributed import World
    from train.localizer import Localizer


BLOCK = 4 * BATCH  # rows one process writes together: whole pages of up to 64 KiB, also over a network
_log = logging.getLogger(__name__)


class OwnMapFile:
    """(n, side, side) float16 maps of n photos; made and read by all processes."""

    def __init__(
        self, run_dir: Path, name: str, images: Sequence[Image], indices: Sequence[int], side: int
    ) -> None:
        """`indices`: of the photos with an object that can be read."""
        self._maps_path, self._about = run_dir / f"{name}.f16", run_dir / f"{name}.json"
        self.indices = list(indices)
        self._row = {index: row for row, index in enumerate(self.indices)}
        self._photos, self._side = [images[i] for i in self.indices], side
        self._maps: NDArray[np.float16] | None = None

    def reserve(self) -> None:
        """Take the space on the disk. Raises TrainingError when it is full."""
        reserve(self._maps_path, np.float16, self._shape())

    def prepare(
        self, made: int, now: int, model: Localizer, inputs: Sequence[int], workers: int, world: World
    ) -> bool:
        """Have the maps made at the start of epoch `made` at hand: found on the disk, or made now.

        Args:
            now: the epoch that is begun or gone on with. model: as it is at the start of `made`. inputs:
                sides it looks with, px; the maximum is kept.

        Returns:
            Whether they were made now.

        Raises:
            TrainingError: the disk is full.
        """
        about = {"epoch": made, "inputs": list(inputs)}
        makes = world.agree(world.main and self._found() != about)
        if makes:
            if world.main and now > made:
                _log.warning("own maps of epoch %d are gone; made anew, by weights of later", made + 1)
            self._make(model, inputs, workers, world)
            world.barrier()
            if world.main:
                write_text(self._about, json.dumps(about))
        self._maps = open_map(self._maps_path, np.float16, self._shape(), "r")
        return makes

    def get(self, index: int) -> NDArray[np.float32] | None:
        """(side, side) float32 in [0, 1] of photo `index`.

        None before `prepare`, for a photo that is not among `indices`, or that could not be read.
        """
        row = self._row.get(index)
        found = None if self._maps is None or row is None else np.asarray(self._maps[row], np.float32)
        return None if found is None or np.isnan(found[0, 0]) else found

    def __contains__(self, index: int) -> bool:
        return index in self._row

    def _shape(self) -> tuple[int, int, int]:
        return max(1, len(self._photos)), self._side, self._side

    def _found(self) -> object:
        """What the maps on the disk are; None where there are none, or half of them."""
        if not has_size(self._maps_path, np.float16, self._shape()):
            return None
        try:
            return json.loads(self._about.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def _make(self, model: Localizer, inputs: Sequence[int], workers: int, world: World) -> None:
        """Fill the rows of this process. Whole batches: last bits depend on who shares one."""
        with world.main_first():
            if world.main:
                self._about.unlink(missing_ok=True)
                self.reserve()
        wait_until_seen(self._maps_path)
        maps = open_map(self._maps_path, np.float16, self._shape())
        rows = range(len(self._photos))
        mine = [row for start in world.share(rows[::BLOCK]) for row in rows[start : start + BLOCK]]
        maps[mine] = 0
        left = set(mine)  # unread by an input are not tried by the next: named once
        for side in inputs:
            tried, read = sorted(left), set[int]()
            found = predict_maps(model, [self._photos[row] for row in tried], side, workers)
            for k, score_map, _ in counted(found, f"own maps at {side} px", len(tried), world.main):
                row = tried[k]
                maps[row] = np.maximum(maps[row], _resized(score_map, self._side))
                read.add(row)
            left = read
        maps[sorted(set(mine) - left)] = np.nan
        maps.flush()


def _resized(score_map: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    way = cv2.INTER_AREA if score_map.shape[0] > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(score_map, (side, side), interpolation=way), np.float32)
