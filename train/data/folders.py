"""Data set layout 1: one folder per class, under train/val/test or split here by a seed.

ROOT/{train,val,test}/<class>/*.jpg   with ROOT/{val,test}/boxes.csv (or COCO json) where they exist
ROOT/<class>/*.jpg                    split once, stratified by class, kept in ROOT/split.json
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import random
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from edge_runtime.errors import DatasetError
from train.data.boxes_file import find_boxes_file, read_boxes
from train.data.imageheader import SUFFIXES, read_header
from train.data.textfile import read_text
from train.data.types import SPLITS, Image

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from train.data.types import Broken

log = logging.getLogger(__name__)

SPLIT_FILE = "split.json"
SPLIT_SHARE = {"val": 0.15, "test": 0.15}  # the rest trains


def has_split_folders(root: Path) -> bool:
    return any((root / split).is_dir() for split in SPLITS)


def read_split_folders(
    root: Path, splits: Sequence[str], broken: Broken
) -> tuple[tuple[str, ...], dict[str, list[Image]]]:
    """Photos under ROOT/<split>/<class>/, with boxes for val and test where a boxes file lies.

    Class order: alphabetical over all splits. Boxes of train are never looked for. Photos of train that
    cannot be read are added to `broken`; in val and test they are an error.
    """
    names = {split: class_folders(root / split) for split in SPLITS if (root / split).is_dir()}
    classes = tuple(sorted({name for found in names.values() for name in found}))
    if "train" in splits:
        if "train" not in names:
            raise DatasetError(f"{root}: folder 'train' is missing; expected {root}/train/<class>/*.jpg")
        for split, found in names.items():
            for name in sorted(set(found) - set(names["train"])):
                raise DatasetError(f"{root / split / name}: class {name!r} has no folder under {root}/train")
    result: dict[str, list[Image]] = {}
    for split in splits:
        images: list[Image] = []
        for label, name in enumerate(classes):
            if name in names.get(split, ()):
                images += _read_class(root, root / split / name, label, broken if split == "train" else None)
        result[split] = images if split == "train" else _with_boxes(root, split, images, classes)
    return classes, result


def read_flat_folders(
    root: Path, splits: Sequence[str], seed: int, broken: Broken
) -> tuple[tuple[str, ...], dict[str, list[Image]]]:
    """Photos under ROOT/<class>/, divided by ROOT/split.json, which is made when it is not there."""
    classes = tuple(class_folders(root))
    if not classes:
        raise DatasetError(
            f"{root}: no data set here; expected train/<class>/*.jpg, <class>/*.jpg, train-*.tar "
            "or metadata/train/image_ids.txt"
        )
    images = [
        image for label, name in enumerate(classes) for image in _read_class(root, root / name, label, broken)
    ]
    chosen = _load_or_make_split(root, images, seed)
    return classes, {split: [i for i in images if chosen[i.image_id] == split] for split in splits}


def class_folders(folder: Path) -> list[str]:
    """Names of the visible folders inside, sorted."""
    try:
        return sorted(e.name for e in os.scandir(folder) if not e.name.startswith(".") and e.is_dir())
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be read ({error.strerror or error})") from error


def _read_class(root: Path, folder: Path, label: int, broken: Broken | None) -> list[Image]:
    """Photos of one class; one that cannot be read goes to `broken`, or is an error when that is None."""
    images: list[Image] = []
    rotated = others = 0
    for path in files_below(folder):
        if path.suffix.lower() not in SUFFIXES:
            others += 1
            continue
        try:
            header = read_header(path)
        except DatasetError as error:
            if broken is None:
                raise
            log.warning("skipped: %s", error)
            broken.append((path.relative_to(root).as_posix(), str(error)))
            continue
        rotated += header.orientation != 1
        images.append(Image(path, path.relative_to(root).as_posix(), label, header.width, header.height))
    if others:
        log.debug("%s: %d files that are no photos were ignored", folder, others)
    if rotated:
        log.warning(
            "%s: %d photos carry an EXIF rotation, which is not applied (boxes and training use the stored "
            "pixels); turn them upright with `mogrify -auto-orient` if they look sideways",
            folder,
            rotated,
        )
    if not images:
        kinds = " ".join(sorted(SUFFIXES))
        raise DatasetError(f"{folder}: class folder without a readable image; expected files {kinds}")
    return images


def files_below(folder: Path) -> list[Path]:
    """Visible files below the folder, sorted; links are followed, a loop of links is walked once."""

    def refuse(error: OSError) -> NoReturn:
        raise DatasetError(f"{error.filename}: cannot be read ({error.strerror})") from error

    found: list[Path] = []
    seen: set[str] = set()
    for here, folders, files in os.walk(folder, followlinks=True, onerror=refuse):
        real = os.path.realpath(here)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(here, name) for name in files if not name.startswith(".")]
    return sorted(found)


def _with_boxes(root: Path, split: str, images: list[Image], classes: Sequence[str]) -> list[Image]:
    path = find_boxes_file(root / split)
    if path is None or not images:
        return images
    boxes = read_boxes(path, split, images, classes)
    none = np.zeros((0, 4), np.int32)
    return [dataclasses.replace(i, boxes=boxes.get(i.image_id, none)) for i in images]


def _load_or_make_split(root: Path, images: Sequence[Image], seed: int) -> Mapping[str, str]:
    path = root / SPLIT_FILE
    if path.is_file():
        return _load_split(path, images)
    chosen = make_split(images, seed)
    listed = {split: [i.image_id for i in images if chosen[i.image_id] == split] for split in SPLITS}
    partial = root / f".{SPLIT_FILE}.partial"
    try:
        partial.write_text(json.dumps({"seed": seed, **listed}, indent=1) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        log.warning(
            "%s: cannot be written (%s); the split holds as long as the photos and --seed stay the same",
            path,
            error.strerror or error,
        )
    else:
        log.info("%s: split made with seed %d: %s", path, seed, {k: len(v) for k, v in listed.items()})
    return chosen


def make_split(images: Sequence[Image], seed: int) -> dict[str, str]:
    """Split name by image id: each class is divided on its own (`SPLIT_SHARE`), at least one photo trains."""
    chosen: dict[str, str] = {}
    for label in sorted({image.label for image in images}):
        ids = sorted(image.image_id for image in images if image.label == label)
        random.Random(f"{seed}/{label}").shuffle(ids)
        for split, share in SPLIT_SHARE.items():
            count = min(round(share * sum(i.label == label for i in images)), len(ids) - 1)
            chosen.update(dict.fromkeys(ids[:count], split))
            ids = ids[count:]
        chosen.update(dict.fromkeys(ids, "train"))
    return chosen


def _load_split(path: Path, images: Sequence[Image]) -> Mapping[str, str]:
    try:
        raw = json.loads(read_text(path))
        chosen = {str(name): split for split in SPLITS for name in raw[split]}
        total = sum(len(raw[split]) for split in SPLITS)
    except json.JSONDecodeError as error:
        raise DatasetError(f"{path} line {error.lineno}: not valid json: {error.msg}") from error
    except (KeyError, TypeError) as error:
        raise DatasetError(
            f"{path}: expected lists 'train', 'val' and 'test'; delete the file to split again"
        ) from error
    if total != len(chosen):
        raise DatasetError(f"{path}: a photo is listed twice; delete the file to split again")
    present = {image.image_id for image in images}
    gone = sorted(chosen.keys() - present)
    new = sorted(present - chosen.keys())
    if gone:
        log.warning("%s: %d listed photos are gone, the first is %s", path, len(gone), gone[0])
    if new:
        log.warning("%s: %d photos are not listed and go to train, the first is %s", path, len(new), new[0])
    return {**chosen, **dict.fromkeys(new, "train")}
