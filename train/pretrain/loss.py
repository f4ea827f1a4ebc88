"""DINO's loss: the student's view of one crop must agree with the teacher's view of another.

teacher logits ─ centre ─ / low temperature ─ softmax ─┐
student logits ───────── / temperature ── log-softmax ─┴▶ cross-entropy over all pairs of different crops
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

TEACHER_VIEWS = 2


@dataclass(frozen=True)
class Agreement:
    """`loss`: scalar, with gradient. `batch_center`: (K,) mean of the teacher's logits.

    `entropy`: mean entropy of the teacher's answers, as a share of log K: 1 means it says nothing.
    `used`: prototypes in use, exp of the entropy of the mean answer: 1 means it always says the same.
    Centring alone leads to the first collapse, sharpening alone to the second (paper section 5.3).
    """

    loss: Tensor
    batch_center: Tensor
    entropy: Tensor
    used: Tensor


def agreement(
    student: Tensor, teacher: Tensor, center: Tensor, student_temp: float, teacher_temp: float
) -> Agreement:
    """Equation 2 of the paper, mean over photos and over pairs of different crops.

    Args:
        student: (views * N, K) logits, crop by crop; the first two crops are those the teacher saw.
        teacher: (2 * N, K) logits, in the same order; no gradient passes.
        center: (K,) subtracted from the teacher's logits.
    """
    photos, prototypes = teacher.shape[0] // TEACHER_VIEWS, teacher.shape[1]
    views = student.shape[0] // photos
    said = teacher.detach().float()
    target = ((said - center) / teacher_temp).softmax(-1)
    guess = (student.float() / student_temp).log_softmax(-1)
    pairs = -target.reshape(TEACHER_VIEWS, -1) @ guess.reshape(views, -1).T / photos  # (2, views)
    others = 1 - torch.eye(TEACHER_VIEWS, views, device=pairs.device)
    mean_answer = target.mean(0)
    top = torch.tensor(float(prototypes), device=pairs.device).log()
    return Agreement(
        loss=(pairs * others).sum() / others.sum(),
        batch_center=said.mean(0),
        entropy=torch.special.entr(target).sum(-1).mean() / top,
        used=torch.special.entr(mean_answer).sum().exp(),
    )
