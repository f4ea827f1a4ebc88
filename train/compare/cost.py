"""What a method costs: numbers in its network, CPU time per photo."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from train.baselines.methods import DIPS
from train.evaluation.subject import read_metrics
from train.tensors import normalise

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

WARM_UP, TIMED = 2, 7


@dataclass(frozen=True)
class Cost:
    """`parameters`: of the whole network. `cpu_ms`: one photo, one thread, float32, map and class.
    `side`: of the input, px."""

    parameters: int
    cpu_ms: float
    side: int


def measure(run_dir: Path) -> Cost:
    """Cost of the best checkpoint of a finished run, on this machine.

    CPU time, not time on the wall: other work on the machine hardly changes it. Decoding and resizing the
    photo are not part of it. Raises ModelError for a damaged run.
    """
    metrics = read_metrics(run_dir)
    side = int(metrics["input_size"][0])
    opened = _localizer if metrics.get("method", DIPS) == DIPS else _baseline
    call, parameters = opened(run_dir)
    photo = torch.zeros(1, 3, side, side, dtype=torch.uint8)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        taken = [_cpu_ms(lambda: call(photo)) for _ in range(WARM_UP + TIMED)][WARM_UP:]
    finally:
        torch.set_num_threads(threads)
    return Cost(parameters, statistics.median(taken), side)


def _cpu_ms(work: Callable[[], object]) -> float:
    start = time.process_time()
    with torch.no_grad():
        work()
    return 1000 * (time.process_time() - start)


def _localizer(run_dir: Path) -> tuple[Callable[[Tensor], object], int]:
    from train.localizer import foreground, load_localizer

    model = load_localizer(run_dir).to(memory_format=torch.channels_last)

    def call(photo: Tensor) -> Any:
        x = normalise(photo, model.mean, model.std).contiguous(memory_format=torch.channels_last)
        map_logits, class_logits = model(x)
        return foreground(map_logits), class_logits.softmax(1)

    return call, sum(p.numel() for p in model.parameters())


def _baseline(run_dir: Path) -> tuple[Callable[[Tensor], object], int]:
    from train.baselines.base import LIKELIEST
    from train.baselines.explain import load_baseline

    model = load_baseline(run_dir, "best").to(memory_format=torch.channels_last)
    anything = torch.tensor([LIKELIEST])
    return lambda photo: model.explain(photo, anything), model.parameter_count()
