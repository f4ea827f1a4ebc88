"""What is computed once per photo and kept: attention maps, CLS features, proposals. Resumable per photo.

RUN/attention.*       see attention_store.py
RUN/proposals.jsonl   one line per photo: {"id", "boxes": [[x0, y0, x1, y1, map, level, score], ...]}
RUN/proposals.*.part  lines of one of many processes, until rank 0 puts them into the file above

Work is cut into pieces that depend on the photos only and dealt to the processes there are, so that a harvest
may be killed and go on with more or fewer of them, and ends with the same bits.
"""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import numpy as np

from edge_runtime.errors import DatasetError, TrainingError
from edge_runtime.preprocess import resize_frame
from edge_runtime.progress import Progress
from train.attention_store import DONE, NOT_NEEDED, TO_DO, UNREADABLE, AttentionStore, Shard
from train.checkpoint import write_text
from train.data.imageio import read_image_bgr
from train.data.loader import PhotoLoader
from train.proposals import Proposal, find_boxes, select
from train.tensors import stack_images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from train.classifier import Classifier
    from train.config import ProposalConfig
    from train.data.types import Image
    from train.distributed import World
    from train.shared import AnyRun
    from train.sst import SelfSupervisedTransformer

    OnSkip = Callable[[int, str], None]  # position of a photo that cannot be read, and why

__all__ = [
    "DONE",
    "NOT_NEEDED",
    "TO_DO",
    "UNREADABLE",
    "AttentionStore",
    "harvest_attention",
    "harvest_proposals",
    "harvested",
]
PROPOSALS = "proposals.jsonl"
_log = logging.getLogger(__name__)


def harvest_attention(
    sst: SelfSupervisedTransformer,
    store: AttentionStore,
    images: Sequence[Image],
    world: World,
    workers: int,
    on_skip: OnSkip | None = None,
) -> None:
    """Fill the store for the photos that are not done yet, each in one of the processes.

    A batch that was begun is done again whole: results depend, in the last bits, on who shares a batch.
    """
    side = sst.config.size
    if world.main:
        store.absorb()
    shards = world.agree(store.unfinished())
    mine = world.share(shards)

    def load(_epoch: int, index: int) -> tuple[int, NDArray[np.uint8]]:
        return index, resize_frame(read_image_bgr(images[index].path), side, side)

    batches = [batch for shard in mine for batch in shard]
    with (
        PhotoLoader(load, workers, on_skip) as loader,
        Progress("attention", len(batches), world.main) as progress,
    ):
        loaded = loader.tolerant(0, batches)
        for shard in mine:
            into = store if world.size == 1 else Shard(store, shard)
            for wanted in shard:
                if batch := next(loaded):
                    maps, features = sst(stack_images([image for _, image in batch]))
                    for (i, _), m, f in zip(batch, maps.cpu().numpy(), features.cpu().numpy(), strict=True):
                        into.put(i, m, f)
                for i in loader.skipped.keys() & set(wanted):
                    into.give_up(i)
                progress.step()
            into.flush()
    world.barrier()
    if world.main and world.size > 1:
        store.absorb(shards)


def harvested(run: AnyRun, sst: SelfSupervisedTransformer, *, negatives: bool = True) -> AttentionStore:
    """The store of train and val photos, filled by all processes together.

    Args:
        negatives: those of the negative class too: they have nothing to propose, but features.

    Raises:
        TrainingError: not one train photo could be read. ModelError: see `AttentionStore`.
    """
    photos = [*run.dataset.splits["train"], *run.dataset.splits["val"]]
    shape = (sst.maps, *sst.grid)
    aside = [i for i, photo in enumerate(photos) if not negatives and photo.label == run.dataset.negative]
    with run.world.main_first():
        store = AttentionStore(run.out, photos, shape, sst.features, aside if run.world.main else ())
    harvest_attention(sst, store, photos, run.world, run.workers, run.quarantine.watch(photos))
    run.world.barrier()
    if run.world.size > 1:  # what other machines wrote is surely seen by a new mapping only
        store = AttentionStore(run.out, photos, shape, sst.features)
    if not any(store.done[i] == DONE for i in range(len(run.dataset.splits["train"]))):
        raise TrainingError(f"{run.dataset.root}: not one train photo could be read")
    return store


def harvest_proposals(
    run_dir: Path,
    store: AttentionStore,
    images: Sequence[Image],
    negative: int | None,
    classifier: Classifier,
    config: ProposalConfig,
    world: World,
    on_skip: OnSkip | None = None,
) -> list[list[Proposal]]:
    """Proposals of every photo, best first; empty for negative, unreadable or featureless photos.

    Each of many processes writes a part file of its own; rank 0 makes one file of them.
    """
    whole = run_dir / PROPOSALS
    mine = whole if world.size == 1 else run_dir / f"proposals.{world.rank}.part"
    known = _known(run_dir) if world.main else {}
    todo = world.share(world.agree([i for i, image in enumerate(images) if image.image_id not in known]))
    with Progress("proposals", len(todo), world.main) as progress, _appending(mine) as file:
        for i in todo:
            found: list[Proposal] = []
            if images[i].label != negative and store.done[i] == DONE:
                boxes = find_boxes(store.maps[i].astype(np.float32), config)
                try:
                    found = _score(images[i], boxes, classifier, config)
                except DatasetError as error:
                    _log.warning("skipped: %s", error)
                    if on_skip is not None:
                        on_skip(i, str(error))
            file.write(_line(images[i].image_id, found) + "\n")
            file.flush()
            progress.step()
    world.barrier()
    if world.main:
        _gather(run_dir, images, world.size)
    world.barrier()
    known = read_proposals(whole)  # as rounded in the file: a resumed run sees the same numbers
    return [known[image.image_id] for image in images]


def _known(run_dir: Path) -> dict[str, list[Proposal]]:
    """What any process of any session has written."""
    known = read_proposals(run_dir / PROPOSALS)
    for part in sorted(run_dir.glob("proposals.[0-9]*.part")):
        known |= read_proposals(part)
    return known


def _gather(run_dir: Path, images: Sequence[Image], size: int) -> None:
    """One file in the order of the photos; nothing is done where one process wrote it so."""
    known = _known(run_dir)
    parts = {run_dir / f"proposals.{rank}.part" for rank in range(size)}  # a listing may be old
    for part in parts:
        known |= read_proposals(part)
    ids = list(dict.fromkeys(image.image_id for image in images))
    if missing := [name for name in ids if name not in known]:
        raise TrainingError(
            f"{run_dir}: no proposals of {len(missing)} photos, the first is {missing[0]}; do all processes "
            "share this folder? Go on with --resume"
        )
    parts |= set(run_dir.glob("proposals.[0-9]*.part"))
    if list(read_proposals(run_dir / PROPOSALS)) != ids:
        write_text(run_dir / PROPOSALS, "".join(_line(name, known[name]) + "\n" for name in ids))
    for part in parts:
        part.unlink(missing_ok=True)


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
    photo = resize_frame(read_image_bgr(image.path), classifier.size, classifier.size)
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
