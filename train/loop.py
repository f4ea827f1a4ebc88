"""The localizer's epochs: which photos, in which views, and how val judges it.

attention store + proposals ──ViewSource──▶ Fitter ──epochs──▶ last.safetensors, localizer.safetensors
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch

from train.checkpoint import FILES
from train.data.loader import epoch_batches
from train.epochs import Course, Outcome, run_epochs
from train.fit import Fitter
from train.items import ViewSource
from train.localizer import Localizer, build_localizer
from train.polish import Polish
from train.selection import choice_for, warn_if_lost
from train.selftrain import OwnMaps
from train.shared import Timer
from train.validate import Glance, glance

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from train.classifier import Classifier
    from train.config import TrainConfig
    from train.harvest import AttentionStore
    from train.items import Item
    from train.proposals import Proposal
    from train.shared import Run


def fit_localizer(
    run: Run[TrainConfig],
    classifier: Classifier,
    store: AttentionStore,
    proposals: Sequence[Sequence[Proposal]],
) -> Outcome:
    """Train from where the run stands to its last epoch.

    Args:
        store, proposals: of the train photos followed by the val photos.

    Raises:
        TrainingError: a loss is not finite, or a checkpoint cannot be written.
    """
    config, dataset = run.config, run.dataset
    images, count = dataset.splits["train"], len(dataset.splits["train"])
    usable = [i for i in range(count) if store.readable(i)]
    labels = [images[i].label for i in usable]
    objects = [i for i in usable if images[i].label != dataset.negative]
    own = OwnMaps(run.out, images, objects, config.selftrain)
    polish = Polish(run.out, images, objects, config)

    def batches(epoch: int) -> list[list[int]]:
        size = (config.polish if polish.covers(epoch) else config.optim).batch_size
        drawn = epoch_batches(labels, dataset.negative, config.optim.negatives, size, config.seed, epoch)
        return [[usable[k] for k in batch] for batch in drawn]

    steps = len(batches(0)), len(batches(config.optim.epochs))
    learner = _LocalizerLearner(run, classifier, steps, proposals[count:], own, polish)
    choice = choice_for(config, dataset)
    photos = [*images, *dataset.splits["val"]]
    course = Course(
        images=images,
        epochs=config.optim.epochs + config.polish.epochs,
        batches=batches,
        load=ViewSource(images, store.maps, proposals[:count], config, own, polish),
        score=choice.score,
        selection=choice.words,
        slack=choice.slack,
        unreadable=[image.image_id for i, image in enumerate(photos) if not store.readable(i)],
        begin=learner.begin,
    )
    outcome = run_epochs(run, learner, course, {"classes": len(dataset.classes)})
    if run.world.main:
        warn_if_lost(outcome.history[outcome.best_epoch - 1], dataset)
    return outcome


class _LocalizerLearner:
    """The fitter, and the look at val that belongs to it."""

    def __init__(
        self,
        run: Run[TrainConfig],
        classifier: Classifier,
        steps: tuple[int, int],
        val_proposals: Sequence[Sequence[Proposal]],
        own: OwnMaps,
        polish: Polish,
    ) -> None:
        """`steps`: of an epoch, and of one that polishes."""
        self._run, self._val_proposals, self._own, self._polish = run, val_proposals, own, polish
        torch.manual_seed(run.config.seed)
        resumes = (run.out / FILES["last"]).exists()
        model = (Localizer if resumes else build_localizer)(run.config.localizer, len(run.dataset.classes))
        self._fitter = Fitter(
            model,
            classifier,
            run.dataset.negative,
            run.config,
            steps[0],
            run.device,
            run.world,
            polish_steps=steps[1],
        )
        self._judged = copy.deepcopy(model)
        self.seconds = self._fitter.seconds

    def step(self, items: Sequence[Item], epoch: int, index: int) -> dict[str, float]:
        return self._fitter.step(items, epoch, index)

    def state(self) -> dict[str, Tensor]:
        return self._fitter.state()

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        self._fitter.load_state(tensors)

    def evaluated_state(self) -> Mapping[str, Tensor]:
        return self._fitter.evaluated_state()

    def begin(self, epoch: int) -> None:
        """Have the localizer's own maps for `epoch` at hand, where they teach."""
        polishes, run = self._polish.covers(epoch), self._run
        if run.world.main:  # before hours of work, not after them
            self._own.reserve()
            self._polish.reserve()
        if not polishes and self._own.round_of(epoch) < 0:
            return
        self._judged.load_state_dict(self._fitter.evaluated_state())
        run.world.copy_from_main(self._judged)
        self._judged.eval()
        with Timer(self.seconds, "own maps"):
            if polishes:
                self._polish.prepare(epoch, self._judged, run.workers, run.world)
            else:
                side = run.config.localizer.eval_size
                self._own.prepare(epoch, self._judged, side, run.workers, run.world)

    def look(self) -> Glance:
        self._judged.load_state_dict(self._fitter.evaluated_state())
        dataset, side = self._run.dataset, self._run.config.localizer.eval_size
        val = dataset.splits["val"]
        return glance(self._judged, val, self._val_proposals, dataset.negative, side, self._run.workers)
