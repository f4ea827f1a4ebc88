"""A whole training run, stage by stage, resumable at any moment.

attention ──▶ classifier ──▶ proposals ──▶ localizer ──▶ class head ──▶ exact evaluation ──▶ report
Each stage leaves its result in the run directory; what is there is not done again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch

from edge_runtime.errors import UsageError
from edge_runtime.progress import clock
from train.class_head import refit_class_heads
from train.classifier import build_classifier, load_classifier, save_classifier
from train.config import read_run_config
from train.config_auto import resolve
from train.config_limits import check_limits
from train.data.dataset import load_dataset
from train.data.manifest import known_digest
from train.distributed import join_world, leave_world, wait_until_seen
from train.evaluation.evaluate_run import evaluate_run
from train.harvest import harvest_proposals, harvested, proposal_recall
from train.localizer import build_localizer
from train.loop import fit_localizer
from train.prototypes import background_prototypes
from train.reuse import CLASSIFIER_FILE, plan_reuse, reused, take_over
from train.selection import FEWEST, can_separate
from train.shared import Run, check_new, read_seconds, start_run
from train.sst import SelfSupervisedTransformer
from train.teach import classifier_accuracy, fine_tune, fit_linear
from train.tensors import choose_device, reuse_memory, usable_cores

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from train.attention_store import AttentionStore
    from train.classifier import Classifier
    from train.config import TrainConfig
    from train.data.types import Dataset
    from train.distributed import World
    from train.epochs import Outcome
    from train.proposals import Proposal

_log = logging.getLogger(__name__)


def train_run(
    data: Path,
    out: Path,
    config: TrainConfig,
    *,
    resume: bool = False,
    device: str = "auto",
    threads: int = 0,
    workers: int = -1,
    verify: bool = False,
    reuse: Sequence[Path] = (),
) -> None:
    """Train on the photos of `data` into the run directory `out`.

    Args:
        resume: go on with the run in `out`; its own config.toml is used, `config` is ignored.
        threads: torch threads, 0: this process's share of the cores. workers: photo decoding threads,
            -1: chosen.
        verify: compare the photos with DATA/manifest.jsonl, hash by hash, before anything else.
        reuse: earlier runs whose stages a new run takes over, see train/reuse.py.

    Raises:
        DipsEdgeError: bad data, settings, weights or runs to reuse (before anything is written); `out`
            exists; no space on the disk.
    """
    check_limits(config)
    where = choose_device(device)
    world = join_world(where.type)
    try:
        if resume:
            config = read_run_config(out)
        else:
            check_new(out)
        cores = max(1, usable_cores() // world.local_size)
        torch.set_num_threads(threads or cores)
        reuse_memory()
        with world.main_first():  # the first reader may save a split of the photos
            dataset = load_dataset(data, negative_class=config.negative_class or None, seed=config.seed)
            digest = known_digest(dataset, verify=verify) if world.main else None
        config = resolve(config, dataset)
        _check(config, dataset, world)
        torch.manual_seed(config.seed)
        sst = SelfSupervisedTransformer(config.sst, where)
        if not resume:
            _rehearse(config, dataset)
        plan = plan_reuse(reuse, out, config, dataset, digest) if world.main and reuse else None
        world.barrier()  # nobody has complained
        if world.main and not resume:
            start_run(out, config)
        world.barrier()
        wait_until_seen(out / "config.toml")
        readers = workers if workers >= 0 else min(8, cores)
        facts = {"data": str(data.resolve()), "manifest": digest}
        run = Run(out, config, dataset, where, world, readers, read_seconds(out), facts)
        for item, reason in dataset.broken if world.main else ():
            run.quarantine.add(item, reason)
        if plan is not None:
            take_over(plan, run)
        world.barrier()
        run.facts["reused"] = reused(out)
        _stages(run, sst)
    finally:
        leave_world(world)


def _check(config: TrainConfig, dataset: Dataset, world: World) -> None:
    if not dataset.splits["val"]:
        raise UsageError(f"{dataset.root}: no val photos; put some into val/ (boxes are optional there)")
    if config.select in ("boxes", "protocol") and not dataset.has_boxes("val"):
        raise UsageError(f"--select {config.select}: val of {dataset.root} has no boxes; use auto")
    if config.select == "separation" and not can_separate(dataset):
        raise UsageError(
            f"--select separation: val of {dataset.root} has fewer than {FEWEST} photos with an object or of "
            "the negative class; use auto"
        )
    batches = {
        "optim.batch_size": config.optim.batch_size,
        "classifier.batch_size": config.classifier.batch_size,
        "photos of train": len(dataset.splits["train"]),
    }
    if config.polish.epochs:
        batches["polish.batch_size"] = config.polish.batch_size
    smallest = min(batches, key=lambda name: batches[name])
    if batches[smallest] < world.size:
        raise UsageError(
            f"{world.size} processes cannot share a batch of {batches[smallest]} photos ({smallest}); "
            "start fewer"
        )


def _rehearse(config: TrainConfig, dataset: Dataset) -> None:
    """Build the networks once, so that a wrong name or weights file is told before hours of work."""
    build_localizer(config.localizer, len(dataset.classes))
    if config.classifier.kind == "cnn":
        build_classifier(config, len(dataset.classes), None)


def _stages(run: Run[TrainConfig], sst: SelfSupervisedTransformer) -> None:
    train, val = run.dataset.splits["train"], run.dataset.splits["val"]
    photos = [*train, *val]
    with run.stage("attention"):
        sst.prototypes = background_prototypes(run, sst)
        store = harvested(run, sst, negatives=run.config.classifier.kind == "linear")
    with run.stage("classifier"):
        classifier = _classifier(run, sst, store)
    del sst
    with run.stage("proposals"):
        proposals = harvest_proposals(
            run.out,
            store,
            photos,
            run.dataset.negative,
            classifier,
            run.config.proposals,
            run.world,
            run.quarantine.watch(photos),
        )
    _say_recall(run, proposals[: len(train)], proposals[len(train) :])
    with run.stage("localizer"):
        outcome = fit_localizer(run, classifier, store, proposals)
    if run.config.localizer.class_head == "refit":
        with run.stage("class head"):
            if run.world.main:
                refit_class_heads(run, outcome.skipped)
    with run.stage("evaluation"):
        if run.world.main:
            evaluate_run(run, outcome, proposals[len(train) :])
    if run.world.main:
        _say_end(run, outcome)


def _classifier(run: Run[TrainConfig], sst: SelfSupervisedTransformer, store: AttentionStore) -> Classifier:
    path = run.out / CLASSIFIER_FILE
    classes = len(run.dataset.classes)
    if not path.exists():
        run.world.barrier()  # nobody finds the file that rank 0 is about to write
        classifier = build_classifier(run.config, classes, sst)
        train = run.dataset.splits["train"]
        good = [i for i in range(len(train)) if store.readable(i)]
        if run.config.classifier.kind == "linear":
            features = torch.from_numpy(store.features[good].astype("float32"))
            loss = fit_linear(classifier, features, torch.tensor([train[i].label for i in good]))
        else:
            readable = [train[i] for i in good]
            watch = run.quarantine.watch(readable)
            loss = fine_tune(classifier, readable, run.config, run.device, run.world, run.workers, watch)
        if run.world.main:
            save_classifier(path, classifier, {"classes": classes, "train_loss": loss})
        run.world.barrier()
    classifier, meta = load_classifier(path, run.config, classes, sst)
    classifier.to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if run.world.main:
        accuracy = classifier_accuracy(classifier, run.dataset.splits["val"], run.workers)
        run.facts["classifier_val_acc"] = accuracy
        _log.info("classifier: train loss %.3f, val accuracy %.1f %%", meta["train_loss"], accuracy)
    return classifier


def _say_recall(
    run: Run[TrainConfig], train: Sequence[list[Proposal]], val: Sequence[list[Proposal]]
) -> None:
    if not run.world.main:
        return
    recall = proposal_recall(val, run.dataset.splits["val"])
    run.facts["proposal_recall"] = recall
    said = ", ".join(f"{k} {v:.1f} %" for k, v in recall.items())
    _log.info("proposal recall on val (IoU >= .5): %s", said or "val has no boxes")
    labels = [image.label for image in run.dataset.splits["train"]]
    empty = sum(not found and y != run.dataset.negative for found, y in zip(train, labels, strict=True))
    if empty:
        _log.warning("%d train photos have no proposal: they teach the class only", empty)


def _say_end(run: Run[TrainConfig], outcome: Outcome) -> None:
    if outcome.skipped:
        _log.warning("%d photos could not be read, the first is %s", len(outcome.skipped), outcome.skipped[0])
    stages = {name: s for name, s in run.seconds.items() if "/" not in name}
    parts = ", ".join(f"{name} {clock(s)}" for name, s in stages.items())
    _log.info("done in %s: %s", clock(sum(stages.values())), parts)
