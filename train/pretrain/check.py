"""The look at the teacher: k-NN, agreement of two views, and a picture of its attention.

RUN/sst.safetensors ──as `dips-edge train` reads it──▶ features, attention ──▶ figures, RUN/attention/*.png
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import torch

from edge_runtime.errors import TrainingError
from edge_runtime.preprocess import resize_frame
from train.checkpoint import write_bytes
from train.config import SstConfig
from train.data.imageio import read_image_bgr
from train.data.loader import PhotoLoader
from train.pretrain.crops import draw_window
from train.pretrain.knn import knn_labels, twins_found
from train.pretrain.picture import attention_picture, png_bytes
from train.sst import SelfSupervisedTransformer
from train.tensors import stack_images
from train.views import View, render, rng_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from train.pretrain.config import PretrainConfig
    from train.pretrain.frames import Frames, Photo

    Pixels = NDArray[np.uint8]
    from train.data.types import PhotoFile

AGREE_STREAM = 7
TWINS = 500  # photos whose two views are compared
TWIN_SCALE = (0.3, 0.7)  # of the area
BATCH = 32
PICTURES = "attention"


class Check:
    """Looks at a weights file. `facts`: what the figures stand for, and what chance would reach."""

    def __init__(
        self, frames: Frames, config: PretrainConfig, out: Path, device: torch.device, workers: int
    ) -> None:
        self._config, self._out, self._device, self._workers = config, out, device, workers
        most = config.check.photos
        self._bank, self._asked = evenly(frames.train, most), evenly(frames.val, most)
        self._twins = evenly(frames.val or frames.train, min(TWINS, most))
        self._shown = evenly(self._twins, config.check.pictures)
        self._unreadable: set[PhotoFile] = set()  # said once
        self.facts: dict[str, object] = {"twin_photos": len(self._twins)}
        labels = [photo.label for photo in self._asked or self._bank]
        self._labelled = None not in labels and len(set(labels)) > 1
        if self._labelled:
            self.facts |= {
                "knn": "val asks train" if self._asked else "train asks itself, leaving one out",
                "knn_chance": 100 * Counter(labels).most_common(1)[0][1] / len(labels),
            }

    def __call__(self, weights: Path, epoch: int) -> dict[str, float]:
        """Figures in percent: `knn` where there are labels, `twins` always; leaves a picture."""
        network = SstConfig(
            name=self._config.sst.name,
            weights=str(weights),
            size=self._config.crops.global_size,
            clip_quantile=1.0,
        )
        sst = SelfSupervisedTransformer(network, self._device)
        figures = {"knn": self._knn(sst)} if self._labelled else {}
        first, second = (self._features(sst, self._twins, self._window(which))[0] for which in (0, 1))
        self._draw(sst, epoch)
        return figures | {"twins": twins_found(first, second)}

    def _knn(self, sst: SelfSupervisedTransformer) -> float:
        bank, kept = self._features(sst, self._bank, self._whole)
        labels = _labels(self._bank, kept)
        neighbours = self._config.check.neighbours
        if not self._asked:
            found, truth = knn_labels(bank, labels, bank, neighbours, own=True), labels
        else:
            asked, kept = self._features(sst, self._asked, self._whole)
            found, truth = knn_labels(bank, labels, asked, neighbours), _labels(self._asked, kept)
        return 100 * float((found == truth).float().mean())

    def _features(
        self, sst: SelfSupervisedTransformer, photos: Sequence[Photo], cut: Callable[[int, Pixels], Pixels]
    ) -> tuple[Tensor, list[int]]:
        """CLS tokens of the last block (n, d), and the indices of the photos that could be read."""

        def load(_epoch: int, index: int) -> tuple[int, Pixels]:
            return index, cut(index, read_image_bgr(photos[index].path))

        good = [i for i, photo in enumerate(photos) if photo.path not in self._unreadable]
        batches = [good[i : i + BATCH] for i in range(0, len(good), BATCH)]
        found, kept = [], []
        with PhotoLoader(load, self._workers) as loader:
            for loaded in loader.tolerant(0, batches):
                if loaded:
                    features = sst(stack_images([pixels for _, pixels in loaded]))[1]
                    found.append(features[:, -sst.width :].cpu())
                    kept += [index for index, _ in loaded]
            self._unreadable |= {photos[i].path for i in loader.skipped}
        if not found:
            raise TrainingError(
                f"not one of {len(photos)} photos could be read, the first is {photos[0].path}"
            )
        return torch.cat(found), kept

    def _whole(self, _index: int, photo: Pixels) -> Pixels:
        side = self._config.crops.global_size
        return resize_frame(photo, side, side)

    def _window(self, which: int) -> Callable[[int, Pixels], Pixels]:
        """Cuts a window of a photo, each time the same, another for each view; the second is mirrored."""

        def cut(index: int, photo: Pixels) -> Pixels:
            rng = rng_for(self._config.seed, which, index, AGREE_STREAM)
            window = draw_window(rng, TWIN_SCALE, photo.shape[1] / photo.shape[0])
            return render(photo, View(window, which == 1, 1.0, 0.0), self._config.crops.global_size)[0]

        return cut

    def _draw(self, sst: SelfSupervisedTransformer, epoch: int) -> None:
        shown = [photo for photo in self._shown if photo.path not in self._unreadable]
        if not shown:
            return
        photos = [read_image_bgr(photo.path) for photo in shown]
        maps, _ = sst(stack_images([self._whole(0, photo) for photo in photos]))
        path = self._out / PICTURES / f"{epoch:04}.png"
        path.parent.mkdir(exist_ok=True)
        write_bytes(path, png_bytes(attention_picture(photos, maps.cpu().numpy())))


def evenly(photos: Sequence[Photo], most: int) -> list[Photo]:
    """At most `most` photos, evenly spread over the listing; always the same."""
    if len(photos) <= most:
        return list(photos)
    return [photos[i] for i in np.linspace(0, len(photos) - 1, most).round().astype(int)] if most else []


def _labels(photos: Sequence[Photo], kept: Sequence[int]) -> Tensor:
    return torch.tensor([photos[i].label for i in kept], dtype=torch.int64)
