"""Fit the classifier on image labels: fine-tune a CNN, or a linear head on stored SST features."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from edge_runtime.progress import Progress
from train.data.imageio import read_image_bgr
from train.data.loader import PhotoLoader, epoch_batches
from train.logistic import fit_layer
from train.tensors import autocast, normalise, speed_up_training, stack_images
from train.views import WHOLE, draw_view, render, rng_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from train.classifier import Classifier, SstLinear
    from train.config import TrainConfig
    from train.data.types import Image
    from train.distributed import World

VIEW_STREAM = 2
CROP = (0.6, 1.0)
LINEAR_PULL = 1e-3  # towards zero
BATCH = 16  # photos per look at val
_log = logging.getLogger(__name__)


def fine_tune(
    classifier: Classifier,
    images: Sequence[Image],
    config: TrainConfig,
    device: torch.device,
    world: World,
    workers: int,
    on_skip: Callable[[int, str], None] | None = None,
) -> float:
    """Train a CNN classifier in place with AdamW and a cosine schedule.

    Returns:
        Mean training loss of the last epoch.
    """
    settings = config.classifier

    def load(epoch: int, index: int) -> tuple[NDArray[np.uint8], int]:
        view = draw_view(rng_for(config.seed, epoch, index, VIEW_STREAM), CROP)
        return render(read_image_bgr(images[index].path), view, settings.size)[0], images[index].label

    torch.manual_seed(config.seed)  # dropout and stochastic depth
    classifier.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    speed_up_training(classifier, device)
    model = world.wrap(classifier)
    optimizer = torch.optim.AdamW(
        _groups(classifier, settings.head_lr), settings.lr, weight_decay=settings.weight_decay
    )
    scaler = torch.amp.GradScaler(device.type, enabled=device.type == "cuda")
    base = [group["lr"] for group in optimizer.param_groups]
    labels = [image.label for image in images]
    mean = 0.0
    with PhotoLoader(load, workers, on_skip) as loader:
        for epoch in range(settings.epochs):
            batches = epoch_batches(labels, None, 1.0, settings.batch_size, config.seed, epoch)
            losses = []
            with Progress(f"classifier {epoch + 1}/{settings.epochs}", len(batches), world.main) as progress:
                for step, items in enumerate(loader(epoch, batches, world)):
                    factor = _cosine((epoch + (step + 1) / len(batches)) / settings.epochs)
                    for group, lr in zip(optimizer.param_groups, base, strict=True):
                        group["lr"] = lr * factor
                    losses.append(
                        _teach(model, classifier, items, optimizer, scaler, world.weight(len(items)))
                    )
                    mean = float(np.mean(losses))
                    progress.step(f"loss {mean:.3f}")
    classifier.freeze()
    return mean


def _cosine(done: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * done))


def _teach(
    model: nn.Module,
    classifier: Classifier,
    items: Sequence[tuple[NDArray[np.uint8], int]],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    weight: float,
) -> float:
    """One step; `model` is the classifier, or its wrapper that averages gradients over processes.

    `weight`: of these items among those of all processes.
    """
    device = next(classifier.parameters()).device
    x = normalise(stack_images([i for i, _ in items]).to(device), classifier.mean, classifier.std)
    y = torch.tensor([label for _, label in items], device=device)
    with autocast(device):
        logits = model(x.contiguous(memory_format=torch.channels_last))
    loss = F.cross_entropy(logits.float(), y)
    optimizer.zero_grad()
    scaler.scale(weight * loss).backward()  # type: ignore[no-untyped-call]
    scaler.step(optimizer)
    scaler.update()
    return loss.item()


def _groups(classifier: Classifier, head_lr: float) -> list[dict[str, object]]:
    head = {id(p) for p in classifier.net.get_classifier().parameters()}  # type: ignore[operator]
    return [
        {"params": [p for p in classifier.parameters() if id(p) not in head]},
        {"params": [p for p in classifier.parameters() if id(p) in head], "lr": head_lr},
    ]


def fit_linear(classifier: Classifier, features: Tensor, labels: Tensor) -> float:
    """Fit the linear head on standardised CLS features with L-BFGS and a small L2 penalty.

    Args:
        features: (n, F) float32. labels: (n,) int64.

    Returns:
        Mean training loss of the fitted head, without the penalty.
    """
    net: SstLinear = classifier.net  # type: ignore[assignment]
    net.feature_mean = features.mean(0)
    net.feature_std = features.std(0).clamp_min(1e-6)
    start = torch.zeros_like(net.head.weight), torch.zeros_like(net.head.bias)
    weight, bias = fit_layer(*start, (features - net.feature_mean) / net.feature_std, labels, LINEAR_PULL)
    with torch.no_grad():
        net.head.weight.copy_(weight)
        net.head.bias.copy_(bias)
    classifier.freeze()
    with torch.no_grad():
        return float(F.cross_entropy(net.classify(features), labels))


def classifier_accuracy(classifier: Classifier, images: Sequence[Image], workers: int) -> float:
    """Percent of readable photos whose most probable class is their label."""

    def load(_epoch: int, index: int) -> tuple[NDArray[np.uint8], int]:
        return render(read_image_bgr(images[index].path), WHOLE, classifier.size)[0], images[index].label

    right = total = 0
    batches = [list(range(i, min(i + BATCH, len(images)))) for i in range(0, len(images), BATCH)]
    with PhotoLoader(load, workers) as loader:
        for items in loader.tolerant(0, batches):
            if items:
                guess = classifier.probabilities([i for i, _ in items]).argmax(1).numpy()
                right += int((guess == np.array([label for _, label in items])).sum())
                total += len(items)
    return 100.0 * right / max(1, total)
