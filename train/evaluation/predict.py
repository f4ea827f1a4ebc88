"""Photos through a network, torch or a model file, with the same decoding and resize for both.

photos ──decode, resize──▶ network ──▶ (photo, map in [0, 1], class probabilities), one by one
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import torch

from edge_runtime.backends import open_backend
from edge_runtime.errors import DatasetError
from edge_runtime.preprocess import resize_frame
from train.data.imageio import read_image_bgr
from train.data.loader import PhotoLoader
from train.localizer import Localizer, foreground
from train.tensors import normalise, stack_images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from train.data.types import Image
    from train.evaluation.evaluate import Prediction

    Outputs = tuple[NDArray[np.float32], NDArray[np.float32]]

BATCH = 8
_log = logging.getLogger(__name__)


def predict_run(
    model: Localizer,
    images: Sequence[Image],
    input_hw: tuple[int, int],
    *,
    batch: int = BATCH,
    workers: int = 1,
    on_skip: Callable[[int, str], None] | None = None,
) -> Iterator[Prediction]:
    """Maps and class probabilities of a trained network in float32, as an exported file computes them.

    Args:
        model: in eval mode, on any device.
        input_hw: network input, pixels.
        workers: threads that decode photos ahead.
        on_skip: told position and reason of a photo that cannot be read.

    Yields:
        (photo, map (h, w) float32 in [0, 1], class probabilities (K,) float32). Photos that cannot be read
        are left out with a warning.

    Raises:
        DatasetError: not one of the photos could be read.
    """
    device = next(model.parameters()).device

    def infer(frames: list[NDArray[np.uint8]]) -> Outputs:
        x = normalise(stack_images(frames).to(device), model.mean, model.std)
        with torch.inference_mode():
            map_logits, class_logits = model(x.contiguous(memory_format=torch.channels_last))
            maps, probs = foreground(map_logits), class_logits.softmax(1)
        return maps.cpu().numpy(), probs.cpu().numpy()

    yield from _predict(infer, images, input_hw, batch, workers, on_skip)


def predict_model_file(
    path: Path, images: Sequence[Image], *, workers: int = 1, device: str = "cpu"
) -> Iterator[Prediction]:
    """The same of a model file, at the input size of its contract; `device` as for `open_backend`.

    Raises:
        ModelError: not one of our model files. DatasetError: not one of the photos could be read.
        EngineError, MissingExtra: the device cannot run it.
    """
    backend = open_backend(path, device)
    try:
        size = backend.contract.input_height, backend.contract.input_width
        yield from _predict(lambda frames: backend.infer(np.stack(frames)), images, size, 1, workers)
    finally:
        backend.close()


def _predict(
    infer: Callable[[list[NDArray[np.uint8]]], Outputs],
    images: Sequence[Image],
    input_hw: tuple[int, int],
    batch: int,
    workers: int,
    on_skip: Callable[[int, str], None] | None = None,
) -> Iterator[Prediction]:
    return predict_batches(lambda frames, _: infer(frames), images, input_hw, batch, workers, on_skip)


def predict_batches(
    infer: Callable[[list[NDArray[np.uint8]], list[Image]], Outputs],
    images: Sequence[Image],
    input_hw: tuple[int, int],
    batch: int,
    workers: int,
    on_skip: Callable[[int, str], None] | None = None,
) -> Iterator[Prediction]:
    """`infer(frames, photos)` on batches of readable photos: maps and class probabilities, one by one.

    Raises:
        DatasetError: not one of the photos could be read.
    """

    def load(_epoch: int, index: int) -> tuple[Image, NDArray[np.uint8]]:
        image = images[index]
        photo = read_image_bgr(image.path, expected_wh=(image.width, image.height))
        return image, resize_frame(photo, *input_hw)

    batches = [list(range(i, min(i + batch, len(images)))) for i in range(0, len(images), batch)]
    with PhotoLoader(load, workers, on_skip) as loader:
        for items in loader.tolerant(0, batches):
            if items:
                maps, probs = infer([frame for _, frame in items], [image for image, _ in items])
                yield from ((image, m, p) for (image, _), m, p in zip(items, maps, probs, strict=True))
        skipped = loader.skipped
    if images and len(skipped) == len(images):
        raise DatasetError(f"not one of {len(images)} photos could be read; the first: {skipped[0]}")
    if skipped:
        _log.warning(
            "%d of %d photos could not be read and are not in the figures", len(skipped), len(images)
        )
