"""Baselines in seconds: 64 px photos, timm's test networks, random weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from train.baselines.methods import CNN, METHODS
from train.baselines.presets import default_config
from train.settings import override

if TYPE_CHECKING:
    from train.baselines.config import BaselineConfig

LEARNING = [name for name in METHODS if name not in ("sst", "center")]


def tiny_baseline(method: str, **changes: object) -> BaselineConfig:
    """Small settings of a method; `changes` name others with `__` for the dot."""
    cnn = METHODS[method].backbone == CNN
    settings = {
        "backbone.name": "test_efficientnet" if cnn else "test_vit",
        "backbone.weights": "none",
        "photos.size": 64,
        "photos.eval_size": 64,
        "optim.epochs": 2,
        "optim.batch_size": 4,
    }
    if method == "has":
        settings["baseline.grid"] = 16
    return override(
        default_config(method), {**settings, **{k.replace("__", "."): v for k, v in changes.items()}}
    )
