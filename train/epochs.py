"""Epochs of anything that learns: batches, a look at val, best and last checkpoints, events, resume.

RUN/last.safetensors       full state (weights, optimiser, position, history), written every two minutes;
                           holds nothing that depends on the clock, so equal runs give equal bytes
RUN/localizer.safetensors  the weights of the epoch that val liked best
RUN/events/                TensorBoard
"""

from __future__ import annotations

import dataclasses
import logging
import math
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch

from edge_runtime.errors import ModelError, TrainingError
from edge_runtime.progress import Progress
from train.checkpoint import FILES, load_tensors, save_tensors
from train.data.loader import PhotoLoader
from train.weights import first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor

    from train.data.types import Image
    from train.shared import AnyRun
    from train.validate import Glance

SAVE_EVERY_S = 120.0
_log = logging.getLogger(__name__)


class Learner(Protocol):
    """What is trained: a network with its optimiser. `seconds`: by part of a step; emptied every epoch."""

    seconds: dict[str, float]

    def step(self, items: Sequence[Any], epoch: int, index: int) -> dict[str, float]:
        """One optimiser step; loss values by name, `total` and `lr` among them."""

    def state(self) -> dict[str, Tensor]:
        """Everything a resumed run needs; the weights as `model.*`."""

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """The reverse of `state`; RuntimeError, LookupError or ValueError for another network's state."""

    def evaluated_state(self) -> Mapping[str, Tensor]:
        """Weights that are judged."""

    def look(self) -> Glance:
        """Judge those weights on val."""


@dataclass(frozen=True)
class Course:
    """What is learned from, and how val chooses the best epoch.

    `batches(epoch)`: global batches of indices into `images`. `load(epoch, index)`: one item of a batch.
    `score(glance)`: higher is better; None: nothing to judge by, so the latest epoch. `selection` says in
    words what `score` looks at; the latest epoch within `slack` of the highest score is the best.
    `unreadable`: ids of photos known to be unreadable before. `begin(epoch)`: called in every process before
    an epoch is begun or gone on with.
    """

    images: Sequence[Image]
    epochs: int
    batches: Callable[[int], list[list[int]]]
    load: Callable[[int, int], Any]
    score: Callable[[Glance], float | None]
    selection: str
    slack: float = 0.0
    unreadable: Sequence[str] = ()
    begin: Callable[[int], None] | None = None


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
    best_score: float = -1.0  # the highest so far
    best_epoch: int = 0
    skipped: list[str] = dataclasses.field(default_factory=list)


def run_epochs(run: AnyRun, learner: Learner, course: Course, meta: Mapping[str, Any]) -> Outcome:
    """Train from where the run stands to its last epoch.

    Args:
        meta: about the network; travels in the header of both checkpoints.

    Raises:
        TrainingError: a loss is not finite, or a checkpoint cannot be written.
        ModelError: the checkpoint in the run directory does not fit its configuration.
    """
    return _Loop(run, learner, course, meta).run()


class _Loop:
    def __init__(self, run: AnyRun, learner: Learner, course: Course, meta: Mapping[str, Any]) -> None:
        self._run, self._learner, self._course, self._meta = run, learner, course, dict(meta)
        self._steps = len(course.batches(0))
        self._loader: PhotoLoader[Any] = PhotoLoader(
            course.load, run.workers, run.quarantine.watch(course.images)
        )
        self._at = _Position()
        self._saved = time.monotonic()
        self._kept = ""  # where the state on the disk stands

    def run(self) -> Outcome:
        self._resume()
        with self._loader, self._events() as events:
            while self._at.epoch < self._course.epochs:
                self._epoch(events)
        at, unreadable = self._at, self._course.unreadable
        return Outcome(at.history, self._course.selection, at.best_epoch, sorted({*unreadable, *at.skipped}))

    def _epoch(self, events: Any) -> None:
        at, world, images = self._at, self._run.world, self._course.images
        if self._course.begin is not None:
            self._course.begin(at.epoch)
        batches = self._course.batches(at.epoch)
        left = batches[at.step :]
        title = f"epoch {at.epoch + 1}/{self._course.epochs}"
        with Progress(title, len(left), world.main) as progress:
            for items in self._loader(at.epoch, left, world):
                values = self._learner.step(items, at.epoch, at.step)
                self._check(values, batches[at.step])
                at.step += 1
                at.skipped = sorted({*at.skipped, *(images[i].image_id for i in self._loader.skipped)})
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

    def _check(self, values: Mapping[str, float], batch: Sequence[int]) -> None:
        """All processes stop at the step where one of them fails: what they share is spoilt from there on."""
        bad, world = [name for name, value in values.items() if not math.isfinite(value)], self._run.world
        if not float(world.mean(torch.tensor(float(len(bad)), device=world.device))):
            return
        photos = ", ".join(self._course.images[i].image_id for i in batch)
        path = self._run.out / FILES["last"]
        kept = f"the last good state ({self._kept}) is in {path}" if self._kept else "no state was kept yet"
        raise TrainingError(
            f"the loss is not a number at {self._where()}: {', '.join(bad) or 'in another process'}; "
            f"{kept}. Use a smaller optim.lr in a new run. Photos of the batch: {photos}"
        )

    def _close_epoch(self, events: Any) -> None:
        at, course = self._at, self._course
        start = time.perf_counter()
        seen = self._learner.look()
        means = {name: total / n for name, (total, n) in at.sums.items()}
        found = {f"val_{name}": value for name, value in dataclasses.asdict(seen).items()}
        at.history.append({"epoch": at.epoch + 1, **means, **found})
        for name, value in at.history[-1].items():
            if name != "epoch" and value is not None:
                events.add_scalar(name.replace("val_", "val/"), value, (at.epoch + 1) * self._steps)
        score = course.score(seen)
        if score is None or score >= at.best_score - course.slack:
            at.best_score = -1.0 if score is None else max(score, at.best_score)
            at.best_epoch = at.epoch + 1
            self._save_best()
        seconds = self._learner.seconds | {"val": time.perf_counter() - start}
        self._run.spent({f"localizer/{name}": value for name, value in seconds.items()})
        self._learner.seconds.clear()
        shown = ", ".join(f"{k} {v:.3g}" for k, v in at.history[-1].items() if v is not None and k != "epoch")
        _log.info("epoch %d: %s%s", at.epoch + 1, shown, "  (best)" if at.best_epoch == at.epoch + 1 else "")

    def _save_best(self) -> None:
        meta = {**self._meta, "epoch": self._at.best_epoch, "selection": self._course.selection}
        tensors = {f"model.{k}": v for k, v in self._learner.evaluated_state().items()}
        save_tensors(self._run.out / FILES["best"], tensors, meta)

    def _save_last(self) -> None:
        meta = {**self._meta, "position": dataclasses.asdict(self._at)}
        save_tensors(self._run.out / FILES["last"], self._learner.state(), meta)
        self._saved, self._kept = time.monotonic(), self._where()

    def _resume(self) -> None:
        path = self._run.out / FILES["last"]
        if not path.exists():
            return
        tensors, meta = load_tensors(path)
        if {k: meta.get(k) for k in self._meta} != self._meta:
            raise ModelError(
                f"{path}: trained on other photos or classes; the data set changed since this run began. "
                "Start a new run with another --out"
            )
        try:
            self._learner.load_state(tensors)
            self._at = _Position(**meta["position"])
        except (RuntimeError, LookupError, ValueError, TypeError) as error:
            raise ModelError(f"{path}: does not fit the run's config.toml: {first_line(error)}") from error
        self._kept = self._where()
        if self._run.world.main:
            _log.info("resumed at %s", self._kept)

    def _where(self) -> str:
        return f"epoch {self._at.epoch + 1}, step {self._at.step}"

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
