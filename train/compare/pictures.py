"""The same photos through every method, side by side: the paper's Figures 3 and 4.

photos of a split ──best checkpoint of the first seed of each method──▶ one sheet, a column per method
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from train.compare.plan import Job, run_dir
from train.evaluation.report_photos import as_jpeg, judge, paint
from train.evaluation.subject import open_run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from train.compare.results import Row
    from train.data.types import Dataset, Image

WITH_OBJECT, WITHOUT = 6, 2  # photos
TILE, TITLE, GAP = 200, 24, 4  # px: width of a photo, height of the titles, between photos


def choose_photos(images: Sequence[Image], negative: int | None, seed: int = 0) -> list[Image]:
    """A few photos with an object and fewer without, drawn at random, the same ones each time."""
    order = [images[i] for i in np.random.default_rng(seed).permutation(len(images))]
    shown = [image for image in order if image.label != negative][:WITH_OBJECT]
    return shown + [image for image in order if image.label == negative][:WITHOUT]


def side_by_side(out: Path, rows: Sequence[Row], dataset: Dataset, split: str, workers: int) -> bytes | None:
    """The sheet as JPEG; None when no method has finished.

    Each tile shows the map as a tint, what the deployed rule reports, and the true boxes.

    Raises:
        DatasetError: not one of the photos can be read.
    """
    columns: dict[str, dict[str, NDArray[np.uint8]]] = {}
    for row in (row for row in rows if row.runs):
        subject = open_run(run_dir(out, Job(row.method, min(row.runs))), "best")
        photos = choose_photos(subject.relabel(dataset, split), subject.negative)
        found = subject.predict(photos, workers)
        shots = judge(found, subject.thresholds, subject.negative, subject.presence)
        columns[row.method] = {shot.image.image_id: paint(shot, TILE) for shot in shots}
    return as_jpeg(_sheet(columns)) if columns else None


def _sheet(columns: dict[str, dict[str, NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """A column per method under its name; tiles of one photo have one height."""
    strips = []
    for method, tiles in columns.items():
        title = np.full((TITLE, TILE, 3), 255, np.uint8)
        cv2.putText(
            title, method, (4, TITLE - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (40, 30, 30), 1, cv2.LINE_AA
        )
        space = np.full((GAP, TILE, 3), 255, np.uint8)
        strips.append(np.concatenate([title, *(part for tile in tiles.values() for part in (tile, space))]))
    between = np.full((len(strips[0]), GAP, 3), 255, np.uint8)
    return np.concatenate([part for strip in strips for part in (strip, between)], axis=1)
