"""The epochs of the localizer: batches, a look at val, best and last checkpoints, events, resume.

RUN/last.safetensors       full state (weights, optimiser, position, history), written every two minutes;
                           holds nothing that depends on the clock, so equal runs give equal bytes
RUN/localizer.safetensors  the weights of the epoch that val liked best
RUN/events/                TensorBoard
"""

from __future__ import annotations

import copy
import dataclasses
import logging
import math
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from edge_runtime.errors import ModelError, TrainingError
from edge_runtime.progress import Progress
from train.checkpoint import load_tensors, save_tensors
from train.fit import Fitter, ViewSource
from train.harvest import DONE
from train.loader import PhotoLoader, epoch_batches
from train.localizer import FILES, Localizer, build_localizer
from train.validate import Glance, glance
from train.weights import first_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from train.classifier import Classifier
    from train.harvest import AttentionStore
    from train.proposals import Proposal
    from train.shared import Run

SAVE_EVERY_S = 120.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How training went.

    `history`: one dict per epoch. `selection`: what chose the best epoch. `skipped`: ids of train and val
    photos that could not be read (by this process).
    """

    history: list[dict[str, Any]]
    selection: str
    best_epoch: int
    skipped: list[str]


@dataclass
class _Position:
    """Where a run stands, as kept in the header of last.safetensors."""

    epoch: int = 0
    step: int = 0
    sums: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    best_score: float = -1.0
    best_epoch: int = 0
    skipped: list[str] = dataclasses.field(default_factory=list)


def fit_localizer(
    run: Run, classifier: Classifier, store: AttentionStore, proposals: Sequence[Sequence[Proposal]]
) -> Outcome:
    """Train from where the run stands to its last epoch.

    Args:
        store, proposals: of the train photos followed by the val photos.

    Raises:
        TrainingError: a loss is not finite, or a checkpoint cannot be written.
    """
    return _Loop(run, classifier, store, proposals).run()


class _Loop:
    def __init__(
        self,
        run: Run,
        classifier: Classifier,
        store: AttentionStore,
        proposals: Sequence[Sequence[Proposal]],
    ) -> None:
        self._run, config = run, run.config
        self._images = run.dataset.splits["train"]
        count = len(self._images)
        self._val_proposals = proposals[count:]
        self._usable = [i for i in range(count) if store.done[i] == DONE]
        photos = [*self._images, *run.dataset.splits["val"]]
        self._unreadable = [image.image_id for i, image in enumerate(photos) if store.done[i] != DONE]
        self._steps = len(self._batches(0))
        torch.manual_seed(config.seed)
        resumes = (run.out / FILES["last"]).exists()
        model = (Localizer if resumes else build_localizer)(config.localizer, len(run.dataset.classes))
        self._fitter = Fitter(
            model, classifier, run.dataset.negative, config, self._steps, run.device, run.world
        )
        self._judged = copy.deepcopy(model)
        self._loader = PhotoLoader(
            ViewSource(self._images, store.maps, proposals[:count], config),
            run.workers,
            run.quarantine.watch(self._images),
        )
        self._by_boxes = run.dataset.has_boxes("val") and config.select != "proposals"
        self._at = _Position()
        self._saved = time.monotonic()

    def run(self) -> Outcome:
        self._resume()
        with self._loader, self._events() as events:
            while self._at.epoch < self._run.config.optim.epochs:
                self._epoch(events)
        at = self._at
        return Outcome(at.history, self.selection, at.best_epoch, sorted({*self._unreadable, *at.skipped}))

    @property
    def selection(self) -> str:
        return "val boxes" if self._by_boxes else "proposal agreement"

    def _batches(self, epoch: int) -> list[list[int]]:
        optim, seed = self._run.config.optim, self._run.config.seed
        labels, negative = [self._images[i].label for i in self._usable], self._run.dataset.negative
        drawn = epoch_batches(labels, negative, optim.negatives, optim.batch_size, seed, epoch)
        return [[self._usable[k] for k in batch] for batch in drawn]

    def _epoch(self, events: Any) -> None:
        at, world, config = self._at, self._run.world, self._run.config
        batches = self._batches(at.epoch)
        left = batches[at.step :]
        title = f"epoch {at.epoch + 1}/{config.optim.epochs}"
        with Progress(title, len(left), world.main) as progress:
            for items in self._loader(at.epoch, left, world):
                values = self._fitter.step(items, at.epoch, at.step)
                self._check(values, batches[at.step])
                at.step += 1
                at.skipped = sorted({*at.skipped, *(self._images[i].image_id for i in self._loader.skipped)})
                for name, value in values.items():
                    total = at.sums.setdefault(name, [0.0, 0.0])
                    total[0] += value
                    total[1] += 1
                progress.step(" ".join(f"{k} {s / n:.3f}" for k, (s, n) in at.sums.items() if k != "lr"))
                if world.main and time.monotonic() - self._saved > SAVE_EVERY_S:
                    self._save_last()
        if world.main:
            self._close_epoch(events)
        at.epoch, at.step, at.sums = at.epoch + 1, 0, {}
        if world.main:
            self._save_last()
        world.barrier()

    def _check(self, values: dict[str, float], batch: Sequence[int]) -> None:
        if all(math.isfinite(v) for v in values.values()):
            return
        names = ", ".join(self._images[i].image_id for i in batch[:4])
        raise TrainingError(
            f"the loss is not a number at epoch {self._at.epoch + 1}, step {self._at.step} ({names}, ...); "
            "use a smaller optim.lr"
        )

    def _close_epoch(self, events: Any) -> None:
        at, run = self._at, self._run
        self._judged.load_state_dict(self._fitter.evaluated_state())
        start = time.perf_counter()
        side, val = run.config.localizer.eval_size, run.dataset.splits["val"]
        seen = glance(self._judged, val, self._val_proposals, run.dataset.negative, side, run.workers)
        means = {name: total / n for name, (total, n) in at.sums.items()}
        at.history.append({"epoch": at.epoch + 1, **means, **_val_entries(seen)})
        for name, value in at.history[-1].items():
            if name != "epoch" and value is not None:
                events.add_scalar(name.replace("val_", "val/"), value, (at.epoch + 1) * self._steps)
        score = seen.boxes if self._by_boxes else seen.agreement
        if score is None or score > at.best_score:  # nothing to judge by: the latest epoch
            at.best_score, at.best_epoch = -1.0 if score is None else score, at.epoch + 1
            self._save_best()
        parts = self._fitter.seconds | {"val": time.perf_counter() - start}
        run.spent({f"localizer/{name}": value for name, value in parts.items()})
        self._fitter.seconds.clear()
        shown = ", ".join(f"{k} {v:.3g}" for k, v in at.history[-1].items() if v is not None and k != "epoch")
        _log.info("epoch %d: %s%s", at.epoch + 1, shown, "  (best)" if at.best_epoch == at.epoch + 1 else "")

    def _save_best(self) -> None:
        meta = {
            "classes": len(self._run.dataset.classes),
            "epoch": self._at.best_epoch,
            "selection": self.selection,
        }
        tensors = {f"model.{k}": v for k, v in self._judged.state_dict().items()}
        save_tensors(self._run.out / FILES["best"], tensors, meta)

    def _save_last(self) -> None:
        meta = {"classes": len(self._run.dataset.classes), "position": dataclasses.asdict(self._at)}
        save_tensors(self._run.out / FILES["last"], self._fitter.state(), meta)
        self._saved = time.monotonic()

    def _resume(self) -> None:
        path = self._run.out / FILES["last"]
        if not path.exists():
            return
        tensors, meta = load_tensors(path)
        try:
            self._fitter.load_state(tensors)
            self._at = _Position(**meta["position"])
        except (RuntimeError, KeyError, ValueError, TypeError) as error:
            raise ModelError(f"{path}: does not fit the run's config.toml: {first_line(error)}") from error
        if self._run.world.main:
            _log.info("resumed at epoch %d, step %d", self._at.epoch + 1, self._at.step)

    @contextmanager
    def _events(self) -> Iterator[Any]:
        """TensorBoard's writer in the main process, None elsewhere."""
        if not self._run.world.main:
            yield None
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            from torch.utils.tensorboard import SummaryWriter
        folder, purge = self._run.out / "events", self._at.epoch * self._steps + 1
        try:
            with SummaryWriter(str(folder), purge_step=purge) as writer:
                yield writer
        except OSError as error:
            raise TrainingError(f"{folder}: cannot be written ({error}); make room and --resume") from error


def _val_entries(seen: Glance) -> dict[str, float | None]:
    return {f"val_{name}": value for name, value in dataclasses.asdict(seen).items()}
