"""Self-distillation from nothing learns to see: places are known again in another framing and exposure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from tests.train import tiny  # noqa: F401  (registers tiny_vit_patch8)
from train.pretrain.config import PretrainConfig
from train.pretrain.run import pretrain_run
from train.settings import override
from train.synth.stills import render_still

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

PLACES, AGAIN, SIDE_PX = 48, 4, 64
MARGIN = 6.0  # percent; seeds 0 and 1 rose by 12
SETTINGS = {
    "sst.name": "tiny_vit_patch8",
    "sst.init": "none",
    "sst.drop_path": "0",
    "crops.global_size": "32",
    "crops.locals": "0",
    "head.prototypes": "128",
    "head.hidden": "256",
    "head.bottleneck": "128",
    "head.freeze_epochs": "0",
    "loss.teacher_temp": "0.04",
    "optim.lr": "0.008",
    "optim.weight_decay_end": "0.04",
    "optim.momentum": "0.97",
    "optim.batch_size": "24",
    "optim.epochs": "200",
    "check.every": "50",
    "check.neighbours": "1",
    "check.pictures": "0",
}


def seen_again(photo: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The same place: a part of the frame, half of the time mirrored, with another contrast and exposure."""
    side = round(SIDE_PX * rng.uniform(0.6, 1.0))
    x, y = rng.integers(0, SIDE_PX - side + 1, 2)
    part = photo[y : y + side, x : x + side].astype(np.float32)
    part = (part - part.mean()) * np.exp(rng.uniform(-0.4, 0.4)) + part.mean()
    part = np.clip(part * np.exp(rng.uniform(-0.5, 0.5)), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(part[:, ::-1] if rng.random() < 0.5 else part)


def write_places(root: Path) -> Path:
    """ROOT/train/PLACE/0.png once each, ROOT/val/PLACE/K.png seen again; no photo is in both."""
    for place in range(PLACES):
        photo = render_still((5, place), (SIDE_PX, SIDE_PX), tower=place % 4 != 3).image
        rng = np.random.default_rng((5, place))
        again = [seen_again(photo, rng) for _ in range(AGAIN)]
        for split, photos in (("train", [photo]), ("val", again)):
            for k, image in enumerate(photos):
                path = root / split / f"{place:02}" / f"{k}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                assert cv2.imwrite(str(path), image)
    return root


@pytest.mark.slow
def test_places_are_known_again_far_oftener_than_by_random_weights(tmp_path: Path) -> None:
    config = override(PretrainConfig(), SETTINGS)
    pretrain_run(write_places(tmp_path / "set"), tmp_path / "run", config, device="cpu", threads=1, workers=1)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert (metrics["photos"], metrics["val_photos"]) == (PLACES, PLACES * AGAIN)
    assert metrics["knn_chance"] == pytest.approx(100 / PLACES)
    found = [entry["knn"] for entry in metrics["history"] if "knn" in entry]
    assert found[-1] >= found[0] + MARGIN
