"""Attention maps and CLS features of a list of photos on disk, addressed by position in the list.

RUN/attention.f16    (n, maps, rows, columns) float16, each map divided by its maximum
RUN/features.f16     (n, features) float16, CLS features
RUN/attention.done   (n,) uint8: 0 to do, 1 done, 2 photo unreadable, 3 not needed (all zeros, never read)
RUN/attention.json   shapes, and a digest of the photo list it belongs to
RUN/attention.*.shard  what one of many processes has finished, until rank 0 puts it into the files above

One process writes the files above. Many never do so together: on a network file system two machines that
write into one page lose each other's bytes. Each writes shards of its own, whole or not at all.

Runs may share attention.f16 and features.f16 of a whole store (train/reuse.py): such files are mapped
read-only, and a harvest that begins anew makes new ones.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from edge_runtime.errors import ModelError, TrainingError
from train.checkpoint import load_tensors, save_tensors, write_text
from train.data.photolist import what_changed, write_photo_list
from train.mapfile import has_size, open_map, reserve

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from train.data.types import Image

TO_DO, DONE, UNREADABLE, NOT_NEEDED = 0, 1, 2, 3
BATCH = 8  # photos; never split or mixed, since the last bits depend on who shares a batch
SHARDS = 2048  # files at most, however many photos


class AttentionStore:
    """Memory-mapped attention and features of a list of photos, addressed by position in it."""

    def __init__(
        self,
        run_dir: Path,
        images: Sequence[Image],
        shape: tuple[int, int, int],
        features: int,
        not_needed: Sequence[int] = (),
    ) -> None:
        """Open what is there, or start anew.

        Args:
            shape: of one photo's maps (maps, rows, columns). features: their number per photo.
            not_needed: positions of photos that nobody will ask for; they stay as they are.

        Raises:
            ModelError: the store belongs to another list of photos or another transformer.
            TrainingError: no space on the disk.
        """
        n = len(images)
        about = {**about_photos(images), "shape": [n, *shape], "features": features}
        self.run_dir = run_dir
        known = (run_dir / "attention.json").exists()
        self._check_or_write(run_dir / "attention.json", about, images)
        parts = [
            (run_dir / "attention.f16", np.float16, (n, *shape)),
            (run_dir / "features.f16", np.float16, (n, features)),
            (run_dir / "attention.done", np.uint8, (n,)),
        ]
        if not known or not all(has_size(*part) for part in parts):
            for path, _, _ in parts:
                path.unlink(missing_ok=True)  # not overwritten: another run may share it
        for part in parts:
            reserve(*part)
        self.maps, self.features, self.done = (open_map(*part) for part in parts)
        self._leave_out(np.asarray(not_needed, np.int64))
        if not (np.asarray(self.done) == TO_DO).any():
            self.maps, self.features = (open_map(*part, "r") for part in parts[:2])

    @staticmethod
    def _check_or_write(path: Path, about: dict[str, Any], images: Sequence[Image]) -> None:
        if not path.exists():
            write_photo_list(path.parent, images)
            write_text(path, json.dumps(about))
            return
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ModelError(f"{path}: damaged ({error}); delete attention.* to harvest again") from error
        if not isinstance(found, dict):
            raise ModelError(f"{path}: damaged (no table); delete attention.* to harvest again")
        if about | found != about:
            changed = what_changed(path.parent, images)
            raise ModelError(
                f"{path}: harvested for other photos or another transformer; the data set changed since this "
                f"run began{f': {changed}' if changed else ''}. Start a new run with another --out"
            )

    def _leave_out(self, positions: NDArray[np.int64]) -> None:
        left = positions[np.asarray(self.done)[positions] == TO_DO]
        if len(left):  # not where another process has done so: one writes, see above
            self.done[left] = NOT_NEEDED

    def readable(self, position: int) -> bool:
        """Whether nothing is known against the photo itself: it was read, or nobody has tried."""
        return int(self.done[position]) in (DONE, NOT_NEEDED)

    def unfinished(self) -> list[list[list[int]]]:
        """Shards that hold work, each as its batches of photo positions that are not done yet.

        Both depend on the photos only, not on how many processes work on them. A batch that was begun
        comes whole again.
        """
        n = len(self.done)
        length = BATCH * -(-n // (BATCH * SHARDS))
        shards = [range(i, min(i + length, n)) for i in range(0, n, length)]
        left = np.flatnonzero(np.asarray(self.done) == TO_DO)
        work = {int(i) // BATCH for i in left}
        needed = np.asarray(self.done) != NOT_NEEDED
        found = [
            [
                [k for k in range(i, min(i + BATCH, s.stop)) if needed[k]]
                for i in range(s.start, s.stop, BATCH)
                if i // BATCH in work
            ]
            for s in shards
        ]
        return [batches for batches in found if batches]

    def put(self, index: int, maps: NDArray[np.float32], features: NDArray[np.float32]) -> None:
        """Store one photo's result, then mark it done."""
        self.maps[index] = maps
        self.features[index] = features
        self.done[index] = DONE

    def give_up(self, index: int) -> None:
        """Mark a photo that cannot be read."""
        self.done[index] = UNREADABLE

    def absorb(self, shards: Sequence[Sequence[Sequence[int]]] | None = None) -> None:
        """Take in what other processes have saved, and remove their files. For one process alone.

        Args:
            shards: those that were dealt, looked up by name, since a listing of a network folder may be
                old; None: whatever an earlier session has left.

        Raises:
            TrainingError: a shard that was dealt is not there.
        """
        if shards is None:
            for path in sorted(self.run_dir.glob("attention.*.shard*")):
                if path.suffix == ".shard":
                    self._take_in(path)
                else:  # half-written when its process was killed
                    path.unlink()
            return
        for batches in shards:
            path = shard_path(self.run_dir, batches)
            if not path.exists():
                raise TrainingError(
                    f"{path}: not there; do all processes share this folder? Go on with --resume"
                )
            self._take_in(path)

    def _take_in(self, path: Path) -> None:
        tensors, _ = load_tensors(path)
        index = tensors["index"].numpy()
        if (self.done[index] != TO_DO).all():  # killed before it could be removed
            path.unlink()
            return
        self.maps[index] = tensors["maps"].numpy()
        self.features[index] = tensors["features"].numpy()
        self.flush()
        self.done[index] = tensors["done"].numpy()
        self.flush()
        path.unlink()

    def flush(self) -> None:
        """Hand everything to the disk."""
        for part in (self.maps, self.features, self.done):
            part.flush()


class Shard:
    """What one process found out about one shard, in memory until it is saved."""

    def __init__(self, store: AttentionStore, batches: Sequence[Sequence[int]]) -> None:
        self._path = shard_path(store.run_dir, batches)
        self._index = [i for batch in batches for i in batch]
        self._place = {i: k for k, i in enumerate(self._index)}
        n = len(self._index)
        self._maps = np.zeros((n, *store.maps.shape[1:]), np.float16)
        self._features = np.zeros((n, *store.features.shape[1:]), np.float16)
        self._done = np.zeros(n, np.uint8)

    def put(self, index: int, maps: NDArray[np.float32], features: NDArray[np.float32]) -> None:
        """As `AttentionStore.put`."""
        k = self._place[index]
        self._maps[k], self._features[k], self._done[k] = maps, features, DONE

    def give_up(self, index: int) -> None:
        """As `AttentionStore.give_up`."""
        self._done[self._place[index]] = UNREADABLE

    def flush(self) -> None:
        """Write the shard as a whole. Raises TrainingError when the disk is full."""
        parts = {"maps": self._maps, "features": self._features, "done": self._done}
        tensors = {name: torch.from_numpy(part) for name, part in parts.items()}
        tensors["index"] = torch.tensor(self._index)
        save_tensors(self._path, tensors, {})


def shard_path(run_dir: Path, batches: Sequence[Sequence[int]]) -> Path:
    """Where the shard of these batches is saved."""
    return run_dir / f"attention.{batches[0][0]:09}.shard"


def about_photos(images: Sequence[Image]) -> dict[str, str]:
    """What attention.json says of a list of photos: equal for equal ids and labels in the same order."""
    return {
        "photos": digest(image.image_id for image in images),
        "labels": digest(str(image.label) for image in images),
    }


def digest(lines: Iterable[str]) -> str:
    """SHA-256 of the lines: tells whether a list is still the same."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
