"""`dips-edge synth OUT`: render the license-free photos and clips that the quick start and the tests use."""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import TYPE_CHECKING

import click

from edge_runtime import cliutil
from edge_runtime.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)


def picture_size(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, int]:
    """`640x480` as (640, 480); even numbers because video needs them."""
    parts = value.lower().split("x")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() for part in parts):
        raise click.BadParameter(f"expected WIDTHxHEIGHT such as 640x480, got {value!r}", context, parameter)
    width, height = int(parts[0]), int(parts[1])
    if min(width, height) < 64 or max(width, height) > 4096 or width % 2 or height % 2:
        raise click.BadParameter(f"expected even numbers from 64 to 4096, got {value}", context, parameter)
    return width, height


@cliutil.command("synth")
@click.argument("out", type=cliutil.PATH)
@click.option("--train", type=click.IntRange(0), default=160, help="Training photos per class.")
@click.option("--val", type=click.IntRange(0), default=32, help="Validation photos per class.")
@click.option("--test", type=click.IntRange(0), default=32, help="Test photos per class.")
@click.option("--clips", type=click.IntRange(0), default=2, help="Orbit clips (7 s, 25 frames/s).")
@click.option("--size", metavar="WxH", callback=picture_size, default="640x480", help="Picture size.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Same seed, same pictures.")
@click.option("--workers", type=click.IntRange(1), default=None, help="Processes.  [default: one per core]")
@click.option("--force", is_flag=True, help="Replace a set rendered before.")
def synth(
    out: Path,
    train: int,
    val: int,
    test: int,
    clips: int,
    size: tuple[int, int],
    seed: int,
    workers: int | None,
    force: bool,
) -> None:
    """Render cell towers, and the same places without one, into OUT.

    OUT gets {train,val,test}/{tower,background}/*.jpg, boxes.csv for val and test, and clips/*.mp4 with one
    line of truth per frame. The set appears whole or, when interrupted, not at all.
    """
    from train.synth.files import SetPlan, write_set

    plan = SetPlan(train=train, val=val, test=test, clips=clips, size=size, seed=seed)
    total = len(list(plan.photos())) + clips
    if total == 0:
        raise UsageError("nothing to render: expected --train, --val, --test or --clips above 0")
    processes = min(workers or _cores(), total)
    started = time.monotonic()
    if log.isEnabledFor(logging.INFO):
        with click.progressbar(length=total, label="rendering", file=sys.stderr) as bar:
            write_set(out, plan, workers=processes, force=force, progress=bar.update)
    else:
        write_set(out, plan, workers=processes, force=force)
    log.info("%s: %d photos, %d clips in %.0f s", out, total - clips, clips, time.monotonic() - started)


def _cores() -> int:
    available = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(available(0)) if available else os.cpu_count() or 1
