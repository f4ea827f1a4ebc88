"""Background prototypes: kinds of patches on photos without the object. What is unlike them all may be it.

negative train photos ──ViT──▶ some patch tokens of each ──k-means on the sphere──▶ RUN/prototypes.safetensors

On photos of power lines, towers and wires are attended to as much as insulators are; they also stand on the
photos of the negative class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from edge_runtime.preprocess import resize_frame
from edge_runtime.progress import Progress
from train.attention_store import BATCH
from train.checkpoint import load_tensors, save_tensors
from train.data.imageio import read_image_bgr
from train.data.loader import PhotoLoader
from train.tensors import stack_images

if TYPE_CHECKING:
    from numpy import uint8
    from numpy.typing import NDArray
    from torch import Tensor

    from train.config import TrainConfig
    from train.shared import Run
    from train.sst import SelfSupervisedTransformer

FILE = "prototypes.safetensors"
PHOTOS = 128  # negative photos looked at, spread over all of them
PATCHES = 200  # drawn from each
ROUNDS = 25  # of k-means
SEED = 0  # not the run's: maps are the same for all seeds and may be shared by their runs


def background_prototypes(run: Run[TrainConfig], sst: SelfSupervisedTransformer) -> Tensor | None:
    """(K, dim) float32 of length 1, made once per run; None where maps of tokens know no background.

    Rank 0 makes them; every process reads the same file.
    """
    config, path = run.config.sst, run.out / FILE
    if run.dataset.negative is None or config.maps not in ("tokens", "both") or not config.prototypes:
        return None
    if run.world.main and not path.exists():
        tokens = _tokens(run, sst)
        if len(tokens):
            found = kmeans(tokens, config.prototypes, torch.Generator().manual_seed(SEED))
            save_tensors(path, {"prototypes": found}, {"photos": PHOTOS, "patches": len(tokens)})
    run.world.barrier()
    return load_tensors(path)[0]["prototypes"] if path.exists() else None


def _tokens(run: Run[TrainConfig], sst: SelfSupervisedTransformer) -> Tensor:
    """(n, dim) float32 tokens of length 1 from negative train photos, on the CPU."""
    train, side = run.dataset.splits["train"], sst.config.size
    negative = [image for image in train if image.label == run.dataset.negative]
    photos = negative[:: max(1, -(-len(negative) // PHOTOS))]

    def load(_epoch: int, index: int) -> NDArray[uint8]:
        return resize_frame(read_image_bgr(photos[index].path), side, side)

    generator = torch.Generator().manual_seed(SEED)
    batches = [list(range(i, min(i + BATCH, len(photos)))) for i in range(0, len(photos), BATCH)]
    kept = []
    with (
        PhotoLoader(load, run.workers, run.quarantine.watch(photos)) as loader,
        Progress("background", len(batches)) as progress,
    ):
        for images in loader.tolerant(0, batches):
            for tokens in sst.patch_tokens(stack_images(images)).cpu() if images else ():
                drawn = torch.randperm(len(tokens), generator=generator)[:PATCHES]
                kept.append(F.normalize(tokens[drawn], dim=-1))
            progress.step()
    return torch.cat(kept) if kept else torch.zeros(0, 1)


def kmeans(points: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Spherical k-means: directions that each point has one near to.

    Args:
        points: (n, dim) float32 of length 1, n >= 1.

    Returns:
        (min(count, n), dim) float32 of length 1. A centre that lost its points begins anew at a random one.
    """
    centres = points[torch.randperm(len(points), generator=generator)[:count]]
    for _ in range(ROUNDS):
        nearest = (points @ centres.T).argmax(1)
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        empty = torch.bincount(nearest, minlength=len(centres)) == 0
        spare = points[torch.randint(len(points), (len(centres),), generator=generator)]
        centres = F.normalize(torch.where(empty[:, None], spare, sums), dim=-1)
    return centres
