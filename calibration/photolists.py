"""Which photos a data set folder lists for train and val, in the layouts that training reads.

ROOT ──metadata/, {train,val}/<class>/, <class>/ with split.json, or just images──▶ photos by split
Listing only: photos are not opened, boxes are not read, nothing is written, test is left alone.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.errors import DatasetError
from edge_runtime.imagefile import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterable

SPLITS = ("train", "val")
IDS, LABELS, CLASSES = "image_ids.txt", "class_labels.txt", "classes.txt"
SPLIT_FILE = "split.json"  # of class folders that training divided


@dataclass(frozen=True)
class Photo:
    """One image file; `present`: does it show an object, None where nothing tells."""

    path: Path
    present: bool | None = None


def dataset_photos(root: Path, negative: str | None) -> dict[str, list[Photo]]:
    """Photos by split, "train" and "val", or "" where ROOT has no splits.

    Args:
        negative: name of the class without any object; None when the model has none.

    Raises:
        DatasetError: no image there, or a list of the data set is damaged.
    """
    if any((root / "metadata" / split / IDS).is_file() for split in SPLITS):
        found = {split: _listed(root, split, negative) for split in SPLITS}
    elif any((root / split).is_dir() for split in SPLITS):
        found = {split: _labelled(root / split, photos_below(root / split), negative) for split in SPLITS}
    elif (root / SPLIT_FILE).is_file():
        found = _divided(root, negative)
    else:
        found = {"": _labelled(root, photos_below(root), negative)}
    if not any(found.values()):
        raise DatasetError(
            f"{root}: no image in it; expected {', '.join(sorted(SUFFIXES))}, or a data set with train, val"
        )
    return found


def photos_below(folder: Path) -> list[Path]:
    """Visible image files below a folder, sorted; links are followed, a loop of links is walked once."""
    found: list[Path] = []
    seen: set[str] = set()
    for here, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(here, name) for name in files if not name.startswith(".")]
    return sorted(path for path in found if path.suffix.lower() in SUFFIXES)


def _labelled(root: Path, paths: Iterable[Path], negative: str | None) -> list[Photo]:
    """The class is the first folder below `root`, if one of those is the negative class."""
    if negative is None or not (root / negative).is_dir():
        return [Photo(path) for path in paths]
    return [Photo(path, path.relative_to(root).parts[0] != negative) for path in paths]


def _divided(root: Path, negative: str | None) -> dict[str, list[Photo]]:
    path = root / SPLIT_FILE
    try:
        lists = json.loads(path.read_text(encoding="utf-8"))
        paths = {split: [root / str(name) for name in lists[split]] for split in SPLITS}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{path}: damaged ({error}); remove it and let `dips-edge train` write it"
        ) from error
    return {split: _labelled(root, found, negative) for split, found in paths.items()}


def _listed(root: Path, split: str, negative: str | None) -> list[Photo]:
    """Photos of the WSOL protocol's text files, with labels where they and the class names are given."""
    folder = root / "metadata"
    if not (folder / split / IDS).is_file():
        return []
    ids = _lines(folder / split / IDS)
    names = _class_names(folder / CLASSES)
    labels: dict[str, str] = {}
    if negative in names and (folder / split / LABELS).is_file():
        labels = dict(line.rpartition(",")[::2] for line in _lines(folder / split / LABELS))
    number = str(names.index(negative)) if negative in names else ""
    return [
        Photo(_photo(root, image_id, folder / split / IDS), labels[image_id].strip() != number)
        if image_id in labels
        else Photo(_photo(root, image_id, folder / split / IDS))
        for image_id in ids
    ]


def _photo(root: Path, image_id: str, listed_in: Path) -> Path:
    for folder in (root / "images", root):
        if (folder / image_id).is_file():
            return folder / image_id
    raise DatasetError(f"{listed_in}: no photo {image_id} under {root / 'images'} or {root}")


def _class_names(path: Path) -> list[str]:
    """Names of classes.txt, `name` or `id,name` a line; none without the file."""
    return [line.rpartition(",")[2].strip() for line in _lines(path)] if path.is_file() else []


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read as text ({error})") from error
