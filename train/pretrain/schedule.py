"""What changes from step to step: learning rate, weight decay, the teacher's momentum and temperature.

All are functions of the step alone, so a resumed run needs no memory of them (DINO, section 3.2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from train.pretrain.config import PretrainConfig

LR_BATCH = 256  # photos to which `optim.lr` refers: linear scaling, Goyal et al. 2017


@dataclass(frozen=True)
class Pace:
    """Values at one step."""

    lr: float
    weight_decay: float
    momentum: float
    teacher_temp: float


def pace_at(config: PretrainConfig, step: int, steps: int) -> Pace:
    """The values at `step` of a run of `steps` steps (0 <= step < steps)."""
    optim, loss = config.optim, config.loss
    peak = optim.lr * optim.batch_size / LR_BATCH
    rise = round(optim.warmup * steps)
    if step < rise:
        lr = peak * (step + 1) / rise
    else:
        lr = cosine(peak, optim.lr_end, (step - rise) / max(1, steps - rise))
    done = step / steps
    warm = min(1.0, done / loss.teacher_warmup) if loss.teacher_warmup else 1.0
    return Pace(
        lr=lr,
        weight_decay=cosine(optim.weight_decay, optim.weight_decay_end, done),
        momentum=cosine(optim.momentum, 1.0, done),
        teacher_temp=loss.teacher_temp_start + warm * (loss.teacher_temp - loss.teacher_temp_start),
    )


def cosine(start: float, end: float, done: float) -> float:
    """From `start` at done = 0 to `end` at done = 1, slow at both ends."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * done))
