"""Boxes drawn for judging (val and test only): `boxes.csv` or COCO json, checked line by line.

boxes.csv ─┐
boxes.json ┴─▶ {image_id: (n, 4) int32 x0, y0, x1, y1 in pixels of the stored image}
"""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_runtime.errors import DatasetError
from train.data.textfile import parse_int, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from train.data.types import Image

CSV_NAME = "boxes.csv"
JSON_NAMES = ("boxes.json", "annotations.json")
_COLUMNS = ("path", "x0", "y0", "x1", "y1")

Box = tuple[int, int, int, int]


def find_boxes_file(folder: Path) -> Path | None:
    """The boxes file of a split folder, or None.

    Raises:
        DatasetError: more than one, so that it is unclear which counts.
    """
    found = [folder / name for name in (CSV_NAME, *JSON_NAMES) if (folder / name).is_file()]
    if len(found) > 1:
        raise DatasetError(f"{folder}: both {found[0].name} and {found[1].name}; keep one of them")
    return found[0] if found else None


def read_boxes(
    path: Path, split: str, images: Sequence[Image], classes: Sequence[str]
) -> dict[str, NDArray[np.int32]]:
    """Boxes by image id. Paths in the file are relative to the split folder or to the root, or bare names.

    Raises:
        DatasetError: a line that cannot be read, names no photo of the split, or holds a wrong box.
    """
    by_name = _names(split, images)
    found: dict[str, list[Box]] = defaultdict(list)
    lines = _read_csv(path) if path.name == CSV_NAME else _read_coco(path, by_name, classes)
    for where, name, box in lines:
        image = find_image(name, by_name, where)
        check_box(box, image, where)
        found[image.image_id].append(box)
    return as_arrays(found)


def as_arrays(found: dict[str, list[Box]]) -> dict[str, NDArray[np.int32]]:
    """Lists of boxes as (n, 4) int32 arrays."""
    return {image_id: np.array(boxes, np.int32).reshape(-1, 4) for image_id, boxes in found.items()}


def check_box(box: Box, image: Image, where: str, *, least: int = 1) -> None:
    """Refuse a box that is empty or leaves the image.

    x1 = width and x1 = width - 1 both reach the border: exclusive and inclusive corners are met in
    the wild, and the difference is one pixel. `least`: of x1 - x0 and y1 - y0; 0 where both corners
    belong to the box, so that one of a single pixel is no mistake.
    """
    x0, y0, x1, y1 = box
    for name, value, size, along in (
        ("x0", x0, image.width, "wide"),
        ("x1", x1, image.width, "wide"),
        ("y0", y0, image.height, "high"),
        ("y1", y1, image.height, "high"),
    ):
        if not 0 <= value <= size:
            raise DatasetError(
                f"{where}: {name} = {value} lies outside the image ({size} px {along}); "
                "boxes are x0,y0,x1,y1 in pixels of the stored image"
            )
    for low, high, start, end in (("x0", "x1", x0, x1), ("y0", "y1", y0, y1)):
        if end - start < least:
            wrong = "is less than" if least == 0 else "is not greater than"
            raise DatasetError(
                f"{where}: {high} = {end} {wrong} {low} = {start}; "
                "boxes are x0,y0,x1,y1, not x,y,width,height"
            )


def find_image(name: str, by_name: dict[str, Image | None], where: str) -> Image:
    """The photo a line means; `None` in `by_name` marks a bare name that several photos share."""
    key = name.strip().replace("\\", "/").removeprefix("./")
    if key not in by_name:
        raise DatasetError(f"{where}: unknown path {key!r}; no such photo in this split")
    image = by_name[key]
    if image is None:
        raise DatasetError(f"{where}: {key!r} names several photos; write the path with its class folder")
    return image


def _names(split: str, images: Sequence[Image]) -> dict[str, Image | None]:
    """Every way a boxes file may name a photo: root-relative, split-relative, bare name if unique."""
    by_name: dict[str, Image | None] = {}
    for image in images:
        bare = image.path.name
        by_name[bare] = None if bare in by_name else image
    for image in images:
        by_name[image.image_id] = image
        by_name[image.image_id.removeprefix(f"{split}/")] = image
    return by_name


def _read_csv(path: Path) -> Iterator[tuple[str, str, Box]]:
    reader = csv.reader(io.StringIO(read_text(path)), skipinitialspace=True)
    for row in reader:
        where = f"{path} line {reader.line_num}"
        if not any(row):
            continue
        if tuple(cell.strip().lower() for cell in row) == _COLUMNS:
            continue
        if len(row) != len(_COLUMNS):
            raise DatasetError(
                f"{where}: {len(row)} fields, expected 5 ({','.join(_COLUMNS)}); "
                "a path with a comma must stand in double quotes"
            )
        x0, y0, x1, y1 = (
            parse_int(cell, name, where) for cell, name in zip(row[1:], _COLUMNS[1:], strict=True)
        )
        yield where, row[0], (x0, y0, x1, y1)


def _read_coco(
    path: Path, by_name: dict[str, Image | None], classes: Sequence[str]
) -> Iterator[tuple[str, str, Box]]:
    """COCO boxes, rounded to whole pixels.

    Where a category carries the name of the photo's class, only boxes of that category count.
    """
    try:
        raw = json.loads(read_text(path))
        names = {entry["id"]: str(entry["file_name"]) for entry in raw["images"]}
        categories = {entry["id"]: str(entry["name"]) for entry in raw.get("categories", [])}
        annotations: list[dict[str, Any]] = raw["annotations"]
    except json.JSONDecodeError as error:
        raise DatasetError(f"{path} line {error.lineno}: not valid json: {error.msg}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{path}: not COCO json, expected 'images' (id, file_name) and 'annotations' (image_id, bbox): "
            f"{type(error).__name__} {error}"
        ) from error
    known = set(categories.values())
    for number, entry in enumerate(annotations, 1):
        where = f"{path} annotation {number}"
        try:
            name = names[entry["image_id"]]
            x, y, w, h = (float(v) for v in entry["bbox"])
            box = (round(x), round(y), round(x + w), round(y + h))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DatasetError(
                f"{where}: expected a known image_id and bbox [x, y, width, height]: "
                f"{type(error).__name__} {error}"
            ) from error
        image = find_image(name, by_name, where)
        wanted = classes[image.label]
        if wanted in known and categories.get(entry.get("category_id")) != wanted:
            continue
        yield where, name, box
