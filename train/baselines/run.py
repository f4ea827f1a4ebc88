"""A whole run of a baseline, resumable at any moment; it leaves what a run of DiPS leaves.

learn or fit ──▶ exact evaluation of both checkpoints ──▶ metrics.json, report.html
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import torch

from edge_runtime.errors import UsageError
from edge_runtime.progress import clock, counted
from train.attention_store import digest
from train.baselines.explain import build_baseline, load_baseline, predict_baseline
from train.baselines.learn import learn
from train.baselines.methods import method_class
from train.baselines.presets import check_baseline, read_baseline_config, resolve_baseline
from train.checkpoint import FILES, save_tensors
from train.data.dataset import load_dataset
from train.data.manifest import known_digest
from train.distributed import join_world, leave_world, wait_until_seen
from train.evaluation.evaluate_run import judge_checkpoint, judge_checkpoints, write_results
from train.evaluation.split_scores import PresenceRule
from train.shared import Run, check_new, read_seconds, start_run
from train.tensors import choose_device, reuse_memory, usable_cores

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from train.baselines.base import Baseline
    from train.baselines.config import BaselineConfig
    from train.data.types import Dataset, Image
    from train.distributed import World
    from train.epochs import Outcome
    from train.evaluation.evaluate import Prediction

_log = logging.getLogger(__name__)


def train_baseline(
    data: Path,
    out: Path,
    config: BaselineConfig,
    *,
    resume: bool = False,
    device: str = "auto",
    threads: int = 0,
    workers: int = -1,
    verify: bool = False,
) -> None:
    """Train a baseline on the photos of `data` into the run directory `out`; as `train.run.train_run`.

    Raises:
        DipsEdgeError: bad data, settings or weights (before anything is written); `out` exists; no
            space on the disk.
    """
    check_baseline(config)
    where = choose_device(device)
    world = join_world(where.type)
    try:
        if resume:
            config = read_baseline_config(out / "config.toml")
        else:
            check_new(out)
        cores = max(1, usable_cores() // world.local_size)
        torch.set_num_threads(threads or cores)
        reuse_memory()
        with world.main_first():  # the first reader may save a split of the photos
            dataset = load_dataset(data, negative_class=config.negative_class or None, seed=config.seed)
            known = known_digest(dataset, verify=verify) if world.main else None
        config = resolve_baseline(config, dataset)
        _check(config, dataset, world)
        if not resume:
            build_baseline(config, len(dataset.classes), dataset.negative)  # tells what cannot work
        world.barrier()
        if world.main and not resume:
            start_run(out, config)
        world.barrier()
        wait_until_seen(out / "config.toml")
        readers = workers if workers >= 0 else min(8, cores)
        facts = {"data": str(data.resolve()), "method": config.method, "manifest": known}
        run = Run(out, config, dataset, where, world, readers, read_seconds(out), facts)
        for item, reason in dataset.broken if world.main else ():
            run.quarantine.add(item, reason)
        _stages(run)
    finally:
        leave_world(world)


def _check(config: BaselineConfig, dataset: Dataset, world: World) -> None:
    if not dataset.splits["val"]:
        raise UsageError(f"{dataset.root}: no val photos; put some into val/ (boxes are optional there)")
    if config.select == "boxes" and not dataset.has_boxes("val"):
        raise UsageError(f"--select boxes: val of {dataset.root} has no boxes; use auto or accuracy")
    smallest = min(config.optim.batch_size, len(dataset.splits["train"]))
    if smallest < world.size:
        raise UsageError(f"{world.size} processes cannot share a batch of {smallest} photos; start fewer")


def _stages(run: Run[BaselineConfig]) -> None:
    train = run.dataset.splits["train"]
    meta = {
        "classes": len(run.dataset.classes),
        "negative": run.dataset.negative,
        "photos": digest(f"{image.image_id} {image.label}" for image in train),
    }
    with run.stage("localizer"):
        outcome = learn(run, meta) if method_class(run.config.method).LEARNS else _fit(run, meta)
    with run.stage("evaluation"):
        if run.world.main:
            results = judge_checkpoints(
                lambda which: load_baseline(run.out, which), lambda which, model: _judge(run, which, model)
            )
            write_results(run, outcome, results, run.config.photos.eval_size)
    if run.world.main:
        stages = {name: s for name, s in run.seconds.items() if "/" not in name}
        _log.info(
            "done in %s: %s",
            clock(sum(stages.values())),
            ", ".join(f"{name} {clock(s)}" for name, s in stages.items()),
        )


def _fit(run: Run[BaselineConfig], meta: dict[str, Any]) -> Outcome:
    model = build_baseline(run.config, len(run.dataset.classes), run.dataset.negative)
    weights, outcome = model.fit(run)
    for which, state in weights.items() if run.world.main else ():
        save_tensors(run.out / FILES[which], {f"model.{k}": v for k, v in state.items()}, meta)
    return outcome


def _judge(run: Run[BaselineConfig], which: str, model: Baseline) -> dict[str, Any]:
    model.to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def predict(images: Sequence[Image]) -> Iterator[Prediction]:
        found = predict_baseline(model, images, workers=run.workers, on_skip=run.quarantine.watch(images))
        return counted(found, f"{which} checkpoint", len(images))

    return judge_checkpoint(run.dataset, which, predict, PresenceRule.CLASS)
