"""A whole pre-training run: what to look at, the settings, the epochs, the result.

frames ──▶ RUN/config.toml ──▶ epochs ──▶ RUN/sst.safetensors, RUN/metrics.json
"""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any

import torch

from edge_runtime.errors import TrainingError, UsageError
from edge_runtime.progress import clock
from train.checkpoint import write_text
from train.distributed import join_world, leave_world
from train.pretrain.config import check_limits, resolve
from train.pretrain.frames import sample_videos, survey, with_sampled
from train.pretrain.heads import build_backbone
from train.pretrain.loop import RESULT, Loop
from train.settings import to_toml
from train.tensors import choose_device, reuse_memory, usable_cores

if TYPE_CHECKING:
    from pathlib import Path

    from train.distributed import World
    from train.pretrain.config import PretrainConfig
    from train.pretrain.frames import Frames

_log = logging.getLogger(__name__)
METRICS = "metrics.json"


def pretrain_run(
    source: Path,
    out: Path,
    config: PretrainConfig,
    *,
    resume: bool = False,
    device: str = "auto",
    threads: int = 0,
    workers: int = -1,
) -> None:
    """Pre-train a transformer on what `source` shows, into the run directory `out`.

    Args:
        config: with `resume`, the one that the run in `out` began with.
        threads: torch threads, 0: this process's share of the cores. workers: photo decoding threads,
            -1: chosen.

    Raises:
        DipsEdgeError: bad photos, settings or weights (before anything is written); `out` exists; no
            space on the disk.
    """
    check_limits(config)
    where = choose_device(device)
    world = join_world(where.type)
    try:
        cores = max(1, usable_cores() // world.local_size)
        torch.set_num_threads(threads or cores)
        reuse_memory()
        frames = survey(source)
        if not resume:
            config = _prepared(out, config)
        _check_batch(config, world)
        world.barrier()  # nobody has complained
        if world.main and not resume:
            _start(out, config)
        with world.main_first():
            if world.main:
                sample_videos(frames, out, config.frames, shown=True)
        frames = with_sampled(frames, out)
        if len(frames.train) < max(2, world.size):
            raise TrainingError(
                f"{source}: {len(frames.train)} photos to learn from; give more (or a smaller --every)"
            )
        readers = workers if workers >= 0 else min(8, cores)
        started = time.monotonic()
        at, facts = Loop(config, frames, out, where, world, readers).run()
        if world.main:
            figures = {
                "history": at.history,
                "skipped": at.skipped,
                "photos": len(frames.train),
                "val_photos": len(frames.val),
            }
            write_text(out / METRICS, json.dumps(figures | facts, indent=1))
            _say_end(out, config, frames, figures, time.monotonic() - started)
    finally:
        leave_world(world)


def _prepared(out: Path, config: PretrainConfig) -> PretrainConfig:
    """Every setting resolved, the network known to exist and to fit."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is not empty; choose another --out, or go on with --resume")
    net: Any = build_backbone(config.sst, config.crops, student=True, weights=config.sst.init)
    return resolve(config, int(net.patch_embed.patch_size[0]))


def _check_batch(config: PretrainConfig, world: World) -> None:
    if config.optim.batch_size % world.size:
        raise UsageError(
            f"--batch-size {config.optim.batch_size}: expected a multiple of {world.size}, "
            "the processes that share it"
        )


def _start(out: Path, config: PretrainConfig) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"{out}: cannot be made ({error.strerror}); choose another --out") from error
    write_text(out / "config.toml", to_toml(config))


def _say_end(
    out: Path, config: PretrainConfig, frames: Frames, figures: dict[str, Any], seconds: float
) -> None:
    if figures["skipped"]:
        _log.warning(
            "%d photos could not be read, the first is %s", len(figures["skipped"]), figures["skipped"][0]
        )
    first, last = figures["history"][0], figures["history"][-1]
    learned = ", ".join(f"{k} {first[k]:.1f} -> {last[k]:.1f} %" for k in ("knn", "twins") if k in last)
    _log.info("done in %s with %d photos: %s", clock(seconds), len(frames.train), learned)
    _log.info("next: dips-edge train DATA --out RUN --sst %s --sst-weights %s", config.sst.name, out / RESULT)
