"""The paper's losses but for the CRF: partial cross-entropy (CPA) and the classifier's answer (CLS)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from train.sampling import IGNORE

if TYPE_CHECKING:
    from collections.abc import Callable


def partial_cross_entropy(map_logits: Tensor, labels: Tensor, labelled: Tensor | None = None) -> Tensor:
    """Cross-entropy over sampled pixels only: L_CPA of the paper, section 3.3.

    Args:
        map_logits: (N, 2, H, W) float, channel 1 is foreground.
        labels: (N, H, W) int64, 0 background, 1 foreground, IGNORE elsewhere.
        labelled: number of labelled pixels to divide by; default: those of this batch. Processes that
            share one batch pass the mean over all processes.

    Returns:
        Scalar, mean over the labelled pixels of the whole batch; 0 when none is labelled.
    """
    total = F.cross_entropy(map_logits.float(), labels, ignore_index=IGNORE, reduction="sum")
    count = (labels != IGNORE).sum() if labelled is None else labelled
    return total / count.clamp_min(1)


def soft_cross_entropy(map_logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy to a map that is sure to a degree, mean over all pixels.

    Args:
        map_logits: (N, 2, H, W) float, channel 1 is foreground. target: (N, H, W) float32 in [0, 1].
    """
    log_p = map_logits.float().log_softmax(1)
    return -(target * log_p[:, 1] + (1 - target) * log_p[:, 0]).mean()


def classifier_loss(
    classify: Callable[[Tensor], Tensor], images: Tensor, mask: Tensor, targets: Tensor
) -> Tensor:
    """L_CLS of the paper, section 3.3: cross-entropy of C(x * M_fg) against the image label.

    The gradient flows through the frozen classifier into the mask, and so into the localizer.

    Args:
        classify: (N, 3, H, W) normalised image to (N, K) logits; its parameters are frozen.
        images: (N, 3, H, W) float normalised, so that masked pixels become the mean colour.
        mask: (N, H, W) float in [0, 1]: the localizer's foreground probability (paper).
        targets: (N,) int64 class indices.
    """
    if images.shape[0] == 0:
        return torch.zeros((), device=mask.device)
    return F.cross_entropy(classify(images * mask[:, None]).float(), targets)
