"""What is computed once per photo and kept: attention maps, CLS features, proposals. Resumable per photo.

RUN/attention.f16   (n, maps, rows, columns) float16, each map divided by its maximum
RUN/features.f16    (n, features) float16, CLS features
RUN/attention.done  (n,) uint8: 0 to do, 1 done, 2 photo unreadable
RUN/attention.json  shapes, and a digest of the photo list it belongs to
RUN/proposals.jsonl one line per photo: {"id", "boxes": [[x0, y0, x1, y1, map, level, score], ...]}
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from edge_runtime.errors import DatasetError, ModelError, TrainingError
from edge_runtime.preprocess import resize_frame
from edge_runtime.progress import Progress
from train.checkpoint import write_text
from train.imageio import read_image_bgr
from train.loader import PhotoLoader
from train.proposals import Proposal, find_boxes, select
from train.tensors import stack_images

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from train.classifier import Classifier
    from train.config import ProposalConfig
    from train.dataset_types import Image
    from train.distributed import World
    from train.sst import SelfSupervisedTransformer

TO_DO, DONE, UNREADABLE = 0, 1, 2
BATCH = 8
_log = logging.getLogger(__name__)


class AttentionStore:
    """Memory-mapped attention and features of a list of photos, addressed by position in it."""

    def __init__(
        self, run_dir: Path, images: Sequence[Image], shape: tuple[int, int, int], features: int
    ) -> None:
        """Open what is there, or start anew.

        Raises:
            ModelError: the store belongs to another list of photos or another transformer.
            TrainingError: no space on the disk.
        """
        n = len(images)
        about = {
            "photos": digest(image.image_id for image in images),
            "labels": digest(str(image.label) for image in images),
            "shape": [n, *shape],
            "features": features,
        }
        self._check_or_write(run_dir / "attention.json", about)
        parts = (("attention.f16", np.float16, (n, *shape)), ("features.f16", np.float16, (n, features)))
        paths = [run_dir / name for name, _, _ in parts]
        if not all(_has_size(path, dtype, part) for path, (_, dtype, part) in zip(paths, parts, strict=True)):
            (run_dir / "attention.done").unlink(missing_ok=True)
        self.maps, self.features = (_open(run_dir / name, dtype, part) for name, dtype, part in parts)
        self.done = _open(run_dir / "attention.done", np.uint8, (n,))

    @staticmethod
    def _check_or_write(path: Path, about: dict[str, Any]) -> None:
        if not path.exists():
            write_text(path, json.dumps(about))
            return
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ModelError(f"{path}: damaged ({error}); delete attention.* to harvest again") from error
        if not isinstance(found, dict):
            raise ModelError(f"{path}: damaged (no table); delete attention.* to harvest again")
        if about | found != about:
            raise ModelError(
                f"{path}: harvested for other photos or another transformer; "
                "the data set changed since this run began. Start a new run with another --out"
            )

    def put(self, index: int, maps: NDArray[np.float32], features: NDArray[np.float32]) -> None:
        """Store one photo's result, then mark it done."""
        self.maps[index] = maps
        self.features[index] = features
        self.done[index] = DONE

    def flush(self) -> None:
        """Hand everything to the disk."""
        for part in (self.maps, self.features, self.done):
            part.flush()


def digest(lines: Iterable[str]) -> str:
    """SHA-256 of the lines: tells whether a list is still the same."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _has_size(path: Path, dtype: Any, shape: tuple[int, ...]) -> bool:
    return path.exists() and path.stat().st_size == _bytes(dtype, shape)


def _bytes(dtype: Any, shape: tuple[int, ...]) -> int:
    return int(np.prod(shape)) * int(np.dtype(dtype).itemsize)


def _open(path: Path, dtype: Any, shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    """Map a file, made of zeros if it is not there; its space is reserved, so that a full disk shows here."""
    if not _has_size(path, dtype, shape):
        size = _bytes(dtype, shape)
        try:
            with path.open("wb") as file:
                file.truncate(size)
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise TrainingError(
                f"{path}: no room for its {size / 1e6:.0f} MB ({error.strerror}); make some and --resume"
            ) from error
    return np.memmap(path, dtype, "r+", shape=shape)


def harvest_attention(
    sst: SelfSupervisedTransformer, store: AttentionStore, images: Sequence[Image], world: World, workers: int
) -> None:
    """Fill the store for the photos of this process that are not done yet.

    A batch that was begun is done again whole: results depend, in the last bits, on who shares a batch.
    """
    side = sst.config.size
    mine = world.share(range(len(images)))
    batches = [mine[i : i + BATCH] for i in range(0, len(mine), BATCH)]
    batches = [batch for batch in batches if any(store.done[i] == TO_DO for i in batch)]

    def load(_epoch: int, index: int) -> tuple[int, NDArray[np.uint8]]:
        return index, resize_frame(read_image_bgr(images[index].path), side, side)

    with PhotoLoader(load, workers) as loader, Progress("attention", len(batches), world.main) as progress:
        for batch in loader.tolerant(0, batches):
            if batch:
                maps, features = sst(stack_images([image for _, image in batch]))
                for (index, _), m, f in zip(batch, maps.cpu().numpy(), features.cpu().numpy(), strict=True):
                    store.put(index, m, f)
            for index in loader.skipped:
                store.done[index] = UNREADABLE
            progress.step()
    store.flush()


def harvest_proposals(
    run_dir: Path,
    store: AttentionStore,
    images: Sequence[Image],
    negative: int | None,
    classifier: Classifier,
    config: ProposalConfig,
    world: World,
) -> list[list[Proposal]]:
    """Proposals of every photo, best first; empty for negative, unreadable or featureless photos.

    Each process writes its own part file; together they are `proposals.jsonl`.
    """
    part = run_dir / (f"proposals.{world.rank}.part" if world.size > 1 else "proposals.jsonl")
    known = read_proposals(part)
    todo = [i for i in world.share(range(len(images))) if images[i].image_id not in known]
    with Progress("proposals", len(todo), world.main) as progress, _appending(part) as file:
        for i in todo:
            found: list[Proposal] = []
            if images[i].label != negative and store.done[i] == DONE:
                boxes = find_boxes(store.maps[i].astype(np.float32), config)
                found = _score(images[i], boxes, classifier, config)
            file.write(_line(images[i].image_id, found) + "\n")
            file.flush()
            progress.step()
    known = read_proposals(part)  # as rounded in the file: a resumed run sees the same numbers
    world.barrier()
    for rank in range(world.size if world.size > 1 else 0):
        known |= read_proposals(run_dir / f"proposals.{rank}.part")
    if world.size > 1 and world.main:
        lines = [_line(image.image_id, known[image.image_id]) + "\n" for image in images]
        write_text(run_dir / "proposals.jsonl", "".join(lines))
    return [known[image.image_id] for image in images]


@contextmanager
def _appending(path: Path) -> Iterator[TextIO]:
    try:
        with path.open("a", encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise TrainingError(
            f"{path}: cannot be written ({error.strerror}); make room and --resume"
        ) from error


def _score(
    image: Image, boxes: list[Proposal], classifier: Classifier, config: ProposalConfig
) -> list[Proposal]:
    try:
        photo = resize_frame(read_image_bgr(image.path), classifier.size, classifier.size)
    except DatasetError as error:
        _log.warning("skipped: %s", error)
        return []
    return select(photo, boxes, lambda shown: classifier.probabilities(shown)[:, image.label].numpy(), config)


def _line(image_id: str, proposals: Sequence[Proposal]) -> str:
    rows = [
        [*(round(v, 6) for v in p.box), p.map_index, round(p.level, 6), round(p.score, 6)] for p in proposals
    ]
    return json.dumps({"id": image_id, "boxes": rows})


def read_proposals(path: Path) -> dict[str, list[Proposal]]:
    """Proposals by photo id; a last line cut short by a kill is dropped from the file."""
    if not path.exists():
        return {}
    known: dict[str, list[Proposal]] = {}
    whole = 0
    with path.open("rb") as file:
        for raw in file:
            try:
                entry = json.loads(raw) if raw.endswith(b"\n") else None
            except ValueError:
                entry = None
            if entry is None:
                break
            whole += len(raw)
            known[entry["id"]] = [
                Proposal((b[0], b[1], b[2], b[3]), int(b[4]), float(b[5]), float(b[6]))
                for b in entry["boxes"]
            ]
    if whole != path.stat().st_size:
        with path.open("rb+") as file:
            file.truncate(whole)
    return known


def proposal_recall(
    proposals: Sequence[Sequence[Proposal]], images: Sequence[Image], iou: float = 0.5
) -> dict[str, float]:
    """Share of photos with boxes for which one of the best 1, 2, 3, ... proposals meets a box.

    Args:
        proposals: per photo, best first.
        images: the same photos; those without boxes do not count.

    Returns:
        {"top1": ..., "top3": ...} in percent; empty when no photo has boxes.
    """
    from train.proposals import box_iou

    hits: list[list[bool]] = []
    for found, image in zip(proposals, images, strict=True):
        if image.boxes is None or len(image.boxes) == 0:
            continue
        size = np.array([image.width, image.height] * 2, np.float64)
        truth = [tuple(row) for row in (image.boxes / size).tolist()]
        hits.append([any(box_iou(p.box, (t[0], t[1], t[2], t[3])) >= iou for t in truth) for p in found])
    if not hits:
        return {}
    most = max(len(row) for row in hits)
    return {f"top{k}": 100.0 * float(np.mean([any(row[:k]) for row in hits])) for k in range(1, most + 1)}
