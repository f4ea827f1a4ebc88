"""What every baseline is: a network that learns image labels and gives a map for a class.

training:   photos + labels ──forward──▶ losses
afterwards: photos ──explain──▶ raw maps, class probabilities ──stretch──▶ maps in [0, 1], 224 x 224
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.baselines.config import MethodSettings
from train.evaluation.metrics import SIDE
from train.tensors import normalise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from train.baselines.config import BaselineConfig
    from train.epochs import Outcome
    from train.shared import Run

    Weights = dict[str, dict[str, Tensor]]

LIKELIEST = -1  # in place of a label: the most probable class that shows an object


class Baseline(nn.Module):
    """A method with its network.

    Class attributes:
        Settings: what the method alone can set. RULES: limits of those.
        EDGE, PAPER: what its presets change in the settings of all.
        RESIZE: how a map becomes 224 x 224 (OpenCV).
        LEARNS: in epochs (`losses`); otherwise `fit` gives its weights at once.

    Attributes:
        mean, std: input normalisation, RGB, in units of 0..1.
    """

    Settings: ClassVar[type[MethodSettings]] = MethodSettings
    RULES: ClassVar[Mapping[str, str]] = {}
    EDGE: ClassVar[Mapping[str, Any]] = {}
    PAPER: ClassVar[Mapping[str, Any]] = {}
    RESIZE: ClassVar[int] = cv2.INTER_CUBIC
    LEARNS: ClassVar[bool] = True

    mean: Sequence[float]
    std: Sequence[float]

    def __init__(
        self, config: BaselineConfig, classes: int, negative: int | None, *, pretrained: bool = True
    ) -> None:
        """`negative`: index of the class without any object. `pretrained`: False when weights follow."""
        super().__init__()
        self.config, self.classes, self.negative = config, classes, negative

    def forward(self, rgb_u8: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Training losses of (N, 3, S, S) uint8 photos with (N,) int64 classes; `total` is their sum."""
        x = normalise(rgb_u8, self.mean, self.std).contiguous(memory_format=torch.channels_last)
        losses = self.losses(x, targets)
        return losses | {"total": torch.stack(list(losses.values())).sum()}

    def losses(self, x: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Weighted losses by name of (N, 3, S, S) float normalised photos; in train mode."""
        raise AssertionError(f"{type(self).__name__} learns nothing in epochs")

    def explain(self, rgb_u8: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Raw maps and class probabilities; in eval mode.

        Args:
            rgb_u8: (N, 3, S, S) uint8. labels: (N,) int64, class that each map is for; see `chosen`.

        Returns:
            (N, h, w) float32 of any scale; (N, K) float32.
        """
        raise AssertionError(f"{type(self).__name__} explains nothing")

    def fit(self, run: Run[BaselineConfig]) -> tuple[Weights, Outcome]:
        """Weights by checkpoint ("best", "last") of a method that does not learn in epochs."""
        raise AssertionError(f"{type(self).__name__} learns in epochs")

    def fast_parameters(self) -> list[nn.Parameter]:
        """Weights that learn with `optim.lr`; the others are pretrained and learn with `optim.encoder_lr`."""
        return []

    def parameter_count(self) -> int:
        """Numbers among the weights that a photo passes or that training needed."""
        return sum(p.numel() for p in self.parameters())

    def chosen(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(N,) the label, and where it is the negative class or `LIKELIEST` the likeliest object class.

        Maps for a photo's own class are the protocol's rule (the method is told the class, GT-known). A photo
        without an object has no class to be told.
        """
        scores = logits.clone()
        if self.negative is not None:
            scores[:, self.negative] = -torch.inf
        known = labels != LIKELIEST
        if self.negative is not None:
            known &= labels != self.negative
        return torch.where(known, labels, scores.argmax(1))


def pick(class_maps: Tensor, classes: Tensor) -> Tensor:
    """(N, h, w) the map of one class each, of (N, K, h, w)."""
    return class_maps[torch.arange(len(classes), device=classes.device), classes].float()


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy in float32, whatever the precision of the network."""
    return F.cross_entropy(logits.float(), targets)


def unit_range(maps: Tensor) -> Tensor:
    """Each of (N, h, w) maps stretched to [0, 1]; a constant one becomes 0."""
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return (maps - low) / (high - low).clamp_min(1e-12)


def stretch(raw: NDArray[np.float32], resize: int) -> NDArray[np.float32]:
    """One raw map as the protocol takes it: 224 x 224, then min to 0 and max to 1.

    A map that is constant or has no number somewhere is 0 everywhere (Choe et al. 2020).

    Args:
        raw: (h, w) of any scale. resize: OpenCV's interpolation.
    """
    if not np.isfinite(raw).all() or raw.min() == raw.max():
        return np.zeros((SIDE, SIDE), np.float32)
    big = cv2.resize(raw.astype(np.float64), (SIDE, SIDE), interpolation=resize)
    return np.asarray((big - big.min()) / (big.max() - big.min()), np.float32)
