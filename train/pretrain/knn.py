"""What a feature is worth without training anything on it: answers of the nearest neighbours.

Features are compared by cosine. Weighted vote: Wu et al. 2018 (arXiv 1805.01978), as DINO's k-NN evaluation.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

VOTE_TEMP = 0.07


def knn_labels(bank: Tensor, labels: Tensor, asked: Tensor, neighbours: int, *, own: bool = False) -> Tensor:
    """Label of each asked feature by the weighted vote of its nearest neighbours.

    Args:
        bank: (N, d) float features with `labels` (N,) int64.
        asked: (M, d).
        own: `asked` is the bank itself, and nobody may answer for himself (leave one out).

    Returns:
        (M,) int64.
    """
    near = F.normalize(asked.float(), dim=1) @ F.normalize(bank.float(), dim=1).T
    if own:
        near.fill_diagonal_(-torch.inf)
    best, index = near.topk(min(neighbours, len(bank) - own), dim=1)
    votes = torch.zeros(len(asked), int(labels.max()) + 1)
    votes.scatter_add_(1, labels[index], (best / VOTE_TEMP).exp())
    return votes.argmax(1)


def twins_found(first: Tensor, second: Tensor) -> float:
    """Percent of photos whose other view is the nearest of all other views; 100 / n by chance.

    Args:
        first, second: (n, d) float features of two views of the same n photos.
    """
    near = F.normalize(first.float(), dim=1) @ F.normalize(second.float(), dim=1).T
    return 100 * float((near.argmax(1) == torch.arange(len(near))).float().mean())
