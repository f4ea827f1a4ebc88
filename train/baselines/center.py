"""The centre: boxes in the middle of every photo, whatever it shows. What a method must beat.

Choe et al. (2020) take a Gaussian in the middle; boxes of its level sets are square. Here their shape is that
of the box which fits val best ("best"), or the photo's own, which no box chose ("last").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from train.baselines.base import Baseline
from train.epochs import Outcome
from train.evaluation.metrics import SIDE
from train.evaluation.metrics_center import choose_center_box
from train.selection import BY_PROTOCOL

if TYPE_CHECKING:
    from train.baselines.base import Weights
    from train.baselines.config import BaselineConfig
    from train.shared import Run


class Center(Baseline):
    """A pyramid as the map, the share of each class among the train photos as its probability."""

    LEARNS = False

    def __init__(
        self, config: BaselineConfig, classes: int, negative: int | None, *, pretrained: bool = True
    ) -> None:
        super().__init__(config, classes, negative, pretrained=pretrained)
        self.shape: Tensor
        self.shares: Tensor
        self.register_buffer("shape", torch.ones(2))  # width, height
        self.register_buffer("shares", torch.full((classes,), 1 / classes))

    def explain(self, rgb_u8: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        n = len(rgb_u8)
        return pyramid(self.shape).expand(n, -1, -1), self.shares.expand(n, -1)

    def fit(self, run: Run[BaselineConfig]) -> tuple[Weights, Outcome]:
        train, val = run.dataset.splits["train"], run.dataset.splits["val"]
        counts = torch.bincount(torch.tensor([i.label for i in train]), minlength=self.classes).float()
        if self.negative is not None:
            counts[self.negative] = 0  # it always says that something is there
        shares = counts / counts.sum()
        size = choose_center_box(val)
        own = {"shape": torch.ones(2), "shares": shares}
        best = own | ({} if size is None else {"shape": torch.tensor(size)})
        selection = "nothing" if size is None else BY_PROTOCOL.words
        return {"best": best, "last": own}, Outcome([], selection, 0, [])


def pyramid(shape: Tensor) -> Tensor:
    """(224, 224) map from 1 in the middle to 0 at the far edge, whose level sets are boxes of one shape.

    Args:
        shape: (2,) width and height of such a box, as shares of the photo.
    """
    away = ((torch.arange(SIDE, device=shape.device) + 0.5) * 2 / SIDE - 1).abs()
    reach = torch.maximum(away[None] / shape[0], away[:, None] / shape[1])
    return 1 - reach / reach.max()
