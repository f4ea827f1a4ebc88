"""`dips-edge compare DATA --methods dips,cam,... --out DIR`: one table of several methods and seeds.

flags, ablations ──▶ Plan ──runs, one process each──▶ DIR/runs/ ──▶ DIR/table.md, table.csv, compare.html
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import click

from edge_runtime import cliutil
from edge_runtime.errors import TrainingError, UsageError
from train.baselines.methods import CNN, DIPS, METHODS, VIT
from train.compare.ablations import ALL, GROUPS, is_dips, parse_groups, settings_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from train.config import TrainConfig

log = logging.getLogger(__name__)

# flag: for which methods it is a flag of `train`, by the kind of their backbone
FOR_KINDS: Mapping[str, tuple[str, ...]] = {
    "preset": (DIPS, CNN, VIT, "none"),
    "encoder": (DIPS, CNN),
    "encoder_weights": (DIPS, CNN),
    "sst": (DIPS, VIT),
    "sst_weights": (DIPS, VIT),
    "epochs": (DIPS, CNN, VIT, "none"),
    "batch_size": (DIPS, CNN, VIT, "none"),
    "negative_class": (DIPS, CNN, VIT, "none"),
}


@cliutil.command("compare")
@click.argument("data", type=cliutil.PATH)
@click.option("--out", type=cliutil.PATH, required=True, metavar="DIR", help="Where all of it goes.")
@click.option(
    "--methods",
    metavar="NAMES",
    help=f"Comma between them, or all: {', '.join((DIPS, *METHODS))}.  [default with --ablate: dips]",
)
@click.option(
    "--ablate",
    metavar="GROUPS",
    help=f"Also DiPS with some settings changed; comma between them, or {ALL}: {', '.join(GROUPS)}.",
)
@click.option("--seeds", type=click.IntRange(1), default=3, help="How many, from 0.")
@click.option("--preset", type=click.Choice(["edge", "paper"]), help="Of every method.  [default: edge]")
@click.option("--encoder", metavar="NAME", help="timm CNN of DiPS and of every CNN baseline.")
@click.option("--encoder-weights", metavar="FILE", help="Its .safetensors; without it timm downloads them.")
@click.option("--sst", metavar="NAME", help="timm transformer of DiPS, sst and tscam (its default: DeiT-S).")
@click.option("--sst-weights", metavar="FILE", help="Its .safetensors.")
@click.option("--epochs", type=click.IntRange(1), help="Of every method.")
@click.option("--batch-size", type=click.IntRange(1), help="Of every method.")
@click.option("--negative-class", metavar="NAME", help="Class without any object.  [default: background]")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="METHOD:KEY=VALUE",
    help="A setting of one method or ablation; repeatable. Those of dips are also its ablations'.",
)
@click.option("--device", default="auto", help="auto, cpu, cuda or cuda:N.")
@click.option("--threads", type=click.IntRange(0), default=0, help="torch threads; 0: every core.")
@click.option("--workers", type=click.IntRange(1), default=2, help="Threads that decode photos.")
def compare(
    data: Path,
    out: Path,
    methods: str | None,
    ablate: str | None,
    seeds: int,
    assignments: Sequence[str],
    device: str,
    threads: int,
    workers: int,
    **flags: Any,
) -> None:
    """Train and evaluate several methods on the photos in DATA, several seeds each, and make one table.

    Same photos, same evaluator, thresholds chosen on val, best and last checkpoints. Runs follow one another;
    the same command goes on where it was stopped, tries again what failed, and does nothing twice. More
    methods or seeds can be added later. DIR gets table.md, table.csv, compare.html and runs/METHOD-SEED/.

    With --ablate the table also has rows of DiPS with single parts left out or changed, and their differences
    to dips seed by seed. They take over what they can of its runs.
    """
    from train.commands.train import let_idle_threads_sleep

    let_idle_threads_sleep()  # before torch is imported
    from train.compare.older import other_defaults
    from train.compare.plan import Plan, enlist, split_settings
    from train.config_auto import resolve_method
    from train.data.dataset import load_dataset

    names, rows_asked = _asked(methods, ablate)
    own = split_settings(assignments, [*names, *rows_asked])
    for name in names:
        check_arguments(name, flags, own.get(name, []))
    arguments = {name: [*_given(name, flags), *_assigned(own.get(name, []))] for name in names}
    dataset = load_dataset(data, negative_class=flags["negative_class"], splits=("val", "test"))
    alone = dataset.negative is None
    settings = {DIPS: own.get(DIPS, [])} if DIPS in names else {}
    for name in rows_asked:
        changed = ablation_settings(name, flags, own, alone=alone)
        if changed is None:
            log.info("%s: the settings of dips here, so no row of its own", name)
        else:
            settings[name] = changed
            arguments[name] = [*_given(name, flags), *_assigned(changed)]
    if seeds < 3:
        log.warning("fewer than 3 seeds say little about the spread")
    plan = enlist(out, Plan(str(data.resolve()), seeds, arguments))
    today = {name: resolve_method(dips_config(flags, given), alone=alone) for name, given in settings.items()}
    for line in other_defaults(out, plan, today):
        log.warning("%s", line)
    from train.compare.page import write_comparison
    from train.compare.results import gather
    from train.compare.runner import run_jobs

    common = ["--device", device, "--threads", str(threads), "--workers", str(workers)]
    try:
        failed = run_jobs(out, plan, common)
    except KeyboardInterrupt:
        click.echo(f"stopped; the same command goes on, what is done stays in {out}", err=True)
        raise
    rows = gather(out, plan, failed)
    if not any(row.runs for row in rows):
        first = next(iter(failed.values()))
        raise TrainingError(f"not one run ended well; the first said: {first}")
    click.echo(str(write_comparison(out, rows, dataset, workers)))


def check_arguments(method: str, flags: Mapping[str, Any], assignments: Sequence[str]) -> None:
    """Tell flags that cannot work before the first run. Raises UsageError."""
    from train.commands.baseline import configured, settings_of
    from train.commands.train import gather_settings

    if method == DIPS:
        dips_config(flags, assignments)
        return
    from train.baselines.presets import check_baseline

    changes = gather_settings(_changed(method, flags), assignments, settings_of(method), method)
    check_baseline(configured(method, flags["preset"], changes))


def dips_config(flags: Mapping[str, Any], assignments: Sequence[str]) -> TrainConfig:
    """The settings of DiPS with these flags. Raises UsageError for what cannot work."""
    from train.commands.train import gather_settings
    from train.config import preset_config
    from train.config_limits import check_limits
    from train.settings import override

    changes = gather_settings(_changed(DIPS, flags), assignments)
    config = override(preset_config(flags["preset"] or "edge"), changes)
    check_limits(config)
    return config


def ablation_settings(
    name: str, flags: Mapping[str, Any], own: Mapping[str, Sequence[str]], *, alone: bool
) -> list[str] | None:
    """KEY=VALUE of an ablation: those given for dips, the row's, those given for the row; a later one wins.

    Args:
        own: KEY=VALUE by method or ablation. alone: the photos have no negative class.

    Returns:
        None where all of it is what dips does already.

    Raises:
        UsageError: settings that cannot work.
    """
    from train.config_auto import resolve_method

    given = own.get(DIPS, [])
    dips = resolve_method(dips_config(flags, given), alone=alone)
    row = [f"{key}={value}" for key, value in settings_for(name, dips).items()]
    settings = [*given, *row, *own.get(name, [])]
    changed = resolve_method(dips_config(flags, settings), alone=alone)
    return None if changed == dips else settings


def _asked(methods: str | None, ablate: str | None) -> tuple[list[str], list[str]]:
    """Names of methods and of ablations; with ablations there is always what they are compared with."""
    from train.compare.plan import parse_methods

    if methods is None and ablate is None:
        raise UsageError("nothing to compare: give --methods, like dips,cam, or --ablate, or both")
    names = [DIPS] if methods is None else parse_methods(methods)
    rows = [] if ablate is None else parse_groups(ablate)
    return (names if not rows or DIPS in names else [DIPS, *names]), rows


def _changed(method: str, flags: Mapping[str, Any]) -> dict[str, Any]:
    return {name: flags[name] for name in _names(method, flags) if name != "preset"}


def _names(method: str, flags: Mapping[str, Any]) -> list[str]:
    kind = DIPS if is_dips(method) else METHODS[method].backbone
    return [name for name, value in flags.items() if value is not None and kind in FOR_KINDS[name]]


def _given(method: str, flags: Mapping[str, Any]) -> list[str]:
    pairs = [(f"--{name.replace('_', '-')}", str(flags[name])) for name in _names(method, flags)]
    return [word for pair in pairs for word in pair]


def _assigned(assignments: Sequence[str]) -> list[str]:
    return [word for assignment in assignments for word in ("--set", assignment)]
