"""A small finished run directory, as `dips-edge train` leaves one, with an untrained network."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from train.checkpoint import save_tensors
from train.config import LocalizerConfig, TrainConfig
from train.localizer import FILES, Localizer
from train.settings import to_toml

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CLASSES = ("background", "tower")
METRICS = {
    "classes": list(CLASSES),
    "negative_class": "background",
    "input_size": [96, 96],
    "decision_threshold": 0.4,
    "presence_threshold": 0.55,
    "run_id": "abc123",
    "selection": "val boxes",
    "best": {
        "decision_threshold": 0.4,
        "presence_threshold": 0.55,
        "val": {"max_box_acc_v2": 80.0, "tau": 0.35, "curve": [1.0, 2.0]},
        "test": {"max_box_acc_v2": 78.5, "errors": {"oracle_tau": {}}},
    },
    "last": {"decision_threshold": 0.3, "presence_threshold": 0.2, "val": {}},
    "seconds": {},
}


def write_run(run: Path, encoder: str = "tf_efficientnet_lite0", seed: int = 0) -> Path:
    """RUN with config.toml, metrics.json and the weights of both checkpoints (which differ)."""
    run.mkdir(parents=True, exist_ok=True)
    localizer = LocalizerConfig(encoder=encoder, encoder_weights="none", decoder=(32, 16, 16, 8, 8))
    (run / "config.toml").write_text(to_toml(dataclasses.replace(TrainConfig(), localizer=localizer)))
    (run / "metrics.json").write_text(json.dumps(METRICS))
    for number, name in enumerate(FILES.values()):
        torch.manual_seed(seed + number)
        model = Localizer(localizer, len(CLASSES))
        state = {f"model.{k}": v for k, v in calm(model).state_dict().items()}
        save_tensors(run / name, state, {"classes": len(CLASSES)})
    return run


def photos(count: int = 3) -> list[NDArray[np.uint8]]:
    """Smooth coloured pictures, 200 x 150, with edges and saturated corners."""
    rng = np.random.default_rng(5)
    made = []
    for _ in range(count):
        image = cv2.resize(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8), (200, 150))
        image[:40, :40], image[-40:, -40:] = 0, 255
        made.append(np.asarray(image, np.uint8))
    return made


def calm(model: Localizer) -> Localizer:
    """Batch statistics as after training: without them random weights blow activations up."""
    with torch.no_grad():
        model.train()
        for _ in range(8):
            model(torch.randn(2, 3, 64, 64))
    return model.eval()
