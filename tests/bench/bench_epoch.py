"""What a photo costs in an epoch of a finished run, part by part, and what keeping the attention saves.

python -m tests.bench.bench_epoch RUN DATA --threads 1

Parts come from RUN/seconds.json. Attention is timed here on photos of the run, in turn: read from the store
and cut to the view, as training does it, against the transformer on the same photos, which has to run in
every iteration where nothing is kept.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
import torch

from edge_runtime.preprocess import resize_frame
from train.attention_store import DONE, AttentionStore
from train.config import read_run_config
from train.data.dataset import load_dataset
from train.data.imageio import read_image_bgr
from train.data.loader import epoch_batches
from train.sst import SelfSupervisedTransformer
from train.tensors import choose_device, stack_images

if TYPE_CHECKING:
    from train.config import TrainConfig
    from train.data.types import Dataset

STEP_PARTS = ("seeds", "forward", "cls", "crf", "backward")
POLISH_PARTS = ("polish forward", "polish backward")
HARVEST = ("attention", "proposals")


@click.command(context_settings={"show_default": True})
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--threads", default=1, help="Of torch.")
@click.option("--batches", default=6, help="Batches that are timed.")
@click.option("--device", default="auto")
def main(run: Path, data: Path, threads: int, batches: int, device: str) -> None:
    """Print both tables."""
    torch.set_num_threads(threads)
    config = read_run_config(run)
    dataset = load_dataset(data, negative_class=config.negative_class or None, seed=config.seed)
    seconds: dict[str, float] = json.loads((run / "seconds.json").read_text(encoding="utf-8"))
    _say_parts(seconds, config, dataset)
    _say_harvest(run, config, dataset, batches, choose_device(device))


def _say_parts(seconds: dict[str, float], config: TrainConfig, dataset: Dataset) -> None:
    train, optim, polish = dataset.splits["train"], config.optim, config.polish
    views = _photos(config, dataset, optim.batch_size) * optim.epochs
    polished = _photos(config, dataset, polish.batch_size) * polish.epochs
    first, every = config.selftrain.from_epoch, config.selftrain.every
    rounds = len(range(first - 1, optim.epochs, every)) if first else 0
    shown = sum(photo.label != dataset.negative for photo in train)
    counts = dict.fromkeys(STEP_PARTS, views) | dict.fromkeys(POLISH_PARTS, polished)
    counts["own maps"] = shown * (rounds + (len(polish.sizes) if polish.epochs else 0))
    rows = {name: (seconds.get(f"localizer/{name}", 0.0), count) for name, count in counts.items() if count}
    named = sum(v for k, v in seconds.items() if k.startswith("localizer/"))
    rows["loading, writing"] = (seconds["localizer"] - named, views + polished)
    looks = (optim.epochs + polish.epochs) * len(dataset.splits["val"])
    rows["look at val"] = (seconds.get("localizer/val", 0.0), looks)
    click.echo(f"{optim.epochs} epochs of {views // optim.epochs} views, batches of {optim.batch_size}")
    if polish.epochs:
        click.echo(f"{polish.epochs} of polish, of {polished // polish.epochs}, of {polish.batch_size}")
    click.echo(f"{'part':<18}{'s in all':>10}{'photos':>9}{'ms a photo':>12}{'share':>8}")
    for name, (spent, count) in rows.items():
        share = 100 * spent / seconds["localizer"]
        click.echo(f"{name:<18}{spent:10.1f}{count:9}{1e3 * spent / max(count, 1):12.1f}{share:7.1f} %")
    once = [photo for split in ("train", "val") for photo in dataset.splits[split]]
    shown = sum(photo.label != dataset.negative for photo in once)
    for name in HARVEST:
        spent = seconds.get(name, 0.0)
        click.echo(f"{name + ', once':<18}{spent:10.1f}{shown:9}{1e3 * spent / max(shown, 1):12.1f}")


def _photos(config: TrainConfig, dataset: Dataset, batch_size: int) -> int:
    """How many photos an epoch shows."""
    labels = [photo.label for photo in dataset.splits["train"]]
    drawn = epoch_batches(labels, dataset.negative, config.optim.negatives, batch_size, config.seed, 0)
    return sum(map(len, drawn))


def _say_harvest(
    run: Path, config: TrainConfig, dataset: Dataset, batches: int, device: torch.device
) -> None:
    photos = [*dataset.splits["train"], *dataset.splits["val"]]
    sst = SelfSupervisedTransformer(config.sst, device)
    store = AttentionStore(run, photos, (sst.maps, *sst.grid), sst.features)
    count = len(dataset.splits["train"])
    usable = [i for i in range(count) if store.done[i] == DONE and photos[i].label != dataset.negative]
    chosen = np.random.default_rng(0).permutation(usable)[: batches * config.optim.batch_size]
    parts = np.array_split(chosen, batches)
    side, crop = config.sst.size, config.localizer.size
    sst(stack_images([resize_frame(read_image_bgr(photos[chosen[0]].path), side, side)]))  # warm
    kept = anew = 0.0
    for part in parts:
        begin = time.perf_counter()
        maps = torch.from_numpy(np.stack([np.asarray(store.maps[i, 0], np.float32) for i in part]))
        torch.nn.functional.interpolate(maps[:, None], size=crop, mode="bilinear")
        kept += time.perf_counter() - begin
        shown = stack_images([resize_frame(read_image_bgr(photos[i].path), side, side) for i in part])
        begin = time.perf_counter()
        sst(shown)[0].cpu()  # without decoding, which training does anyway
        anew += time.perf_counter() - begin
    kept, anew, epochs = kept / len(chosen), anew / len(chosen), config.optim.epochs
    harvested = anew / epochs + kept
    click.echo(f"\nattention of {len(chosen)} photos at {side} px, ms a photo and iteration")
    click.echo(f"the transformer in every iteration         {1e3 * anew:9.2f}")
    click.echo(f"kept: read and cut to the view             {1e3 * kept:9.2f}")
    click.echo(f"kept, with a {epochs}th of the transformer's time{1e3 * harvested:9.2f}")
    click.echo(
        f"recomputing costs {anew / harvested:.1f} x as much over this run, {anew / kept:.0f} x after it"
    )


if __name__ == "__main__":
    main()
