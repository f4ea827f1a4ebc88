"""Images in a folder, behind a glob, or a single one: in natural order, damaged ones skipped by name."""

from __future__ import annotations

import glob
import logging
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.errors import SourceError
from edge_runtime.frames import Frame
from edge_runtime.imagefile import SUFFIXES, decode_image

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)


class Images:
    """A `Source` over image files; a frame's index is the position of its file in the sorted listing."""

    live = False
    reconnects = 0
    connected = True
    fps: float | None = None
    size: tuple[int, int] | None = None

    def __init__(self, target: str) -> None:
        self.name = target
        self.skipped = 0
        self._paths = _listing(target)

    def __iter__(self) -> Iterator[Frame]:
        for index, path in enumerate(self._paths):
            data, started_ns = _read_bytes(path), time.monotonic_ns()
            image = decode_image(data)
            if image is None:
                self.skipped += 1
                log.warning("%s: not a whole readable image, skipped", path)
            else:
                now_ns = time.monotonic_ns()
                yield Frame(image, index, now_ns, path.name, decode_ns=now_ns - started_ns)
        if self.skipped == len(self._paths):
            raise SourceError(f"{self.name}: not one of {self.skipped} image(s) could be read")

    def close(self) -> None:
        """Nothing is held open between images."""


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _listing(target: str) -> list[Path]:
    """Image files of a folder (not of its subfolders), of a glob (`**` goes deeper), or the one file."""
    path = Path(target)
    if path.is_dir():
        found = [p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file()]
        if not found:
            raise SourceError(
                f"{target}: no image in this folder, expected {_suffixes()}; "
                f"for images in its subfolders give the glob '{target}/**/*.jpg'"
            )
    elif path.is_file():
        found = [path]
    elif any(c in target for c in "*?["):
        matches = glob.glob(target, recursive=True)  # noqa: PTH207 Path.glob takes no absolute pattern
        found = [Path(match) for match in matches if Path(match).suffix.lower() in SUFFIXES]
        if not found:
            raise SourceError(f"{target}: no image matches, expected {_suffixes()}")
    else:
        raise SourceError(f"{target}: no such image file")
    return sorted(found, key=_natural_key)


def _natural_key(path: Path) -> list[tuple[int, str]]:
    """Sort key under which `frame9` comes before `frame10`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", str(path))]


def _suffixes() -> str:
    return ", ".join(sorted(SUFFIXES))
