"""Items of a data set that cannot be used, and why: RUN/quarantine.jsonl. The run goes on without them.

One line each: {"id": ..., "stage": ..., "reason": ...}. Rank 0 writes the file; the lines of other processes
wait in quarantine.<rank>.part until rank 0 gathers them.
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

from edge_runtime.errors import TrainingError
from train.checkpoint import write_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from train.data.types import Image

FILE = "quarantine.jsonl"


class Quarantine:
    """What one process of a run adds to the list. Safe to call from threads."""

    def __init__(self, run_dir: Path, rank: int = 0) -> None:
        self._run_dir = run_dir
        self._path = run_dir / (f"quarantine.{rank}.part" if rank else FILE)
        self._known = set(read_quarantine(run_dir / FILE)) | set(read_quarantine(self._path))
        self._lock = threading.Lock()
        self.stage = "data set"  # in which items are being read

    def add(self, item_id: str, reason: str) -> None:
        """List an item, once. Raises TrainingError when the disk is full."""
        with self._lock:
            if item_id in self._known:
                return
            self._known.add(item_id)
            line = json.dumps({"id": item_id, "stage": self.stage, "reason": reason})
            try:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")
            except OSError as error:
                raise TrainingError(
                    f"{self._path}: cannot be written ({error.strerror}); make room and --resume"
                ) from error

    def watch(self, images: Sequence[Image]) -> Callable[[int, str], None]:
        """What a PhotoLoader of these photos calls for one it cannot read."""
        return lambda index, reason: self.add(images[index].image_id, reason)

    def gather(self) -> None:
        """Make one file of the lines of all processes. For rank 0, while no other writes."""
        parts = sorted(self._run_dir.glob("quarantine.[0-9]*.part"))
        if not parts:
            return
        found = read_quarantine(self._run_dir / FILE)
        for part in parts:
            found = {**read_quarantine(part), **found}
        write_text(self._run_dir / FILE, "".join(json.dumps(found[name]) + "\n" for name in sorted(found)))
        self._known |= set(found)
        for part in parts:
            part.unlink()


def read_quarantine(path: Path) -> Mapping[str, dict[str, str]]:
    """Entries by item id, in the order of the file; a line cut short by a kill does not count."""
    found: dict[str, dict[str, str]] = {}
    if not path.exists():
        return found
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
            found.setdefault(str(entry["id"]), {key: str(entry[key]) for key in ("id", "stage", "reason")})
        except (ValueError, KeyError, TypeError):
            continue
    return found
