"""Tar files for tests, as WebDataset's writers make them."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    """A plain tar of files, in order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:") as file:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def folders_to_shards(source: Path, root: Path, *, per_shard: int = 5) -> Path:
    """The photos of class folders as shards with class names in .cls, boxes of val and test in .json."""
    for split in ("train", "val", "test"):
        boxes: dict[str, list[str]] = {}
        csv = source / split / "boxes.csv"
        for line in csv.read_text().splitlines()[1:] if csv.exists() else ():
            name, box = line.split(",", 1)
            boxes.setdefault(name, []).append(f"[{box}]")
        photos = sorted(p for p in (source / split).rglob("*") if p.suffix in {".png", ".jpg"})
        for start in range(0, len(photos), per_shard):
            members: list[tuple[str, bytes]] = []
            for photo in photos[start : start + per_shard]:
                key = photo.relative_to(source / split).with_suffix("").as_posix()
                members.append((f"{key}{photo.suffix}", photo.read_bytes()))
                members.append((f"{key}.cls", photo.parent.name.encode()))
                name = f"{key}{photo.suffix}"
                if csv.exists():
                    members.append(
                        (f"{key}.json", f'{{"boxes": [{", ".join(boxes.get(name, []))}]}}'.encode())
                    )
            write_tar(root / f"{split}-{start // per_shard:03}.tar", members)
    return root
