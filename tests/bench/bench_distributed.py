"""One process against several: `python -m tests.bench.bench_distributed [DATA]`.

Trains DATA (or rendered photos) with each number of processes from nothing, one torch thread each, and says
seconds and photos per second of each stage, with the speed-up against one process. Exits 1 where attention
of several processes differs from one's in any bit.
The clock is the wall's: on a machine busy with other work the figures say little, and the load is printed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from train.data.dataset import load_dataset

STAGES = ("attention", "proposals", "classifier", "localizer")
COMMAND = [sys.executable, "-m", "edge_runtime"]
EXACT = ("attention.f16", "features.f16")
SMALL = {
    "sst.name": "vit_tiny_patch16_224",
    "sst.weights": "none",
    "sst.size": "224",
    "localizer.encoder_weights": "none",
    "localizer.eval_size": "224",
    "classifier.epochs": "1",
    "optim.epochs": "1",
    "polish.epochs": "0",
    "optim.batch_size": "8",
    "classifier.batch_size": "8",
}


@click.command(context_settings={"show_default": True})
@click.argument("data", type=click.Path(exists=True, path_type=Path), required=False)
@click.option("--processes", default="1,2", help="Numbers of processes, the first of them 1.")
@click.option("--photos", default=24, help="Train photos of each class to render without DATA.")
@click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Settings of `dips-edge train`."
)
@click.option("--device", default="cpu", help="cpu, or cuda: one GPU a process.")
def main(data: Path | None, processes: str, photos: int, assignments: tuple[str, ...], device: str) -> None:
    """Print one row per stage and number of processes."""
    counts = [int(word) for word in processes.split(",")]
    settings = {**SMALL, **dict(text.split("=", 1) for text in assignments)}
    with tempfile.TemporaryDirectory() as folder:
        root = data or _rendered(Path(folder) / "photos", photos)
        dataset = load_dataset(root)
        train = len(dataset.splits["train"])
        both = [photo.label for split in ("train", "val") for photo in dataset.splits[split]]
        shown = sum(label != dataset.negative for label in both)  # to the transformer, and to be scored
        epochs = {
            "classifier": int(settings["classifier.epochs"]),
            "localizer": int(settings["optim.epochs"]),
        }
        work = {stage: train * epochs[stage] if stage in epochs else shown for stage in STAGES}
        click.echo(
            f"{len(both)} photos of train and val, {shown} of them with an object, {train} of train; "
            f"{os.cpu_count()} cores; one thread a process"
        )
        click.echo(
            f"{'stage':<11} {'processes':>9} {'s':>8} {'photos/s':>9} {'speed-up':>9}   load of the machine"
        )
        first: dict[str, float] = {}
        for count in counts:
            run = _train(root, Path(folder) / f"run{count}", count, settings, device)
            if count > 1 and (differing := _differing(Path(folder) / f"run{counts[0]}", run)):
                raise SystemExit(f"{count} processes: {', '.join(differing)} differ from one process")
            seconds = json.loads((run / "seconds.json").read_text())
            for stage in STAGES:
                taken = max(seconds[stage], 0.05)
                rate = work[stage] / taken
                ratio = first.setdefault(stage, taken) / taken
                load = os.getloadavg()[0]
                click.echo(f"{stage:<11} {count:>9} {taken:8.1f} {rate:9.1f} {ratio:8.2f} x   {load:.1f}")


def _rendered(root: Path, photos: int) -> Path:
    few = str(max(4, photos // 6))
    command = [
        *COMMAND,
        "synth",
        str(root),
        "--train",
        str(photos),
        "--val",
        few,
        "--test",
        "0",
        "--clips",
        "0",
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return root


def _train(root: Path, run: Path, processes: int, settings: dict[str, str], device: str) -> Path:
    torchrun = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}"]
    start = COMMAND if processes == 1 else [*torchrun, "-m", "edge_runtime"]
    flags = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    command = [*start, "train", str(root), "--out", str(run), "--device", device, "--threads", "1", *flags]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    return run


def _differing(one: Path, many: Path) -> list[str]:
    return [name for name in EXACT if (one / name).read_bytes() != (many / name).read_bytes()]


if __name__ == "__main__":
    main()
