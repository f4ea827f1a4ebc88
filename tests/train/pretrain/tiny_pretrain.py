"""A whole pre-training in seconds: 64 px photos, timm's smallest transformer, random weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2

from tests.train.tiny import photo
from train.pretrain.config import PretrainConfig
from train.settings import override

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = {
    "sst.name": "test_vit",
    "sst.init": "none",
    "crops.global_size": "32",
    "crops.locals": "2",
    "head.prototypes": "16",
    "head.hidden": "16",
    "head.bottleneck": "8",
    "optim.lr": "0.01",
    "optim.epochs": "2",
    "optim.batch_size": "4",
    "check.pictures": "2",
}
FLAGS = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]


def tiny_config(**changes: object) -> PretrainConfig:
    """The settings above; `changes` name others with `__` for the dot."""
    return override(
        PretrainConfig(), {**SETTINGS, **{key.replace("__", "."): value for key, value in changes.items()}}
    )


def write_clip(path: Path, frames: int = 20) -> Path:
    """A video of photos with the object, 10 frames a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (72, 64))
    assert writer.isOpened()
    for seed in range(frames):
        writer.write(photo(seed, True))
    writer.release()
    return path
