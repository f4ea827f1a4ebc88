"""`dips-edge pretrain SOURCE --out RUN`: unlabelled frames to a transformer for `dips-edge train --sst`.

flags, --set and --config ──▶ PretrainConfig ──▶ train.pretrain.run; also under torchrun
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from edge_runtime import cliutil
from train.commands.train import gather_settings, let_idle_threads_sleep, refuse_other_settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# flag: the setting it stands for; flags that are not given leave its default
SETTINGS = {
    "sst": "sst.name",
    "init": "sst.init",
    "epochs": "optim.epochs",
    "batch_size": "optim.batch_size",
    "size": "crops.global_size",
    "every": "frames.every",
    "seed": "seed",
}


@cliutil.command("pretrain")
@click.argument("source", type=cliutil.PATH)
@click.option("--out", type=cliutil.PATH, required=True, help="Run directory to make (or to --resume).")
@click.option("--sst", metavar="NAME", help="timm transformer.  [default: vit_small_patch14_dinov2.lvd142m]")
@click.option(
    "--init",
    metavar="FILE",
    help="Its .safetensors to begin with, or `none` for random; without it timm downloads them.",
)
@click.option("--epochs", type=click.IntRange(1), help="Passes over the photos.  [default: 100]")
@click.option(
    "--batch-size", type=click.IntRange(1), help="Photos per step, over all processes.  [default: 64]"
)
@click.option("--size", type=click.IntRange(16), help="Side of the large crops, px.  [default: 224]")
@click.option("--every", type=click.IntRange(1), help="Of a video's frames take every n-th.  [default: 15]")
@click.option("--seed", type=click.IntRange(0), help="Same seed, same machine: same result.")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Any setting of RUN/config.toml; repeatable.",
)
@click.option("--device", default="auto", help="auto, cpu, cuda or cuda:N.")
@click.option("--threads", type=click.IntRange(0), default=0, help="torch threads; 0: every core.")
@click.option(
    "--workers", type=click.IntRange(-1), default=-1, help="Threads that decode photos; -1: chosen."
)
@click.option("--resume", is_flag=True, help="Go on with the run in --out where it stopped.")
def pretrain(
    source: Path,
    out: Path,
    assignments: Sequence[str],
    device: str,
    threads: int,
    workers: int,
    resume: bool,
    **flags: Any,
) -> None:
    """Teach a vision transformer to see, from frames without any label (DINO self-distillation).

    SOURCE is a folder of photos and videos, one video, or a data set, whose labels are not learned from.
    RUN/sst.safetensors is what `dips-edge train --sst NAME --sst-weights FILE` takes. A run can be stopped
    at any moment and goes on with --resume. Several GPUs or machines:
    torchrun --nproc-per-node 2 --no-python dips-edge pretrain SOURCE --out RUN
    """
    let_idle_threads_sleep()
    from train.pretrain.config import PretrainConfig
    from train.settings import override, read_config_of

    changes = gather_settings(flags, assignments, SETTINGS)
    if resume:
        config = read_config_of(out, PretrainConfig(), "dips-edge pretrain")
        refuse_other_settings(out, config, changes)
    else:
        config = override(PretrainConfig(), changes)
    # Only now torch, which takes seconds to load: flags that cannot work have been told.
    from train.pretrain.run import pretrain_run

    try:
        pretrain_run(source, out, config, resume=resume, device=device, threads=threads, workers=workers)
    except KeyboardInterrupt:
        if (out / "config.toml").exists() and os.environ.get("RANK", "0") == "0":
            click.echo(f"stopped; go on with `dips-edge pretrain {source} --out {out} --resume`", err=True)
        raise
