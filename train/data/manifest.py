"""DATA/manifest.jsonl: what a data set holds, item by item, to see later whether it still does.

{"manifest": 1, "items": n, "sha256": of all lines below}
{"id": ..., "split": ..., "label": class name, "size": bytes, "sha256": of the photo's bytes}
...
"""

from __future__ import annotations

import hashlib
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.errors import DatasetError
from edge_runtime.progress import Progress
from edge_runtime.wholefile import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from train.data.types import Dataset, Image, PhotoFile

FILE = "manifest.jsonl"
VERSION = 1
CHUNK = 64  # photos hashed at a time
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """One item. `sha256` is empty where only sizes were looked at."""

    image_id: str
    split: str
    label: str
    size: int
    sha256: str = ""


@dataclass
class Difference:
    """Ids of items by what happened to them since the manifest was written."""

    gone: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    relabelled: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.gone or self.new or self.changed or self.relabelled)

    def __str__(self) -> str:
        parts = (
            ("changed", self.changed),
            ("of another class", self.relabelled),
            ("gone or unreadable", self.gone),
            ("new", self.new),
        )
        return ", ".join(
            f"{len(ids)} {word} ({ids[0]}{', ...' if len(ids) > 1 else ''})" for word, ids in parts if ids
        )


def describe(dataset: Dataset, *, hashes: bool, workers: int = 2) -> Iterator[Entry]:
    """Entries of every photo, in order; each file is read whole for its hash, else only its size is asked.

    Raises:
        DatasetError: a photo that cannot be read.
    """
    photos = [(split, image) for split, images in dataset.splits.items() for image in images]

    def entry(item: tuple[str, Image]) -> Entry:
        split, image = item
        try:
            size, digest = _hash(image.path) if hashes else (_size(image.path), "")
        except OSError as error:
            raise DatasetError(f"{image.path}: cannot be read ({error.strerror or error})") from error
        return Entry(image.image_id, split, dataset.classes[image.label], size, digest)

    with ThreadPoolExecutor(max(1, workers)) as pool, Progress("photos", len(photos), hashes) as progress:
        for start in range(0, len(photos), CHUNK):
            for found in pool.map(entry, photos[start : start + CHUNK]):
                progress.step()
                yield found


def _hash(photo: PhotoFile) -> tuple[int, str]:
    data = photo.read_bytes()
    return len(data), hashlib.sha256(data).hexdigest()


def _size(photo: PhotoFile) -> int:
    return photo.stat().st_size if isinstance(photo, Path) else photo.size


def write_manifest(path: Path, dataset: Dataset, *, workers: int = 2) -> tuple[int, str]:
    """Write the manifest whole or not at all; number of items and digest of all of them.

    Raises:
        SinkError: it cannot be written. DatasetError: a photo that cannot be read.
    """
    lines = [_line(entry) for entry in describe(dataset, hashes=True, workers=workers)]
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    with whole_file(path, "manifest") as file:
        file.write(json.dumps({"manifest": VERSION, "items": len(lines), "sha256": digest}) + "\n")
        file.writelines(lines)
    return len(lines), digest


def _line(entry: Entry) -> str:
    return (
        json.dumps(
            {
                "id": entry.image_id,
                "split": entry.split,
                "label": entry.label,
                "size": entry.size,
                "sha256": entry.sha256,
            }
        )
        + "\n"
    )


def read_manifest(path: Path) -> tuple[dict[tuple[str, str], Entry], str]:
    """Entries by (split, id), and the digest of all.

    Raises:
        DatasetError: missing, damaged, cut short or not a manifest.
    """
    again = f"write it again with `dips-edge manifest {path.parent} --force`"
    try:
        head, *lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        about = json.loads(head)
        if about["manifest"] != VERSION:
            raise DatasetError(f"{path}: version {about['manifest']!r}, expected {VERSION}; {again}")
        if hashlib.sha256("".join(lines).encode()).hexdigest() != about["sha256"]:
            raise DatasetError(f"{path}: cut short or edited since it was written; {again}")
        entries = [
            Entry(raw["id"], raw["split"], raw["label"], int(raw["size"]), raw["sha256"])
            for raw in map(json.loads, lines)
        ]
    except FileNotFoundError as error:
        raise DatasetError(
            f"{path}: no manifest; write one with `dips-edge manifest {path.parent}`"
        ) from error
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}: not a manifest ({type(error).__name__}: {error}); {again}") from error
    return {(entry.split, entry.image_id): entry for entry in entries}, about["sha256"]


def compare(path: Path, dataset: Dataset, *, hashes: bool, workers: int = 2) -> tuple[Difference, str]:
    """How the data set differs from the manifest at `path`, and the manifest's digest.

    Args:
        hashes: read every photo; without, a photo with other bytes of the same number goes unnoticed.
    """
    known, digest = read_manifest(path)
    found = Difference()
    for entry in describe(dataset, hashes=hashes, workers=workers):
        then = known.pop((entry.split, entry.image_id), None)
        if then is None:
            found.new.append(entry.image_id)
            continue
        if entry.size != then.size or (hashes and entry.sha256 != then.sha256):
            found.changed.append(entry.image_id)
        if entry.label != then.label:
            found.relabelled.append(entry.image_id)
    found.gone = [image_id for _, image_id in known]
    return found, digest


def check_manifest(path: Path, dataset: Dataset, *, hashes: bool, workers: int = 2) -> str:
    """The manifest's digest, when the data set is as it says.

    Raises:
        DatasetError: naming what differs.
    """
    found, digest = compare(path, dataset, hashes=hashes, workers=workers)
    if found:
        raise DatasetError(
            f"{dataset.root} is not what {path.name} says: {found}; restore it, or write the manifest again "
            f"with `dips-edge manifest {dataset.root} --force`"
        )
    return digest


def known_digest(dataset: Dataset, *, verify: bool) -> str | None:
    """Digest of the manifest in the data set's folder, None without one; a difference is warned of.

    Args:
        verify: compare hashes, and make a difference or a missing manifest an error; without, sizes and
            classes are compared.

    Raises:
        DatasetError: see `verify`; or the manifest is damaged.
    """
    path = dataset.root / FILE
    if verify:
        return check_manifest(path, dataset, hashes=True)
    if not path.exists():
        return None
    found, digest = compare(path, dataset, hashes=False)
    if found:
        _log.warning("%s is not what %s says: %s", dataset.root, FILE, found)
    return digest
