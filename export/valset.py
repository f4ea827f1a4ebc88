"""The photos a file is judged on before it is put in place: labelled val photos, or plain frames.

RUN's data set, or what --frames names ──▶ frames at the network's input size, with labels where there are any
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.errors import DatasetError, UsageError
from edge_runtime.preprocess import resize_frame
from export.frames import is_dataset, source_frames
from train.data.dataset import load_dataset
from train.data.imageio import read_image_bgr
from train.evaluation.subject import relabelled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from export.rundir import RunFacts
    from train.data.types import Image

MOST = 256  # photos, spread evenly over val: their maps are held in memory, 400 kB each at 320 px
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ValSet:
    """`frames`: (H, W, 3) uint8 BGR at the network's input size. `images`: their labels and boxes in the
    network's classes, one per frame, or None for frames nobody labelled. `name`: where they come from."""

    frames: tuple[NDArray[np.uint8], ...]
    images: tuple[Image, ...] | None
    name: str

    def present(self, negative: int | None) -> tuple[bool, ...] | None:
        """Per frame: is an object in it? None where nothing tells."""
        return None if self.images is None else tuple(image.label != negative for image in self.images)


def load_valset(given: str | None, facts: RunFacts, input_hw: tuple[int, int]) -> ValSet:
    """What a lower precision is judged on.

    Args:
        given: a data set (its val split), a video, a folder or glob of images; None takes the data set the
            run names.

    Raises:
        UsageError: nothing given, and the photos of the run are not here.
        DatasetError, SourceError: no photo, or none that can be read.
    """
    root = given if given is not None else facts.data
    if root is None or (given is None and not Path(root).is_dir()):
        raise UsageError(
            "a lower precision is judged on val photos, and those of this run are "
            f"{'not known' if root is None else f'not at {root}'}; "
            "name the data set (or photos of the same kind) with --frames"
        )
    if given is not None and not is_dataset(Path(given)):
        frames = source_frames(given, MOST)
        _log.warning("%s: no labelled val photos; judged by agreement with fp32 alone", given)
        return ValSet(tuple(resize_frame(f, *input_hw) for f in frames), None, given)
    return _labelled(Path(root), facts, input_hw)


def _labelled(root: Path, facts: RunFacts, input_hw: tuple[int, int]) -> ValSet:
    dataset = load_dataset(root, negative_class=facts.negative_class, splits=("val",))
    images = relabelled(dataset, "val", facts.classes, "this run")
    spread = [images[i * len(images) // MOST] for i in range(MOST)] if len(images) > MOST else list(images)
    kept, frames = [], []
    for image in spread:
        try:
            photo = read_image_bgr(image.path, expected_wh=(image.width, image.height))
        except DatasetError as error:
            _log.warning("left out: %s", error)
            continue
        kept.append(image)
        frames.append(resize_frame(photo, *input_hw))
    if not frames:
        raise DatasetError(f"{root}: not one of {len(spread)} val photos could be read")
    return ValSet(tuple(frames), tuple(kept), f"{root} val")
