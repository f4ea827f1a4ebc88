"""RUN/photos.txt: which photos, in which order and of which class, a run began with; `class id` a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from train.checkpoint import write_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from train.data.types import Image

FILE = "photos.txt"


def write_photo_list(run_dir: Path, images: Sequence[Image]) -> None:
    """Write the list whole. Raises TrainingError when the disk is full."""
    write_text(run_dir / FILE, "".join(f"{image.label} {image.image_id}\n" for image in images))


def what_changed(run_dir: Path, images: Sequence[Image]) -> str:
    """The first photos that are gone, new or of another class, in words; empty where that cannot be told."""
    path = run_dir / FILE
    if not path.exists():
        return ""
    lines = path.read_text(encoding="utf-8").splitlines()
    then = {image_id: label for label, _, image_id in (line.partition(" ") for line in lines)}
    now = {image.image_id: str(image.label) for image in images}
    parts = (
        ("gone", [name for name in then if name not in now]),
        ("new", [name for name in now if name not in then]),
        ("of another class", [name for name in now if name in then and now[name] != then[name]]),
    )
    said = [f"{len(ids)} {word} ({ids[0]}{', ...' if len(ids) > 1 else ''})" for word, ids in parts if ids]
    return ", ".join(said) or ("the order of the photos is another" if list(then) != list(now) else "")
