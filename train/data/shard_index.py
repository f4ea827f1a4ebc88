"""What a tar file of photos and labels (a WebDataset shard) holds, and where in it.

train-000.tar: a/1.jpg a/1.cls a/2.jpg a/2.json ...  ──index──▶ [ShardItem(key, photo, label, boxes)]

The index of a shard is kept beside it (`.NAME.tar.index.json`) while size and time of the tar stay the same.
Members of one key need not be neighbours. A streaming reader would fix the order of training; the order here
comes from (seed, epoch) alone, and a run resumes at any photo.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import tarfile
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from edge_runtime.errors import DatasetError
from train.data.imageheader import SUFFIXES, Header
from train.data.tarphoto import TarPhoto

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

VERSION = 1
LABEL_SUFFIXES = (".cls", ".json")


@dataclass(frozen=True, slots=True)
class ShardItem:
    """One key of a shard. `label`: class number or name; `boxes`: as written, unchecked, None for train."""

    key: str
    photo: TarPhoto
    header: Header
    label: int | str
    boxes: list[Any] | None


@dataclass
class ShardIndex:
    """What a shard holds; `problems`: (name, reason) of what cannot be used."""

    items: list[ShardItem] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)


def read_index(tar: Path, *, with_boxes: bool) -> ShardIndex:
    """The index of a shard, from beside it or made now.

    Args:
        with_boxes: False for train: whatever boxes its json files hold are not looked at.

    Raises:
        DatasetError: not a plain tar, or it cannot be read.
    """
    try:
        status = tar.stat()
        about = {
            "version": VERSION,
            "size": status.st_size,
            "mtime_ns": status.st_mtime_ns,
            "boxes": with_boxes,
        }
        kept = tar.with_name(f".{tar.name}.index.json")
        found = _load(kept, tar, about)
        if found is None:
            found = _make(tar, status.st_size, with_boxes)
            _save(kept, found, about)
    except OSError as error:
        raise DatasetError(f"{tar}: cannot be read ({error.strerror or error})") from error
    return found


def _make(tar: Path, size: int, with_boxes: bool) -> ShardIndex:
    log.debug("%s: making its index", tar)
    parts, index = _members(tar, size)
    for key, files in parts.items():
        photos = [name for name in files if PurePosixPath(name).suffix.lower() in SUFFIXES]
        if not photos:
            index.problems.append((key, f"{tar}:{key}: a label without a photo"))
            continue
        photo = files[photos[0]]
        try:
            if len(photos) > 1:
                raise DatasetError(f"{tar}:{key}: two photos with one key: {photos[0]} and {photos[1]}")
            label, boxes = _label(tar, key, files, with_boxes)
            index.items.append(ShardItem(key, photo, photo.header(), label, boxes))
        except DatasetError as error:
            index.problems.append((photo.member, str(error)))
    return index


def _members(tar: Path, size: int) -> tuple[dict[str, dict[str, TarPhoto]], ShardIndex]:
    """{key: {member name: where it is}} and an index that lists what is wrong with the tar itself."""
    parts: dict[str, dict[str, TarPhoto]] = {}
    index = ShardIndex()
    whole = 0
    try:
        with tarfile.open(tar, "r:") as file:
            for member in file:
                name = member.name.removeprefix("./")
                if member.offset_data + member.size > size:
                    raise tarfile.ReadError("unexpected end of data")
                suffix, base = PurePosixPath(name).suffix.lower(), PurePosixPath(name).name
                whole += 1
                if not member.isreg() or base.startswith(".") or suffix not in {*SUFFIXES, *LABEL_SUFFIXES}:
                    continue
                key = name[: len(name) - len(base)] + base.split(".", 1)[0]
                there = parts.setdefault(key, {})
                if name in there:
                    index.problems.append((name, f"{tar}:{name}: is in the tar twice; the first one counts"))
                    continue
                there[name] = TarPhoto(tar, name, member.offset_data, member.size)
            if file.offset >= size:
                raise tarfile.ReadError("no end mark")
    except tarfile.TarError as error:
        if not whole:
            raise DatasetError(
                f"{tar}: not a plain tar file ({error}); shards must not be compressed, and hold KEY.jpg "
                "with KEY.cls or KEY.json"
            ) from error
        index.problems.append(
            (tar.name, f"{tar}: cut short ({error}) after {whole} whole members; copy it again")
        )
    return parts, index


def _label(
    tar: Path, key: str, files: dict[str, TarPhoto], with_boxes: bool
) -> tuple[int | str, list[Any] | None]:
    """Label and boxes of one key. Raises DatasetError for none, or for two that differ."""
    texts = {PurePosixPath(name).suffix.lower(): file for name, file in files.items()}
    found: list[int | str] = []
    boxes: list[Any] | None = None
    if ".cls" in texts:
        found.append(_plain(texts[".cls"].read_bytes().decode("utf-8", "replace").strip()))
    if ".json" in texts and (with_boxes or not found):
        label, boxes = _from_json(texts[".json"], with_boxes)
        found += [] if label is None else [label]
    if not found or found[0] == "":
        raise DatasetError(f"{tar}:{key}: no label; expected KEY.cls with a class, or KEY.json with 'label'")
    if len(set(found)) > 1:
        raise DatasetError(f"{tar}:{key}: {found[0]!r} in .cls, but {found[1]!r} in .json")
    return found[0], boxes


def _from_json(file: TarPhoto, with_boxes: bool) -> tuple[int | str | None, list[Any] | None]:
    try:
        raw = json.loads(file.read_bytes())
        label = raw.get("label", raw.get("class"))
        boxes = raw.get("boxes") if with_boxes else None
    except (ValueError, AttributeError) as error:
        raise DatasetError(f"{file}: not a JSON object: {error}") from error
    if label is not None and (isinstance(label, bool) or not isinstance(label, (int, str))):
        raise DatasetError(f"{file}: label {label!r}, expected a class number or name")
    if boxes is not None and not isinstance(boxes, list):
        raise DatasetError(f"{file}: boxes {boxes!r}, expected [[x0, y0, x1, y1], ...]")
    return _plain(label) if isinstance(label, str) else label, boxes


def _plain(text: str) -> int | str:
    """A class number where the text is one, else the class name."""
    return int(text) if text.isascii() and text.isdigit() else text


def _load(path: Path, tar: Path, about: dict[str, Any]) -> ShardIndex | None:
    """The kept index; None when there is none, or it belongs to another state of the tar."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw["about"] != about:
            return None
        items = [
            ShardItem(key, TarPhoto(tar, member, offset, size), Header(*header), label, boxes)
            for key, member, offset, size, header, label, boxes in raw["items"]
        ]
        return ShardIndex(items, [(name, reason) for name, reason in raw["problems"]])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _save(path: Path, index: ShardIndex, about: dict[str, Any]) -> None:
    rows = [
        [
            item.key,
            item.photo.member,
            item.photo.offset,
            item.photo.size,
            [item.header.width, item.header.height, item.header.orientation],
            item.label,
            item.boxes,
        ]
        for item in index.items
    ]
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        text = json.dumps({"about": about, "items": rows, "problems": index.problems})
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        log.info("%s: cannot be written (%s); the index is made anew each time", path, error.strerror)
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
