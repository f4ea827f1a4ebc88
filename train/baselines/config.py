"""Settings of a baseline's run: those of the localizer's where they mean the same, plus the method's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from train.config_limits import ABOVE_ZERO, AT_LEAST_ONE, INTO_ONE, NOT_NEGATIVE, SHARE
from train.settings import one_of

if TYPE_CHECKING:
    from collections.abc import Mapping


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
