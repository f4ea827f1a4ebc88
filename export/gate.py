"""Does a precision localize as well as fp32? Measured on val as it will fly, and refused when it does not.

val frames ──fp32, candidate──▶ maps ──deployed decoding, own thresholds──▶ Measured ──judge──▶ reasons
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from calibration.agreement import Agreement, agreement
from train.evaluation.evaluate import Thresholds, report_split
from train.evaluation.split_scores import SplitScores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from calibration.agreement import Answers, Infer
    from edge_runtime.contract import ModelContract
    from export.valset import ValSet

LEAST_IOU = 0.97  # mean IoU of first boxes with those of fp32
LATENCY_RUNS = 20


@dataclass(frozen=True)
class Measured:
    """One model file on the val set.

    `size`: bytes. `latency_ms`: median of one inference on this CPU. `versus`: its answers against those of
    fp32, None for fp32 itself. `photos`, `localized`: val photos, and those with boxes among them.
    `right`: localized photos whose first box meets the asset at IoU .5, presence gate included; None without
    boxes. `presence_errors`: photos on which the asset is missed, or seen where there is none; None without
    labels. `figures`: everything `train.evaluation.evaluate.report_split` tells, with labels.
    """

    precision: str
    target: str
    size: int
    latency_ms: float
    versus: Agreement | None
    photos: int
    localized: int
    right: int | None
    presence_errors: int | None
    figures: dict[str, Any]

    @property
    def box_accuracy(self) -> float | None:
        """Percent of the localized photos; None without boxes."""
        return None if self.right is None else 100.0 * self.right / self.localized


def measure(
    contract: ModelContract,
    answers: Answers,
    val: ValSet,
    *,
    reference: tuple[ModelContract, Answers] | None,
    size: int,
    latency_ms: float,
) -> Measured:
    """What `answers`, given to `val.frames`, are worth at the contract's thresholds.

    Args:
        reference: fp32's contract and answers to the same frames; None when this is fp32.
    """
    versus = None
    if reference is not None:
        versus = agreement(reference[1], answers, reference[0], contract)
    figures: dict[str, Any] = {}
    right = wrong = None
    localized = 0
    if val.images is not None:
        thresholds = Thresholds(
            _tau(contract),
            contract.decision_threshold,
            contract.presence_threshold,
            contract.presence_calibration,
        )
        negative = contract.classes.index(contract.negative_class) if contract.negative_class else None
        scores = SplitScores(negative, np.array([thresholds.decision]))
        for image, score_map, probs in zip(val.images, answers.maps, answers.class_probs, strict=True):
            scores.add(image, score_map, probs)
        figures = report_split(scores, thresholds)
        said = [d.present for d in answers.decisions(contract)]
        wrong = sum(a != b for a, b in zip(said, val.present(negative) or (), strict=True))
        localized = len(scores.ids)
        if localized:
            right = round(figures["box_acc_deployed"] * localized / 100.0)
    return Measured(
        contract.precision,
        contract.target,
        size,
        latency_ms,
        versus,
        len(answers.maps),
        localized,
        right,
        wrong,
        figures,
    )


def judge(fp32: Measured, candidate: Measured, max_drop: float) -> list[str]:
    """Why the candidate must not fly; empty when it may.

    Args:
        max_drop: percentage points of box accuracy, and of photos with a wrong presence decision, that may
            be lost; one photo always may.
    """
    assert candidate.versus is not None
    reasons = []
    if fp32.right is not None and candidate.right is not None:
        allowed = _photos_allowed(max_drop, fp32.localized)
        if fp32.right - candidate.right > allowed:
            reasons.append(
                f"box accuracy fell from {fp32.box_accuracy:.1f} to {candidate.box_accuracy:.1f} % "
                f"({fp32.right - candidate.right} of {fp32.localized} photos, {allowed} allowed)"
            )
    if not candidate.versus.mean_iou >= LEAST_IOU:
        reasons.append(
            f"mean box IoU with fp32 is {candidate.versus.mean_iou:.3f}, expected at least {LEAST_IOU}"
        )
    allowed = _photos_allowed(max_drop, fp32.photos)
    if fp32.presence_errors is not None and candidate.presence_errors is not None:
        more, what = candidate.presence_errors - fp32.presence_errors, "wrong presence decisions more"
    else:
        more, what = candidate.versus.presence_flips, "presence decisions differ from fp32's"
    if more > allowed:
        reasons.append(f"{more} {what} on {fp32.photos} photos, {allowed} allowed")
    return reasons


def cpu_latency_ms(infer: Infer, frames: Sequence[Any]) -> float:
    """Median wall time of one inference on frames like those of val, after two that do not count."""
    times = []
    for k in range(LATENCY_RUNS + 2):
        frame = frames[k % len(frames)][None]
        start = time.perf_counter()
        infer(frame)
        times.append(1e3 * (time.perf_counter() - start))
    return float(np.median(times[2:]))


def _photos_allowed(max_drop: float, photos: int) -> int:
    return max(1, int(max_drop * photos / 100.0))


def _tau(contract: ModelContract) -> float:
    tau = contract.metrics.get("val", {}).get("tau")
    return 0.5 if tau is None else float(tau)
