"""Data set layout 2: the text files of the WSOL protocol, as CUB-200-2011, ILSVRC and OpenImages have them.

ROOT/metadata/<split>/{image_ids,class_labels,image_sizes,localization}.txt, comma separated, no header;
photos under ROOT/images/ or ROOT/. Facts: specification of the evaluation protocol of Choe et al., CVPR 2020.
"""

from __future__ import annotations

import dataclasses
import logging
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.errors import DatasetError
from train.data.boxes_file import Box, as_arrays, check_box
from train.data.imageheader import read_header
from train.data.textfile import numbered_lines, parse_int
from train.data.types import SPLITS, Image

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

log = logging.getLogger(__name__)

IDS, LABELS, SIZES, BOXES = "image_ids.txt", "class_labels.txt", "image_sizes.txt", "localization.txt"


def has_metadata(root: Path) -> bool:
    return any((root / "metadata" / split / IDS).is_file() for split in SPLITS)


def read_metadata(root: Path, splits: Sequence[str]) -> tuple[tuple[str, ...], dict[str, list[Image]]]:
    """Photos in the order of image_ids.txt; `image_ids_proxy.txt` (a smaller ILSVRC train) is not used.

    The boxes of train are not opened, whether the file exists or not.
    """
    folder = root / "metadata"
    if "train" in splits and not (folder / "train" / IDS).is_file():
        raise DatasetError(f"{folder / 'train' / IDS}: missing; it lists the photos to train on, one a line")
    result = {s: _read_split(root, s) if (folder / s / IDS).is_file() else [] for s in splits}
    return _class_names(folder, result), result


def _read_split(root: Path, split: str) -> list[Image]:
    folder = root / "metadata" / split
    ids = _read_ids(folder / IDS)
    labels = {
        key: _label(value, where) for key, (where, value) in _read_table(folder / LABELS, 1, ids).items()
    }
    sizes = _read_table(folder / SIZES, 2, ids) if (folder / SIZES).is_file() else None
    images: list[Image] = []
    for image_id, number in ids.items():
        where = f"{folder / IDS} line {number}"
        if image_id not in labels:
            raise DatasetError(f"{where}: {image_id} has no line in {LABELS}")
        path = _find_photo(root, image_id, where)
        if sizes is None:
            header = read_header(path)
            width, height = header.width, header.height
        elif image_id in sizes:
            width, height = _size(*sizes[image_id])
        else:
            raise DatasetError(f"{where}: {image_id} has no line in {SIZES}")
        images.append(Image(path, image_id, labels[image_id], width, height))
    if split == "train" or not (folder / BOXES).is_file():
        return images
    return _with_localization(root, folder / BOXES, images)


def _read_ids(path: Path) -> dict[str, int]:
    """Line number by image id, in file order."""
    ids: dict[str, int] = {}
    for number, line in numbered_lines(path):
        image_id = line.strip()
        if "," in image_id:
            raise DatasetError(f"{path} line {number}: comma in path {image_id!r}; rename the photo")
        if image_id in ids:
            raise DatasetError(f"{path} line {number}: {image_id} is already on line {ids[image_id]}")
        ids[image_id] = number
    if not ids:
        raise DatasetError(f"{path}: empty; expected one photo path a line")
    return ids


def _read_table(path: Path, columns: int, ids: dict[str, int]) -> dict[str, tuple[str, list[str]]]:
    """{image id: (where, fields)} of a file with one line per photo."""
    table: dict[str, tuple[str, list[str]]] = {}
    for number, line in numbered_lines(path):
        where = f"{path} line {number}"
        image_id, *fields = line.split(",")
        if len(fields) != columns:
            raise DatasetError(
                f"{where}: {len(fields) + 1} fields, expected {columns + 1}; a path must not hold a comma"
            )
        if image_id not in ids:
            raise DatasetError(f"{where}: {image_id} is not listed in {IDS}")
        if image_id in table:
            raise DatasetError(f"{where}: second line for {image_id}")
        table[image_id] = (where, fields)
    return table


def _label(fields: list[str], where: str) -> int:
    label = parse_int(fields[0], "class", where)
    if label < 0:
        raise DatasetError(f"{where}: class = {label}, expected 0 or more")
    return label


def _size(where: str, fields: list[str]) -> tuple[int, int]:
    width, height = (parse_int(f, n, where) for f, n in zip(fields, ("width", "height"), strict=True))
    if width < 1 or height < 1:
        raise DatasetError(f"{where}: image size {width} x {height}, expected positive pixels")
    return width, height


def _find_photo(root: Path, name: str, where: str) -> Path:
    for folder in (root / "images", root):
        path = folder / name
        if path.is_file():
            return path
    raise DatasetError(f"{where}: no photo {name} under {root / 'images'} or {root}")


def _with_localization(root: Path, path: Path, images: list[Image]) -> list[Image]:
    by_id = {image.image_id: image for image in images}
    boxes: dict[str, list[Box]] = defaultdict(list)
    masks: dict[str, list[Path]] = defaultdict(list)
    ignore: dict[str, Path] = {}
    for number, line in numbered_lines(path):
        where = f"{path} line {number}"
        image_id, *fields = line.split(",")
        if image_id not in by_id:
            raise DatasetError(f"{where}: unknown path {image_id!r}; it is not listed in {IDS}")
        if len(fields) == 2 and fields[0].lower().endswith(".png"):
            masks[image_id].append(_find_mask(root, fields[0], where))
            if fields[1].strip():
                ignore[image_id] = _find_mask(root, fields[1].strip(), where)
            continue
        if len(fields) != 4:
            raise DatasetError(
                f"{where}: {len(fields) + 1} fields, expected path,x0,y0,x1,y1 or path,mask.png,ignore.png; "
                "a path must not hold a comma"
            )
        x0, y0, x1, y1 = (
            parse_int(f, n, where) for f, n in zip(fields, ("x0", "y0", "x1", "y1"), strict=True)
        )
        check_box((x0, y0, x1, y1), by_id[image_id], where, least=0)
        boxes[image_id].append((x0, y0, x1, y1))
    if masks:
        if boxes:
            raise DatasetError(f"{path}: boxes and masks in one file; expected one kind")
        log.info("%s: masks instead of boxes: pixel metrics only", path)
        replace = dataclasses.replace
        return [
            replace(i, masks=tuple(masks[i.image_id]), ignore_mask=ignore.get(i.image_id)) for i in images
        ]
    arrays, none = as_arrays(boxes), np.zeros((0, 4), np.int32)
    return [dataclasses.replace(i, boxes=arrays.get(i.image_id, none)) for i in images]


def _find_mask(root: Path, name: str, where: str) -> Path:
    for folder in (root / "masks", root / "images", root):
        if (folder / name).is_file():
            return folder / name
    raise DatasetError(f"{where}: no mask {name} under {root / 'masks'}, {root / 'images'} or {root}")


def _class_names(folder: Path, splits: dict[str, list[Image]]) -> tuple[str, ...]:
    """Names from classes.txt (`name` or `id,name` a line, in order), else the numbers themselves."""
    path = folder / "classes.txt"
    labels = {image.label for images in splits.values() for image in images}
    if not path.is_file():
        for split in SPLITS:
            other = folder / split / LABELS
            if split not in splits and other.is_file():
                labels |= {
                    _label(f, w) for w, f in _read_table(other, 1, _read_ids(folder / split / IDS)).values()
                }
        return tuple(str(label) for label in range(max(labels, default=-1) + 1))
    names = read_class_names(path)
    if labels and max(labels) >= len(names):
        raise DatasetError(f"{path}: {len(names)} classes, but class {max(labels)} is used in {LABELS}")
    return names


def read_class_names(path: Path) -> tuple[str, ...]:
    """Class names of a classes.txt: `name` or `id,name` a line, in order."""
    names: list[str] = []
    for number, line in numbered_lines(path):
        head, comma, tail = line.partition(",")
        if comma and head.strip() != str(len(names)):
            raise DatasetError(f"{path} line {number}: class number {head!r}, expected {len(names)}")
        name = (tail if comma else head).strip()
        if not name or name in names:
            raise DatasetError(f"{path} line {number}: class name {name!r} is empty or repeated")
        names.append(name)
    return tuple(names)
