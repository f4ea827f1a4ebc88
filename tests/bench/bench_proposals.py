"""What each kind of map proposes on val, before any classifier or training: how often its boxes are right.

python -m tests.bench.bench_proposals DATA --sst NAME --sst-weights FILE --sizes 336,448,616

"First" is the largest box of a photo, "any" the best of all its boxes; shares of val photos with an object.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click
import cv2
import numpy as np
import torch

from edge_runtime.preprocess import resize_frame
from train.config import SstConfig, TrainConfig
from train.data.dataset import load_dataset
from train.data.imageio import read_image_bgr
from train.distributed import World
from train.evaluation.split_scores import box_ious, true_boxes
from train.proposals import MAP_SIDE, find_boxes
from train.prototypes import background_prototypes
from train.shared import Run
from train.sst import SelfSupervisedTransformer
from train.tensors import stack_images

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from train.data.types import Dataset, Image

    Maps = list[NDArray[np.float32]]  # (maps, rows, columns) per photo

IOUS = (0.3, 0.5, 0.7)


def main_maps(dataset: Dataset, images: Sequence[Image], config: SstConfig) -> dict[str, Maps]:
    """Maps of every kind at one input size, by kind."""
    sst = SelfSupervisedTransformer(dataclasses.replace(config, maps="both"), torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainConfig(sst=sst.config)
        run = Run(Path(folder), settings, dataset, sst.device, World(), 1)
        sst.prototypes = background_prototypes(run, sst)
    photos = (resize_frame(read_image_bgr(i.path), config.size, config.size) for i in images)
    maps = [sst(stack_images([photo]))[0][0].numpy() for photo in photos]
    return {
        "attention, mean of heads": [m[1:2] for m in maps],
        "attention, mean and heads": [m[1:] for m in maps],
        "tokens": [m[:1] for m in maps],
    }


def fused(kinds: Sequence[Maps]) -> Maps:
    """The mean over input sizes of maps of one kind."""

    def large(maps: NDArray[np.float32]) -> NDArray[np.float32]:
        side = (MAP_SIDE, MAP_SIDE)
        return np.stack([cv2.resize(m, side, interpolation=cv2.INTER_LINEAR) for m in maps])

    return [np.mean([large(m) for m in same_photo], axis=0) for same_photo in zip(*kinds, strict=True)]


def row(name: str, maps: Maps, images: Sequence[Image]) -> str:
    """One line of the table."""
    first, best, count = [], [], []
    for found, image in zip(maps, images, strict=True):
        boxes = find_boxes(found, TrainConfig().proposals)
        ious = box_ious(np.array([p.box for p in boxes]).reshape(-1, 4), true_boxes(image))
        first.append(ious[0].max() if boxes else 0.0)
        best.append(ious.max() if boxes else 0.0)
        count.append(len(boxes))
    cells = [" / ".join(f"{100 * np.mean(np.array(v) >= d):.0f}" for d in IOUS) for v in (first, best)]
    return f"| {name} | {cells[0]} | {cells[1]} | {np.mean(count):.1f} |"


@click.command(help=__doc__)
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--sst", default=SstConfig().name)
@click.option("--sst-weights", default="")
@click.option("--sizes", default="448", help="Input sides, px, comma between them.")
def main(data: Path, sst: str, sst_weights: str, sizes: str) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    dataset = load_dataset(data)
    images = [image for image in dataset.splits["val"] if image.label != dataset.negative]
    print("| maps | first box, IoU .3 / .5 / .7 | any box | boxes per photo |\n|---|---|---|---|")
    tokens: list[Maps] = []
    for size in (int(text) for text in sizes.split(",")):
        kinds = main_maps(dataset, images, SstConfig(sst, sst_weights, size))
        tokens.append(kinds["tokens"])
        for kind, maps in kinds.items():
            print(row(f"{kind}, {size} px", maps, images), flush=True)
    if len(tokens) > 1:
        print(row(f"tokens, mean over {sizes} px", fused(tokens), images))


if __name__ == "__main__":
    main()
