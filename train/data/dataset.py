"""Reads a data set in any of its layouts, told apart by what lies in ROOT, and checks it as a whole.

ROOT ──{folders,wsol,shards}──▶ photos, labels, boxes of val/test ──checks──▶ Dataset
No box of the train split is ever opened.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from edge_runtime.errors import DatasetError
from train.data import folders, shards, wsol
from train.data.types import SPLITS, Dataset, Image

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from train.data.types import Broken, PhotoFile

__all__ = ["BACKGROUND", "SPLITS", "Dataset", "Image", "load_dataset"]

log = logging.getLogger(__name__)

BACKGROUND = "background"


def load_dataset(
    root: Path, *, negative_class: str | None = None, seed: int = 0, splits: Sequence[str] = SPLITS
) -> Dataset:
    """Read the named splits of a data set; the others stay empty.

    Args:
        negative_class: name of the class without any object; default: a class named "background".
        seed: used once, when photos that lie in class folders only are divided into splits.
        splits: e.g. ("test",) to evaluate; only with "train" must there be two classes to tell apart.

    Raises:
        DatasetError: naming the file and line at fault.
    """
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "no such folder"
        raise DatasetError(f"{root}: {what}; expected a data set folder")
    broken: Broken = []
    if wsol.has_metadata(root):
        classes, found = wsol.read_metadata(root, splits)
    elif shards.has_shards(root):
        classes, found = shards.read_shards(root, splits, broken)
    elif folders.has_split_folders(root):
        classes, found = folders.read_split_folders(root, splits, broken)
    else:
        classes, found = folders.read_flat_folders(root, splits, seed, broken)
    negative = _negative_index(root, classes, negative_class)
    by_split = {s: tuple(found.get(s, ())) for s in SPLITS}
    dataset = Dataset(root, classes, negative, by_split, tuple(broken))
    _check(dataset, splits)
    return dataset


def splits_of(root: Path) -> tuple[str, ...]:
    """The splits that lie in ROOT, whatever its layout; all where only the layout can tell."""
    there = [
        split
        for split in SPLITS
        if (root / split).is_dir() or (root / "metadata" / split).is_dir() or shards.shards_of(root, split)
    ]
    return tuple(there) or SPLITS


def _negative_index(root: Path, classes: Sequence[str], wanted: str | None) -> int | None:
    if wanted is None:
        return next((k for k, name in enumerate(classes) if name.lower() == BACKGROUND), None)
    if wanted not in classes:
        raise DatasetError(f"{root}: no class {wanted!r} to be the negative one; classes: {_some(classes)}")
    return classes.index(wanted)


def _check(dataset: Dataset, splits: Sequence[str]) -> None:
    if not any(dataset.splits.values()):
        raise DatasetError(f"{dataset.root}: no photo in {_some(splits)}")
    if "train" in splits:
        _check_train(dataset)
    for split in ("val", "test"):
        _check_boxes(dataset, split)
    _warn_of_leaks(dataset)


def _check_train(dataset: Dataset) -> None:
    if len(dataset.classes) < 2:
        raise DatasetError(
            f"{dataset.root}: one class only ({_some(dataset.classes)}); image labels teach nothing without "
            f"a second class: add another, or photos without the object in a class {BACKGROUND!r}"
        )
    present = {image.label for image in dataset.splits["train"]}
    for label, name in enumerate(dataset.classes):
        if label not in present:
            raise DatasetError(f"{dataset.root}: class {name!r} has no photo in train")


def _check_boxes(dataset: Dataset, split: str) -> None:
    """In a split with boxes every positive photo has one, and no negative photo has any."""
    missing: list[str] = []
    for image in dataset.splits[split]:
        if image.boxes is None:
            continue
        if image.label == dataset.negative and len(image.boxes):
            raise DatasetError(
                f"{dataset.root}: {image.image_id} has a box but belongs to the negative class "
                f"{dataset.classes[image.label]!r}; remove the box or move the photo"
            )
        if image.label != dataset.negative and not len(image.boxes):
            missing.append(image.image_id)
    if missing:
        raise DatasetError(
            f"{dataset.root}: {len(missing)} photos of {split} have no box, the first is {missing[0]}; "
            f"draw one on each, or remove the boxes file of {split} to do without"
        )


def _warn_of_leaks(dataset: Dataset) -> None:
    seen: dict[PhotoFile, str] = {}
    for split, images in dataset.splits.items():
        shared = [image.image_id for image in images if image.path in seen]
        if shared:
            log.warning(
                "%d photos of %s are in another split too, the first is %s", len(shared), split, shared[0]
            )
        seen.update((image.path, split) for image in images)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:8])
    return shown + (f" and {len(names) - 8} more" if len(names) > 8 else "")
