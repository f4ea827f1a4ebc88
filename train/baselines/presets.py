"""What a baseline's settings are by default, read back, checked and filled in from the data.

preset + what the method changes ──overridden by──▶ flags, --set ──▶ BaselineConfig ──▶ RUN/config.toml
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from edge_runtime.errors import UsageError
from train.baselines.config import BASELINE_RULES, BaselineConfig
from train.baselines.methods import METHODS, method_class
from train.config_limits import check_rules
from train.data.loader import epoch_batches
from train.settings import apply_file, override, read_changes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from train.data.types import Dataset

LEAST_EPOCHS, LEAST_STEPS = 8, 200
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
