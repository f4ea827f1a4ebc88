"""Photos through a trained baseline: maps at the protocol's size, class probabilities.

RUN ──load_baseline──▶ network ──predict_baseline──▶ (photo, map 224 x 224 in [0, 1], class probabilities)
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import numpy as np
import torch

from edge_runtime.errors import ModelError
from train.baselines.base import stretch
from train.baselines.methods import method_class
from train.baselines.presets import read_baseline_config
from train.checkpoint import FILES, load_tensors
from train.evaluation.predict import BATCH, predict_batches
from train.optimstate import part_of
from train.tensors import autocast, stack_images
from train.weights import first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from train.baselines.base import Baseline
    from train.baselines.config import BaselineConfig
    from train.data.types import Image
    from train.evaluation.evaluate import Prediction


def build_baseline(
    config: BaselineConfig, classes: int, negative: int | None, *, pretrained: bool = True
) -> Baseline:
    """A fresh network. Raises UsageError when method and backbone do not go together."""
    return method_class(config.method)(config, classes, negative, pretrained=pretrained)


def load_baseline(run_dir: Path, which: str) -> Baseline:
    """The trained network of a run directory, in eval mode on the CPU.

    Args:
        which: "best" or "last".

    Raises:
        ModelError: the run directory is incomplete or its weights do not fit its config.
    """
    path = run_dir / FILES[which]
    if not path.is_file():
        raise ModelError(f"{path}: not there; {run_dir} is not a finished run of `dips-edge train`")
    config = read_baseline_config(run_dir / "config.toml")
    tensors, meta = load_tensors(path)
    try:
        negative = None if meta["negative"] is None else int(meta["negative"])
        model = build_baseline(config, int(meta["classes"]), negative, pretrained=False)
        model.load_state_dict(part_of(tensors, "model."))
    except (KeyError, TypeError, RuntimeError) as error:
        raise ModelError(
            f"{path}: weights do not fit {run_dir / 'config.toml'}: {first_line(error)}"
        ) from error
    return model.eval().requires_grad_(False)


def predict_baseline(
    model: Baseline,
    images: Sequence[Image],
    *,
    workers: int = 1,
    fast: bool = False,
    on_skip: Callable[[int, str], None] | None = None,
) -> Iterator[Prediction]:
    """Maps and class probabilities of photos.

    The map of a photo is that of its own class, which the protocol tells a method; of a photo without an
    object, that of the likeliest object class.

    Args:
        model: in eval mode, on any device. fast: in mixed precision, for a look while training.
        on_skip: told of photos that cannot be read.

    Yields:
        (photo, map (224, 224) float32 in [0, 1], class probabilities (K,) float32). Photos that cannot be
        read are left out with a warning.

    Raises:
        DatasetError: not one of the photos could be read.
    """
    device, side = device_of(model), model.config.photos.eval_size
    precision = autocast(device) if fast else contextlib.nullcontext()

    def infer(frames: list[NDArray[np.uint8]], photos: list[Image]) -> tuple[NDArray[np.float32], ...]:
        labels = torch.tensor([photo.label for photo in photos], device=device)
        with torch.no_grad(), precision:
            raw, probs = model.explain(stack_images(frames).to(device), labels)
        maps = [stretch(one, model.RESIZE) for one in raw.float().cpu().numpy()]
        return np.stack(maps), probs.float().cpu().numpy()

    return predict_batches(infer, images, (side, side), BATCH, workers, on_skip)  # type: ignore[arg-type]


def device_of(model: Baseline) -> torch.device:
    """Where the network's weights are."""
    tensors: list[Tensor] = [*model.parameters(), *model.buffers()]
    return tensors[0].device
