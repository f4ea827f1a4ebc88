"""Settings of a baseline's run: those of the localizer's where they mean the same, plus the method's own.

preset + what the method changes ──overridden by──▶ flags, --set ──▶ BaselineConfig ──▶ RUN/config.toml
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edge_runtime.errors import UsageError
from train.baselines.methods import METHODS, method_class
from train.config_limits import ABOVE_ZERO, AT_LEAST_ONE, INTO_ONE, NOT_NEGATIVE, SHARE, check_rules
from train.data.loader import epoch_batches
from train.settings import apply_file, one_of, override, read_changes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from train.data.types import Dataset

LEAST_EPOCHS, LEAST_STEPS = 8, 200


@dataclass(frozen=True)
class MethodSettings:
    """What one method alone can set; each method that has any derives its own."""


@dataclass(frozen=True)
class BackboneConfig:
    """The pretrained network."""

    name: str = "tf_efficientnet_lite0"  # a VGG, ResNet or EfficientNet of timm; a ViT for tscam and sst
    weights: str = ""  # local .safetensors; empty: timm downloads; "none": random
    stride: int = 16  # px of the input per cell of a CNN's map: 16 (protocol) or 32 (as it was pretrained)


@dataclass(frozen=True)
class PhotosConfig:
    """How photos become inputs."""

    size: int = 224  # side of the training crop, px
    eval_size: int = 384  # side at val and test, px
    crop: tuple[float, float] = (0.6, 1.0)  # sides of the training crop as a share of the photo


@dataclass(frozen=True)
class BaselineOptimConfig:
    """Optimiser, schedule and length."""

    name: str = one_of("adamw", "sgd")  # "sgd": nesterov momentum 0.9
    lr: float = 1e-3  # of new layers
    encoder_lr: float = 2e-4  # of pretrained layers
    fast: str = one_of("new", "last")  # layers that learn with `lr`; "last": also the last stage
    weight_decay: float = 0.02
    schedule: str = one_of("cosine", "step")
    warmup: float = 0.1  # share of all steps (cosine)
    step_epochs: int = 15  # x0.1 every so many epochs (step)
    clip: float = 5.0
    epochs: int = 0  # 0: chosen from the data
    batch_size: int = 16
    negatives: float = 1.0  # negative photos per epoch, as a share of those there are


@dataclass(frozen=True)
class BaselineConfig:
    """One run of one baseline, completely."""

    method: str
    preset: str = one_of("edge", "paper")
    seed: int = 0
    select: str = one_of("auto", "boxes", "accuracy")  # of classes; "auto": by boxes when val has them
    negative_class: str = ""  # class without any object; empty: the one named "background", if any
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    photos: PhotosConfig = field(default_factory=PhotosConfig)
    optim: BaselineOptimConfig = field(default_factory=BaselineOptimConfig)
    baseline: MethodSettings = field(default_factory=MethodSettings)


BASELINE_RULES: Mapping[str, str] = {
    "seed": NOT_NEGATIVE,
    "photos.size": AT_LEAST_ONE,
    "photos.eval_size": AT_LEAST_ONE,
    "photos.crop": INTO_ONE,
    "optim.lr": ABOVE_ZERO,
    "optim.encoder_lr": ABOVE_ZERO,
    "optim.weight_decay": NOT_NEGATIVE,
    "optim.warmup": SHARE,
    "optim.step_epochs": AT_LEAST_ONE,
    "optim.clip": ABOVE_ZERO,
    "optim.epochs": NOT_NEGATIVE,
    "optim.batch_size": AT_LEAST_ONE,
    "optim.negatives": SHARE,
}
# Choe et al., "Evaluating WSOL Methods Right" (2020), as run on CUB; learning rates differ by method.
PROTOCOL: Mapping[str, Any] = {
    "backbone.name": "resnet50",
    "photos.eval_size": 224,
    "photos.crop": (0.875, 0.875),
    "optim.name": "sgd",
    "optim.encoder_lr": 2.25e-3,
    "optim.lr": 2.25e-2,
    "optim.fast": "last",
    "optim.weight_decay": 1e-4,
    "optim.schedule": "step",
    "optim.epochs": 50,
    "optim.batch_size": 32,
}


VGG_RATES: Mapping[str, Any] = {
    "optim.encoder_lr": 1.27e-5,
    "optim.lr": 1.27e-4,
    "optim.weight_decay": 5e-4,
}


def default_config(method: str, preset: str = "edge", encoder: str = "") -> BaselineConfig:
    """The named preset of a method.

    Args:
        encoder: another backbone than the preset's; the protocol's learning rates depend on it.

    Raises:
        UsageError: a method or preset that does not exist.
    """
    made = method_class(method)
    config = BaselineConfig(method=method, baseline=made.Settings())
    changes = {"preset": preset, **made.EDGE}
    if preset == "paper":
        changes |= {**PROTOCOL, **made.PAPER, **(VGG_RATES if encoder.startswith("vgg") else {})}
    return override(config, changes)


def read_baseline_config(path: Path) -> BaselineConfig:
    """Read a `config.toml` back. Raises UsageError naming the file when it is not one of a baseline."""
    changes = read_changes(path)
    method = str(changes.pop("method", ""))
    if method not in METHODS:
        raise UsageError(f"{path}: no run of a baseline (method {method!r})")
    start = BaselineConfig(method=method, baseline=method_class(method).Settings())
    return apply_file(path, start, changes)


def check_baseline(config: BaselineConfig) -> None:
    """Raise UsageError for the first setting whose value cannot work."""
    own = {f"baseline.{name}": rule for name, rule in method_class(config.method).RULES.items()}
    check_rules(config, {**BASELINE_RULES, **own})
    if config.photos.crop[0] > config.photos.crop[1]:
        raise UsageError(f"photos.crop = {config.photos.crop}: expected smallest and largest share")
    if config.backbone.stride not in (16, 32):
        raise UsageError(f"backbone.stride = {config.backbone.stride}: expected 16 or 32")


def resolve_baseline(config: BaselineConfig, dataset: Dataset) -> BaselineConfig:
    """`config` with the number of epochs filled in for the photos of `dataset`."""
    if config.optim.epochs:
        return config
    labels = [image.label for image in dataset.splits["train"]]
    optim = config.optim
    steps = len(epoch_batches(labels, dataset.negative, optim.negatives, optim.batch_size, config.seed, 0))
    return override(config, {"optim.epochs": max(LEAST_EPOCHS, math.ceil(LEAST_STEPS / steps))})
