"""The class layer, fitted once more when the epochs are over, on whole train photos at the size of flight.

RUN/best, RUN/last ──encoder, mean over the map──▶ features (n, C) ──logistic regression──▶ the same files

Training shows crops at one size, flight whole photos at another; features then have other statistics than the
layer learned (Touvron et al., "Fixing the train-test resolution discrepancy", 2019). Maps stay as they are.
"""

from __future__ import annotations

import copy
import logging
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from edge_runtime.progress import counted
from train.checkpoint import FILES, load_tensors, save_tensors
from train.evaluation.predict import BATCH, predict_batches
from train.localizer import load_localizer
from train.logistic import fit_layer
from train.tensors import normalise, same_weights, stack_images

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from train.config import TrainConfig
    from train.data.types import Image
    from train.localizer import Localizer
    from train.shared import Run

PULL = 0.1  # towards the weights of before: keeps the layer from being too sure
MOST = 20_000  # photos, evenly spread over those there are
KEYS = ("class_head.1.weight", "class_head.1.bias")
MARK = "class_head"  # in the header of a checkpoint
_log = logging.getLogger(__name__)


def refit_class_heads(run: Run[TrainConfig], unreadable: Sequence[str] = ()) -> None:
    """Fit the class layer of both checkpoints, unless that is done; each file is replaced whole.

    Args:
        unreadable: ids of photos that need not be tried.

    Raises:
        DatasetError: not one train photo could be read. TrainingError: no space on the disk.
    """
    bad = set(unreadable)
    images = [image for image in run.dataset.splits["train"] if image.image_id not in bad]
    if len(run.dataset.classes) < 2:
        return
    if len(images) > MOST:
        images = [images[i] for i in np.linspace(0, len(images) - 1, MOST).round().astype(int)]
    seen: tuple[Localizer, Tensor, Tensor] | None = None
    for which, name in FILES.items():
        tensors, meta = load_tensors(run.out / name)
        if meta.get(MARK) == "refit":
            continue
        model = load_localizer(run.out, which)
        if seen is None or not same_weights(model, seen[0]):
            on_device = copy.deepcopy(model).to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            seen = (model, *_features(run, on_device, images))
        _, features, labels = seen
        start = [part.detach().cpu() for part in model.class_head[1].parameters()]
        weight, bias = (part.double() for part in start)
        fitted = [part.float() for part in fit_layer(weight, bias, features.double(), labels, PULL)]
        for key, value in zip(KEYS, fitted, strict=True):
            tensors |= {p + key: value.clone() for p in ("model.", "ema.") if p + key in tensors}
        save_tensors(run.out / name, tensors, {**meta, MARK: "refit"})
        before, after = (_percent(layer, features, labels) for layer in (start, fitted))
        side = run.config.localizer.eval_size
        _log.info(
            "class head of %s at %d px: %.1f %% of train right, before %.1f", which, side, after, before
        )


def _features(run: Run[TrainConfig], model: Localizer, images: Sequence[Image]) -> tuple[Tensor, Tensor]:
    """What the class layer sees (n, C) float32 of the photos that can be read, and their classes."""

    def infer(
        frames: list[NDArray[np.uint8]], _photos: list[Image]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        x = normalise(stack_images(frames).to(run.device), model.mean, model.std)
        with torch.inference_mode():
            found = model.class_features(x.contiguous(memory_format=torch.channels_last)).cpu().numpy()
        return found, found

    side, watch = run.config.localizer.eval_size, run.quarantine.watch(images)
    seen = predict_batches(infer, images, (side, side), BATCH, run.workers, watch)
    rows = [(image.label, feature) for image, feature, _ in counted(seen, "class head", len(images))]
    return torch.from_numpy(np.stack([f for _, f in rows])), torch.tensor([label for label, _ in rows])


def _percent(layer: Sequence[Tensor], features: Tensor, labels: Tensor) -> float:
    return 100 * float((F.linear(features, layer[0], layer[1]).argmax(1) == labels).float().mean())
