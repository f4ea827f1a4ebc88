"""`dips-edge compare DATA --methods dips,cam,... --out DIR`: one table of several methods and seeds.

flags ──▶ Plan ──runs, one process each──▶ DIR/runs/ ──▶ DIR/table.md, table.csv, compare.html
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import click

from edge_runtime import cliutil
from edge_runtime.errors import TrainingError
from train.baselines.methods import CNN, DIPS, METHODS, VIT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

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
    required=True,
    metavar="NAMES",
    help=f"Comma between them, or all: {', '.join((DIPS, *METHODS))}.",
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
    help="A setting of one method; repeatable.",
)
@click.option("--device", default="auto", help="auto, cpu, cuda or cuda:N.")
@click.option("--threads", type=click.IntRange(0), default=0, help="torch threads; 0: every core.")
@click.option("--workers", type=click.IntRange(1), default=2, help="Threads that decode photos.")
def compare(
    data: Path,
    out: Path,
    methods: str,
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
    """
    from train.commands.train import let_idle_threads_sleep

    let_idle_threads_sleep()  # before torch is imported
    from train.compare.plan import Plan, enlist, parse_methods, split_settings

    names = parse_methods(methods)
    own = split_settings(assignments, names)
    arguments = {name: [*_given(name, flags), *_assigned(own.get(name, []))] for name in names}
    for name in names:
        check_arguments(name, flags, own.get(name, []))
    if seeds < 3:
        log.warning("fewer than 3 seeds say little about the spread")
    plan = enlist(out, Plan(str(data.resolve()), seeds, arguments))
    from train.compare.page import write_comparison
    from train.compare.results import gather
    from train.compare.runner import run_jobs
    from train.dataset import load_dataset

    dataset = load_dataset(data, negative_class=flags["negative_class"], splits=("val", "test"))
    common = ["--device", device, "--threads", str(threads), "--workers", str(workers)]
    failed = run_jobs(out, plan, common)
    rows = gather(out, plan, failed)
    if not any(row.runs for row in rows):
        first = next(iter(failed.values()))
        raise TrainingError(f"not one run ended well; the first said: {first}")
    click.echo(str(write_comparison(out, rows, dataset, workers)))


def check_arguments(method: str, flags: Mapping[str, Any], assignments: Sequence[str]) -> None:
    """Tell flags that cannot work before the first run. Raises UsageError."""
    from train.commands.baseline import configured, settings_of
    from train.commands.train import SETTINGS, gather_settings

    settings = SETTINGS if method == DIPS else settings_of(method)
    given = {name: flags[name] for name in _names(method, flags) if name != "preset"}
    changes = gather_settings(given, assignments, settings, method)
    if method == DIPS:
        from train.config import override, preset_config
        from train.config_limits import check_limits

        check_limits(override(preset_config(flags["preset"] or "edge"), changes))
    else:
        from train.baselines.config import check_baseline

        check_baseline(configured(method, flags["preset"], changes))


def _names(method: str, flags: Mapping[str, Any]) -> list[str]:
    kind = DIPS if method == DIPS else METHODS[method].backbone
    return [name for name, value in flags.items() if value is not None and kind in FOR_KINDS[name]]


def _given(method: str, flags: Mapping[str, Any]) -> list[str]:
    pairs = [(f"--{name.replace('_', '-')}", str(flags[name])) for name in _names(method, flags)]
    return [word for pair in pairs for word in pair]


def _assigned(assignments: Sequence[str]) -> list[str]:
    return [word for assignment in assignments for word in ("--set", assignment)]
