"""PxAP: average precision over pixels, for data sets whose truth is masks (OpenImages).

score map + mask ──▶ histograms of object and other pixels, summed over images ──▶ PxAP in percent
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_runtime.errors import DatasetError
from train.evaluation.metrics import SIDE, THRESHOLDS, check_map

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

IGNORE = 255
_EDGES = np.append(THRESHOLDS, [1.0, 2.0, 3.0])  # a score of exactly 1 has a bin of its own


class PixelPrecision:
    """Histograms of the scores of object pixels and of all others; holds 2 x 1002 counts."""

    def __init__(self) -> None:
        self._object = np.zeros(len(_EDGES) - 1, dtype=np.int64)
        self._other = np.zeros(len(_EDGES) - 1, dtype=np.int64)

    def add(self, score_map: ArrayLike, mask: NDArray[np.uint8]) -> None:
        """Add one image.

        Args:
            score_map: (224, 224) float in [0, 1].
            mask: (224, 224) uint8, 1 on the object, 0 elsewhere, 255 where pixels do not count.

        Raises:
            ValueError: another shape or range.
        """
        scores = check_map(score_map)
        if mask.shape != scores.shape or not np.isin(mask, (0, 1, IGNORE)).all():
            raise ValueError(
                f"mask: expected values 0, 1, {IGNORE} of shape {scores.shape}, got {mask.shape}"
            )
        self._object += np.histogram(scores[mask == 1], _EDGES)[0]
        self._other += np.histogram(scores[mask == 0], _EDGES)[0]

    @property
    def empty(self) -> bool:
        """True when no pixel was added."""
        return not (self._object.any() or self._other.any())

    def percent(self) -> float:
        """Area under precision over recall, thresholds from high to low.

        Raises:
            ValueError: no object pixel in any mask.
        """
        if not self._object.any():
            raise ValueError("PxAP: expected at least one object pixel in the masks, got none")
        hit, false = self._object[::-1].cumsum(), self._other[::-1].cumsum()
        claimed = hit + false
        precision = hit / np.maximum(claimed, 1)
        gained = np.diff(hit / hit[-1])
        return float(100.0 * (precision[1:] * gained)[claimed[1:] > 0].sum())


def read_mask(masks: Sequence[Path], ignore: Path | None) -> NDArray[np.uint8]:
    """One (224, 224) mask of 0, 1 and IGNORE: the union of instance masks, then what they leave to ignore.

    Raises:
        DatasetError: a file that cannot be read.
    """
    found = np.zeros((SIDE, SIDE), dtype=bool)
    for path in masks:
        found |= _read(path)
    mask = found.astype(np.uint8)
    if ignore is not None:
        mask[_read(ignore) & ~found] = IGNORE
    return mask


def _read(path: Path) -> NDArray[np.bool_]:
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise DatasetError(
            f"{path}: not a readable mask; replace the file or take it out of localization.txt"
        )
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
    return np.asarray(small > 0)
