"""Thresholds chosen again for a quantized model, and P(in view) fitted again: scores shift before boxes do.

fp32 answers, quantized answers on the same val frames ──▶ contract with both thresholds moved where needed

Nothing is tuned beyond fp32: the aim is to take the same decisions, not to be right by chance where fp32
is wrong.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from calibration.agreement import box_iou, first_box
from calibration.presence import refit_presence
from edge_runtime.boxes import find_candidates, presence_score
from edge_runtime.presence import object_probability

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from calibration.agreement import Answers
    from edge_runtime.contract import ModelContract

REACH, STEP = 0.10, 0.01  # how far from fp32's decision threshold to look, and how finely
EQUAL_IOU = 2e-3  # mean IoU closer than this to the best is as good: the noise of some dozen frames


def rescore(
    reference: Answers, candidate: Answers, contract: ModelContract, present: Sequence[bool] | None = None
) -> ModelContract:
    """`contract` of the fp32 model with the thresholds and the presence calibration that suit the candidate.

    Args:
        present: per frame, is an object in it? None when unknown.
    """
    ours, theirs = _scores(reference, contract), _scores(candidate, contract)
    before = contract.presence_calibration
    return dataclasses.replace(
        contract,
        decision_threshold=choose_decision_threshold(reference, candidate, contract),
        presence_threshold=choose_presence_threshold(
            ours[:, 0].tolist(), theirs[:, 0].tolist(), contract.presence_threshold, present
        ),
        presence_calibration=None if before is None else refit_presence(ours, theirs, before),
    )


def choose_decision_threshold(reference: Answers, candidate: Answers, contract: ModelContract) -> float:
    """The threshold in reach whose first boxes fit fp32's best; of equally good ones that nearest to fp32's.

    Frames on which fp32 sees nothing do not count.
    """
    before = contract.decision_threshold
    boxes = [first_box(decision) for decision in reference.decisions(contract)]
    seen = [(box, candidate.maps[i]) for i, box in enumerate(boxes) if box is not None]
    if not seen:
        return before
    steps = np.arange(-round(REACH / STEP), round(REACH / STEP) + 1) * STEP
    tried = [t for t in np.round(before + steps, 6).tolist() if 0.0 < t < 1.0] or [before]
    fits = [float(np.mean([box_iou(box, _box_at(score_map, t)) for box, score_map in seen])) for t in tried]
    good = [t for t, fit in zip(tried, fits, strict=True) if fit >= max(fits) - EQUAL_IOU]
    return float(min(good, key=lambda t: abs(t - before)))


def choose_presence_threshold(
    reference: Sequence[float],
    candidate: Sequence[float],
    before: float,
    present: Sequence[bool] | None = None,
) -> float:
    """Where to say "in view" so that decisions stay those of fp32.

    Fewest wrong decisions where labels tell (no fewer than fp32 makes count as better), then fewest that
    differ from fp32, then the cut nearest to `before`: `before` itself if it is as good as any, else the
    middle between the two scores around the cut.

    Args:
        reference, candidate: presence scores of fp32 and of the quantized model, per frame.
        before: fp32's threshold.
        present: per frame, is an object in it? None when unknown.
    """
    scores = np.asarray(candidate, np.float64)
    said = np.asarray(reference) >= before
    truth = None if present is None else np.asarray(present, bool)
    allowed = 0 if truth is None else int((said != truth).sum())

    def cost(cut: float) -> tuple[int, int, float]:
        says = scores >= cut
        wrong = 0 if truth is None else max(allowed, int((says != truth).sum()))
        return wrong, int((says != said).sum()), abs(cut - before)

    return float(min([before, *_between(scores)], key=cost))


def _scores(answers: Answers, contract: ModelContract) -> NDArray[np.float64]:
    """(n, 2) presence score and probability of any object class, per frame."""
    both = zip(answers.maps, answers.class_probs, strict=True)
    scores = [(presence_score(m), object_probability(probs.tolist(), contract.negative)) for m, probs in both]
    return np.array(scores)


def _between(scores: NDArray[np.float64]) -> list[float]:
    """Cuts in the middle between neighbouring scores, and just outside all of them, within [0, 1]."""
    rims = np.concatenate([[0.0], np.unique(scores), [1.0]])
    return [float(cut) for cut in (rims[1:] + rims[:-1]) / 2]


def _box_at(score_map: NDArray[np.float32], threshold: float) -> tuple[float, float, float, float] | None:
    found = find_candidates(score_map, threshold)
    return found[0].box_xyxy if found else None
