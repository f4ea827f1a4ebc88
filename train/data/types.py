"""What a data set is once it is read: photos with one class each, boxes only where they judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from train.data.tarphoto import TarPhoto

    PhotoFile: TypeAlias = Path | TarPhoto
    Broken: TypeAlias = list[tuple[str, str]]  # (image id, why it cannot be used)

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """One photo with its image-level label.

    `image_id`: posix path, unique in the data set. `width`, `height`: pixels of the stored image
    (EXIF rotation is not applied, as in the WSOL protocol). `boxes`: (n, 4) int32 x0, y0, x1, y1 in
    those pixels; None when they are unknown, and always for train; (0, 4) for a negative image of a
    split that has boxes. `masks`, `ignore_mask`: OpenImages only, in place of boxes.
    """

    path: PhotoFile
    image_id: str
    label: int
    width: int
    height: int
    boxes: NDArray[np.int32] | None = None
    masks: tuple[Path, ...] = ()
    ignore_mask: Path | None = None


@dataclass(frozen=True)
class Dataset:
    """Photos by split; `negative` is the index of the class without any object, or None.

    `broken`: (image id, reason) of what lies in train and cannot be used.
    """

    root: Path
    classes: tuple[str, ...]
    negative: int | None
    splits: Mapping[str, tuple[Image, ...]]
    broken: tuple[tuple[str, str], ...] = ()

    def has_boxes(self, split: str) -> bool:
        """True when the photos of this split come with boxes to judge by."""
        return any(image.boxes is not None for image in self.splits[split])
