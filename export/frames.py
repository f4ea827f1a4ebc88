"""A few real photos or video frames to compare two forms of a network on."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.errors import DatasetError, SourceError
from edge_runtime.sources import open_source
from train.data.dataset import load_dataset
from train.data.imageio import read_image_bgr

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COUNT = 8


def comparison_photos(given: str | None, data: str | None) -> list[NDArray[np.uint8]]:
    """Up to `COUNT` images, (h, w, 3) uint8 BGR, at least one.

    Args:
        given: a data set, a video, a folder or glob of images, or "demo"; None takes the photos the run
            was trained on, and the demo clip where those are not on this machine.
        data: the data set folder the run names, if any.

    Raises:
        SourceError, DatasetError: `given` cannot be read.
    """
    if given is None:
        try:
            photos = _photos(Path(data)) if data else []
        except DatasetError:  # moved or gone since training: the demo clip serves as well
            photos = []
        return photos or source_frames("demo", COUNT)
    return _photos(Path(given)) if is_dataset(Path(given)) else source_frames(given, COUNT)


def is_dataset(path: Path) -> bool:
    """A folder with splits, in either layout, and not just images."""
    return path.is_dir() and any((path / name).is_dir() for name in ("metadata", "train", "val"))


def _photos(root: Path) -> list[NDArray[np.uint8]]:
    """The first photos of val, or of test or train where val is empty."""
    for split in ("val", "test", "train"):
        images = load_dataset(root, splits=(split,)).splits[split]
        if images:
            return [read_image_bgr(image.path) for image in images[:: max(1, len(images) // COUNT)][:COUNT]]
    return []


def source_frames(uri: str, most: int) -> list[NDArray[np.uint8]]:
    """The first `most` frames of a video, folder or glob of images, or "demo"; at least one.

    Raises:
        SourceError: cannot be opened, or empty.
    """
    source = open_source(uri)
    try:
        found = [frame.image_bgr_u8 for frame in islice(source, most)]
    finally:
        source.close()
    if not found:
        raise SourceError(f"{uri}: no frame to compare on")
    return found
