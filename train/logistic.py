"""Logistic regression: one linear layer on features that do not change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor

STEPS = 200


def fit_layer(
    weight: Tensor, bias: Tensor, features: Tensor, labels: Tensor, pull: float
) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy and a pull towards the weights that it begins with, by L-BFGS.

    Args:
        weight, bias: (K, C) and (K,), where to begin. features: (n, C), of the same float type.
        labels: (n,) int64. pull: factor of the squared distance to `weight`; not on the bias.

    Returns:
        The new weight and bias.
    """
    w, b = weight.clone().requires_grad_(), bias.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([w, b], max_iter=STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(F.linear(features, w, b), labels) + pull * (w - weight).square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return w.detach(), b.detach()
