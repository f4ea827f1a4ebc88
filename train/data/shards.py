"""Data set layout 3: WebDataset shards, tar files of KEY.jpg with KEY.cls or KEY.json.

ROOT/{train,val,test}-*.tar or ROOT/{train,val,test}/*.tar, optional ROOT/classes.txt (names in order).
KEY.cls holds the class, as a number or a name; KEY.json {"label": ..., "boxes": [[x0, y0, x1, y1], ...]}.
What cannot be used in train is left out and listed; in val and test it is an error: figures would differ.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_runtime.errors import DatasetError
from train.data.boxes_file import Box, check_box
from train.data.shard_index import ShardItem, read_index
from train.data.types import SPLITS, Image
from train.data.wsol import read_class_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from train.data.types import Broken

log = logging.getLogger(__name__)
CLASSES = "classes.txt"


def has_shards(root: Path) -> bool:
    return any(shards_of(root, split) for split in SPLITS)


def shards_of(root: Path, split: str) -> list[Path]:
    """The shards of a split, by name."""
    return sorted([*root.glob(f"{split}-*.tar"), *(root / split).glob("*.tar")])


def read_shards(
    root: Path, splits: Sequence[str], broken: Broken
) -> tuple[tuple[str, ...], dict[str, list[Image]]]:
    """Photos in the order of shards and of members in them; ids are `split/KEY.jpg`, whatever the shard.

    The labels of all splits are read, so that class numbers do not depend on which are asked for.
    """
    used = {tar for split in SPLITS for tar in shards_of(root, split)}
    for stray in sorted(set(root.glob("*.tar")) - used):
        log.warning("%s: not read; shards are named like train-000.tar or lie in train/", stray)
    found = {split: _read_split(root, split, broken) for split in SPLITS}
    if "train" in splits and not found["train"]:
        raise DatasetError(f"{root}: no usable item in train; expected train-*.tar or train/*.tar")
    classes = _classes(root, [item for items in found.values() for item in items])
    numbers = {name: k for k, name in enumerate(classes)}
    images = {split: [_image(item, split, numbers, root) for item in found[split]] for split in splits}
    return classes, {split: _judged(found[split], images[split]) for split in splits}


def _read_split(root: Path, split: str, broken: Broken) -> list[ShardItem]:
    items: dict[str, ShardItem] = {}
    for tar in shards_of(root, split):
        index = read_index(tar, with_boxes=split != "train")
        problems = list(index.problems)
        for item in index.items:
            if item.key in items:
                other = items[item.key].photo.tar
                problems.append((item.photo.member, f"{item.photo}: its key is already in {other}"))
            else:
                items[item.key] = item
        for name, reason in problems:
            if split != "train":
                raise DatasetError(f"{reason}. {split} must be whole to be judged: mend or remove it")
            log.warning("skipped: %s", reason)
            broken.append((f"{split}/{name}", reason))
    rotated = sum(item.header.orientation != 1 for item in items.values())
    if rotated:
        log.warning(
            "%s: %d photos of %s carry an EXIF rotation, which is not applied (boxes and training use the "
            "stored pixels)",
            root,
            rotated,
            split,
        )
    return list(items.values())


def _classes(root: Path, items: Sequence[ShardItem]) -> tuple[str, ...]:
    path = root / CLASSES
    if path.is_file():
        return read_class_names(path)
    numbers = [item for item in items if isinstance(item.label, int)]
    names = [item for item in items if isinstance(item.label, str)]
    if numbers and names:
        raise DatasetError(
            f"{root}: {numbers[0].photo} has class number {numbers[0].label}, but {names[0].photo} "
            f"the class name {names[0].label!r}; use one kind, or list the names in {CLASSES}"
        )
    if names:
        return tuple(sorted({str(item.label) for item in names}))
    return tuple(str(k) for k in range(max((int(item.label) for item in numbers), default=-1) + 1))


def _image(item: ShardItem, split: str, numbers: Mapping[str, int], root: Path) -> Image:
    label = numbers.get(item.label, -1) if isinstance(item.label, str) else item.label
    if not 0 <= label < len(numbers):
        raise DatasetError(
            f"{item.photo}: class {item.label!r} is not among the {len(numbers)} of {root / CLASSES}"
        )
    return Image(item.photo, f"{split}/{item.photo.member}", label, item.header.width, item.header.height)


def _judged(items: Sequence[ShardItem], images: list[Image]) -> list[Image]:
    """With boxes, where any item of the split has some; the index of train never has."""
    if all(item.boxes is None for item in items):
        return images
    return [dataclasses.replace(i, boxes=_boxes(item, i)) for item, i in zip(items, images, strict=True)]


def _boxes(item: ShardItem, image: Image) -> NDArray[np.int32]:
    boxes = [_box(raw, str(item.photo)) for raw in item.boxes or ()]
    for box in boxes:
        check_box(box, image, str(item.photo))
    return np.array(boxes, np.int32).reshape(-1, 4)


def _box(raw: Any, where: str) -> Box:
    try:
        x0, y0, x1, y1 = (round(float(v)) for v in raw)
    except (TypeError, ValueError, OverflowError) as error:
        raise DatasetError(f"{where}: box {raw!r}, expected [x0, y0, x1, y1] in pixels") from error
    return x0, y0, x1, y1
