"""Which calibration method suits this network: each int8 graph is tried on val, the best localizer wins.

histograms ──ranges per method──▶ Q/DQ model ──Bench──▶ Tried ──mean IoU, then map error──▶ best first

No method is always right: entropy saves some networks and ruins others (calibration/README.md).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from calibration.histograms import Histogram
from calibration.qdq import quantize
from calibration.ranges import METHODS, amax, tensor_range

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from onnx import ModelProto

    from calibration.agreement import Agreement
    from calibration.bench import Bench
    from calibration.placement import Placement
    from calibration.ranges import TensorRange

log = logging.getLogger(__name__)

EQUAL_IOU = 2e-3  # mean IoU closer than this to the best is as good: then the map error decides


@dataclass(frozen=True)
class Trial:
    """One method: range per tensor, and how the whole network in int8 does with it."""

    method: str
    ranges: Mapping[str, TensorRange]
    agreement: Agreement


def methods_named(method: str) -> tuple[str, ...]:
    """Methods to try: all for "auto", else the one. Raises UsageError for a method that does not exist."""
    if method == "auto":
        return METHODS
    one = Histogram(np.ones(1, np.int64), 1.0, 0.0, 1.0)
    amax(one, method)
    return (method,)


def try_methods(
    model: ModelProto,
    placement: Placement,
    histograms: Mapping[str, Histogram],
    methods: Sequence[str],
    bench: Bench,
    step: Callable[[], None] = lambda: None,
) -> list[Trial]:
    """Try every method with all layers of the placement in int8, best first.

    Args:
        histograms: of `placement.tensors` at least; ranges are made for all that are given.
        step: called once per frame and method (progress).
    """
    trials = []
    for method in methods:
        ranges = {name: tensor_range(histogram, method) for name, histogram in histograms.items()}
        candidate = quantize(model, placement, amax_of(ranges), weights="int8")
        tried = bench.measure(candidate, step=step)
        trials.append(Trial(method, ranges, tried.agreement))
    return ranked(trials)


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Best first: those within `EQUAL_IOU` of the best mean IoU by map error, the others by mean IoU."""
    best = max(trial.agreement.mean_iou for trial in trials)

    def key(trial: Trial) -> tuple[float, float]:
        behind = best - trial.agreement.mean_iou
        return (behind if behind > EQUAL_IOU else 0.0), trial.agreement.map_mean

    return sorted(trials, key=key)


def amax_of(ranges: Mapping[str, TensorRange]) -> dict[str, float]:
    """The symmetric range per tensor, as `calibration.qdq` takes it."""
    return {name: found.amax for name, found in ranges.items()}
