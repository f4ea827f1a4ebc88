"""The epochs of pre-training: batches, checks, checkpoints, events, resume.

RUN/last.safetensors  full state (student, teacher, optimiser, position, history), written every two minutes
                      and after each epoch; holds nothing that depends on the clock
RUN/sst.safetensors   the teacher's transformer, after each check: the result
RUN/attention/        a picture per check
RUN/events/           TensorBoard
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_runtime.errors import ModelError, TrainingError
from edge_runtime.progress import Progress
from train.checkpoint import load_tensors, save_tensors
from train.data.loader import PhotoLoader, epoch_batches
from train.events import open_events
from train.pretrain.check import Check
from train.pretrain.crops import CropSource
from train.pretrain.distill import Distiller, NotFinite
from train.weights import first_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch

    from train.distributed import World
    from train.pretrain.config import PretrainConfig
    from train.pretrain.frames import Frames

LAST, RESULT, EVENTS = "last.safetensors", "sst.safetensors", "events"
SAVE_EVERY_S = 120.0
SAYS_NOTHING, ALL_THE_SAME = 0.995, 1.5  # `entropy` above, `used` below: the two collapses
_log = logging.getLogger(__name__)


@dataclass
class Position:
    """Where a run stands, as kept in the header of last.safetensors."""

    photos: str
    epoch: int = 0
    step: int = 0
    sums: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    skipped: list[str] = dataclasses.field(default_factory=list)


class Loop:
    """One run, from where it stands to its last epoch."""

    def __init__(
        self,
        config: PretrainConfig,
        frames: Frames,
        out: Path,
        device: torch.device,
        world: World,
        workers: int,
    ) -> None:
        self._config, self._out, self._world, self._photos = config, out, world, frames.train
        self._steps = len(self._batches(0))
        self._resumes = (out / LAST).exists()
        weights = "none" if self._resumes else config.sst.init
        self._distiller = Distiller(config, self._steps, device, world, weights)
        self._check = Check(frames, config, out, device, workers) if world.main else None
        self._loader = PhotoLoader(CropSource([photo.path for photo in frames.train], config), workers)
        self._at = Position(frames.digest)
        self._kept = ""
        self._saved = time.monotonic()

    def run(self) -> tuple[Position, dict[str, object]]:
        """Where the run ended, and what the check's figures stand for.

        Raises:
            TrainingError: loss or gradient is not finite, or a file cannot be written.
        """
        if self._resumes:
            self._resume()
        at, epochs = self._at, self._config.optim.epochs
        first = at.epoch * self._steps + at.step
        events: Any = open_events(self._out / EVENTS, first) if self._world.main else contextlib.nullcontext()
        left = epochs * self._steps - first
        with self._loader, events as writer, Progress("pre-training", left, self._world.main) as progress:
            if not at.history:
                self._look(writer, {"epoch": 0})
            while at.epoch < epochs:
                self._epoch(writer, progress)
        return at, self._check.facts if self._check else {}

    def _batches(self, epoch: int) -> list[list[int]]:
        batch, seed = self._config.optim.batch_size, self._config.seed
        return epoch_batches([0] * len(self._photos), None, 1.0, batch, seed, epoch)

    def _epoch(self, writer: Any, progress: Progress) -> None:
        at, world = self._at, self._world
        batches = self._batches(at.epoch)
        for items in self._loader(at.epoch, [world.share(batch) for batch in batches][at.step :]):
            values = self._step(items, batches[at.step])
            at.step += 1
            at.skipped = sorted({*at.skipped, *(self._photos[i].photo_id for i in self._loader.skipped)})
            for name, value in values.items():
                total = at.sums.setdefault(name, [0.0, 0.0])
                total[0] += value
                total[1] += 1
            progress.step(self._said(values))
            if world.main and time.monotonic() - self._saved > SAVE_EVERY_S:
                self._save()
        means = {name: total / n for name, (total, n) in at.sums.items()}
        at.epoch, at.step, at.sums = at.epoch + 1, 0, {}
        self._look(writer, {"epoch": at.epoch, **means})

    def _step(self, items: Sequence[Any], batch: Sequence[int]) -> dict[str, float]:
        at = self._at
        try:
            return self._distiller.step(items, at.epoch, at.step)
        except NotFinite as error:
            photos = ", ".join(self._photos[i].photo_id for i in batch)
            kept = f"{self._out / LAST} ({self._kept})" if self._kept else "none, it was the first"
            raise TrainingError(
                f"the {error} is not a number at epoch {at.epoch + 1}, step {at.step}; last good state: "
                f"{kept}. Start a new run with a smaller optim.lr. Photos of the batch: {photos}"
            ) from error

    def _said(self, values: dict[str, float]) -> str:
        at = self._at
        figures = {"loss": values["loss"], "used": values["used"]} | {
            name: at.history[-1][name] for name in ("knn", "twins") if name in at.history[-1]
        }
        shown = " ".join(f"{name} {value:.4g}" for name, value in figures.items())
        return f"epoch {at.epoch + 1}/{self._config.optim.epochs} {shown}"

    def _look(self, writer: Any, entry: dict[str, Any]) -> None:
        """After each epoch, and before the first: state to the disk, figures where they are due."""
        at, epochs = self._at, self._config.optim.epochs
        if self._check:
            if at.epoch % self._config.check.every == 0 or at.epoch == epochs:
                path = self._out / RESULT
                save_tensors(
                    path, self._distiller.backbone(), {"sst": self._config.sst.name, "epoch": at.epoch}
                )
                entry = entry | self._check(path, at.epoch)
            at.history.append(entry)
            self._tell(writer, entry)
            self._save()
        else:
            at.history.append(entry)
        self._world.barrier()

    def _tell(self, writer: Any, entry: dict[str, Any]) -> None:
        for name, value in entry.items():
            if name != "epoch":
                writer.add_scalar(name, value, entry["epoch"] * self._steps)
        if "twins" in entry:
            figures = ", ".join(f"{k} {entry[k]:.1f} %" for k in ("knn", "twins") if k in entry)
            _log.info("epoch %d: %s", entry["epoch"], figures)
        if entry.get("entropy", 0.0) > SAYS_NOTHING:
            _log.warning("epoch %d: the teacher says nothing (all prototypes alike)", entry["epoch"])
        elif entry.get("used", 2.0) < ALL_THE_SAME:
            _log.warning("epoch %d: the teacher says the same of every photo", entry["epoch"])

    def _save(self) -> None:
        save_tensors(self._out / LAST, self._distiller.state(), dataclasses.asdict(self._at))
        self._kept = f"epoch {self._at.epoch + 1}, step {self._at.step}"
        self._saved = time.monotonic()

    def _resume(self) -> None:
        path = self._out / LAST
        tensors, meta = load_tensors(path)
        try:
            found = Position(**meta)
            if found.photos != self._at.photos:
                raise ValueError("the photos are not those it began with")
            self._distiller.load_state(tensors)
        except (LookupError, RuntimeError, TypeError, ValueError) as error:
            raise ModelError(f"{path}: does not fit this run: {first_line(error)}") from error
        self._at = found
        self._kept = f"epoch {found.epoch + 1}, step {found.step}"
        if self._world.main:
            _log.info("resumed at epoch %d, step %d", found.epoch + 1, found.step)
