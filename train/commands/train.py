"""`dips-edge train DATA --out RUN`: photos sorted into folders to a run directory with a trained localizer.

flags, --set and --config ──▶ TrainConfig ──▶ train.run; also under `torchrun --no-python dips-edge train ...`
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

import click

from edge_runtime import cliutil
from edge_runtime.errors import UsageError
from train.baselines.methods import DIPS, METHODS
from train.commands.baseline import configured, method_of, resumed, settings_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from _typeshed import DataclassInstance

    from train.config import TrainConfig

# flag: the setting it stands for; flags that are not given leave the preset's value
SETTINGS = {
    "sst": "sst.name",
    "sst_weights": "sst.weights",
    "encoder": "localizer.encoder",
    "encoder_weights": "localizer.encoder_weights",
    "classifier": "classifier.kind",
    "epochs": "optim.epochs",
    "batch_size": "optim.batch_size",
    "size": "localizer.size",
    "eval_size": "localizer.eval_size",
    "seed": "seed",
    "select": "select",
    "negative_class": "negative_class",
}


@cliutil.command("train")
@click.argument("data", type=cliutil.PATH)
@click.option("--out", type=cliutil.PATH, required=True, help="Run directory to make (or to --resume).")
@click.option(
    "--method",
    type=click.Choice([DIPS, *METHODS]),
    help="DiPS, or a baseline to compare it with.  [default: dips]",
)
@click.option(
    "--preset",
    type=click.Choice(["edge", "paper"]),
    help="Light, for boards; or as published.  [default: edge]",
)
@click.option("--sst", metavar="NAME", help="timm transformer; edge: vit_small_patch14_dinov2.lvd142m.")
@click.option("--sst-weights", metavar="FILE", help="Its .safetensors; without it timm downloads them.")
@click.option("--encoder", metavar="NAME", help="timm encoder of the localizer.")
@click.option("--encoder-weights", metavar="FILE", help="Its .safetensors, or `none` for random weights.")
@click.option("--classifier", type=click.Choice(["cnn", "linear"]), help="What scores the proposals.")
@click.option("--epochs", type=click.IntRange(1), help="Passes over the photos, polish apart.")
@click.option(
    "--batch-size", type=click.IntRange(1), help="Photos per step over all processes; in polish half."
)
@click.option("--size", type=click.IntRange(32), help="Side of the training crop, px, a multiple of 32.")
@click.option("--eval-size", type=click.IntRange(32), help="Side at val, test and in flight, px.")
@click.option("--seed", type=click.IntRange(0), help="Same seed, same machine: same result.")
@click.option(
    "--select",
    type=click.Choice(["auto", "boxes", "protocol", "separation", "proposals", "last", "accuracy"]),
    help="What picks the best epoch on val; auto: boxes when val has them, over a stretch of thresholds "
    "(protocol: at the best one, as baselines do). Without: separation of photos with an object from those "
    "without, the last with under 10 of either; class accuracy of a baseline.",
)
@click.option("--negative-class", metavar="NAME", help="Class without any object.  [default: background]")
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
@click.option(
    "--reuse",
    type=cliutil.PATH,
    multiple=True,
    metavar="RUN",
    help="Take over what this run of DiPS on the same photos would compute alike; repeatable.",
)
@click.option("--verify", is_flag=True, help="First compare DATA with its manifest, hash by hash.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out where it stopped.")
def train(
    data: Path,
    out: Path,
    method: str | None,
    preset: str | None,
    assignments: Sequence[str],
    device: str,
    threads: int,
    workers: int,
    reuse: Sequence[Path],
    verify: bool,
    resume: bool,
    **flags: Any,
) -> None:
    """Train a localizer on the photos in DATA, from image labels only.

    With --method a baseline is trained in its place, with the same photos, figures and report; its settings
    are others, and `--set` lists them when it meets an unknown one.

    Flags that are not given take the preset's value; RUN/config.toml lists every setting of a run. A run
    can be stopped at any moment and goes on with --resume. Several GPUs or machines:
    torchrun --nproc-per-node 2 --no-python dips-edge train DATA --out RUN

    With --reuse a new run takes over attention, classifier and proposals of an earlier one, finished or not,
    where its settings give the same; the result is the same as without.
    """
    let_idle_threads_sleep()
    method = method_of(out, method, resume=resume)
    if reuse and resume:
        raise UsageError("--reuse is for a new run; what a run has taken over stays, so leave it out")
    if method != DIPS:
        if reuse:
            raise UsageError(f"--reuse means nothing to {method}: it is for runs of DiPS")
        changes = gather_settings(flags, assignments, settings_of(method), method)
        made = resumed(out, preset, changes) if resume else configured(method, preset, changes)
        from train.baselines.run import train_baseline

        with _telling_how_to_go_on(data, out):
            train_baseline(
                data, out, made, resume=resume, device=device, threads=threads, workers=workers, verify=verify
            )
        return
    from train.config import preset_config
    from train.settings import override

    changes = gather_settings(flags, assignments)
    if resume:
        config = resumed_config(out, preset, changes)
    else:
        config = override(preset_config(preset or "edge"), changes)
    # Only now torch, which takes seconds to load: flags that cannot work have been told.
    from train.run import train_run

    with _telling_how_to_go_on(data, out):
        train_run(
            data,
            out,
            config,
            resume=resume,
            device=device,
            threads=threads,
            workers=workers,
            verify=verify,
            reuse=reuse,
        )


@contextlib.contextmanager
def _telling_how_to_go_on(data: Path, out: Path) -> Iterator[None]:
    """After Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        if (out / "config.toml").exists() and os.environ.get("RANK", "0") == "0":
            click.echo(f"stopped; go on with `dips-edge train {data} --out {out} --resume`", err=True)
        raise


def gather_settings(
    flags: Mapping[str, Any],
    assignments: Sequence[str],
    settings: Mapping[str, str] = SETTINGS,
    method: str = DIPS,
) -> dict[str, Any]:
    """Flags that were given and `KEY=VALUE` texts as one dict of dotted keys; of equal texts the last wins.

    Args:
        settings: of `method`, by flag: which setting each stands for.

    Raises:
        UsageError: a text that is no assignment, or one that contradicts a flag; a flag that `method` does
            not have.
    """
    changes: dict[str, Any] = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals or not key:
            raise UsageError(f"--set {text!r}: expected KEY=VALUE, like losses.cls=0.2")
        if key == "preset":
            raise UsageError(f"--set {text}: a preset is many settings; use --preset {value.strip()}")
        changes[key] = value.strip()
    for name, value in flags.items():
        if value is None:
            continue
        flag = name.replace("_", "-")
        if name not in settings:
            has = ", ".join(f"--{other.replace('_', '-')}" for other in settings)
            raise UsageError(f"--{flag} means nothing to {method}, which has {has}")
        key = settings[name]
        if key in changes and changes[key] != str(value):
            raise UsageError(f"--{flag} {value} contradicts --set {key}={changes[key]}; give one of them")
        changes[key] = value
    return changes


def resumed_config(out: Path, preset: str | None, changes: Mapping[str, Any]) -> TrainConfig:
    """The run's own configuration, once it is clear that what was asked for agrees with it.

    Raises:
        UsageError: `out` holds no run, or a setting differs from the run's.
    """
    from train.config import read_run_config

    stored = read_run_config(out)
    refuse_other_settings(out, stored, {**changes, **({} if preset is None else {"preset": preset})})
    return stored


def refuse_other_settings(out: Path, stored: DataclassInstance, changes: Mapping[str, Any]) -> None:
    """Raise UsageError when `changes` ask for anything else than the run's own settings."""
    from train.settings import override, refuse_differences

    refuse_differences(out, stored, override(stored, changes))


def let_idle_threads_sleep() -> None:
    """Must run before torch is imported: OpenMP's waiting threads sleep instead of spinning.

    libgomp's default is to spin, which on a machine that is busy with other work keeps the cores from
    the very thread being waited for (measured in train/README.md). A value the user set stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
