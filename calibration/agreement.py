"""Does a cheaper form of a model still say the same? Boxes and presence as deployed, on the same frames.

frames ──reference, candidate──▶ maps ──edge_runtime.boxes at each one's own thresholds──▶ Agreement
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_runtime.boxes import Decision, decode_map
from edge_runtime.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_runtime.contract import ModelContract

    Box = tuple[float, float, float, float]

# (N, H, W, 3) uint8 BGR ──▶ maps (N, H, W) in [0, 1] and class probabilities (N, K), float32: `Backend.infer`
Infer = Callable[["NDArray[np.uint8]"], "tuple[NDArray[np.float32], NDArray[np.float32]]"]


@dataclass(frozen=True)
class Agreement:
    """How a candidate's answers differ from the reference's over `frames` frames.

    `mean_iou`, `min_iou`: of the first boxes, 1 where both find nothing and 0 where only one does.
    `presence_flips`: frames on which one sees the asset and the other does not.
    `map_mean`, `map_max`, `class_max`: absolute differences of probabilities, mean over all pixels and max.
    """

    frames: int
    mean_iou: float
    min_iou: float
    presence_flips: int
    map_mean: float
    map_max: float
    class_max: float

    def rounded(self) -> dict[str, Any]:
        """JSON-able, six decimals: what goes into metadata and reports."""
        return {
            name: round(value, 6) if isinstance(value, float) else value
            for name, value in dataclasses.asdict(self).items()
        }


@dataclass(frozen=True)
class Answers:
    """What one model says about a list of frames: `maps` (n, H, W), `class_probs` (n, K), float32."""

    maps: NDArray[np.float32]
    class_probs: NDArray[np.float32]

    def decisions(self, contract: ModelContract) -> list[Decision]:
        """Decoded as in flight, at the thresholds of the contract."""
        return [
            decode_map(score_map, contract.decision_threshold, contract.presence_threshold)
            for score_map in self.maps
        ]


def ask(
    infer: Infer, frames: Iterable[NDArray[np.uint8]], step: Callable[[], None] = lambda: None
) -> Answers:
    """Run a model over (H, W, 3) frames one at a time.

    Raises:
        ModelError: a value that is not finite.
    """
    maps, probs = [], []
    for number, frame in enumerate(frames):
        score_map, class_probs = infer(frame[None])
        if not (np.isfinite(score_map).all() and np.isfinite(class_probs).all()):
            raise ModelError(f"the model gives values that are not finite on frame {number}")
        maps.append(score_map[0])
        probs.append(class_probs[0])
        step()
    assert maps, "no frame to compare on"
    return Answers(np.stack(maps), np.stack(probs))


def compare(
    reference: Infer,
    candidate: Infer,
    frames: Sequence[NDArray[np.uint8]],
    contract: ModelContract,
    candidate_contract: ModelContract | None = None,
) -> Agreement:
    """Run both on the same (H, W, 3) frames; thresholds are those of each one's contract (the same one if
    `candidate_contract` is None)."""
    return agreement(ask(reference, frames), ask(candidate, frames), contract, candidate_contract or contract)


def agreement(
    reference: Answers, candidate: Answers, contract: ModelContract, candidate_contract: ModelContract
) -> Agreement:
    """Compare answers to the same frames, decoded at the thresholds of each one's own contract."""
    assert reference.maps.shape == candidate.maps.shape
    ours, theirs = reference.decisions(contract), candidate.decisions(candidate_contract)
    ious = [box_iou(first_box(a), first_box(b)) for a, b in zip(ours, theirs, strict=True)]
    # frame by frame: a difference of all maps at once would take as much memory again
    errors = [
        (difference.mean(dtype=np.float64), difference.max())
        for a, b in zip(reference.maps, candidate.maps, strict=True)
        for difference in (np.abs(a - b),)
    ]
    return Agreement(
        frames=len(ious),
        mean_iou=float(np.mean(ious)),
        min_iou=float(np.min(ious)),
        presence_flips=sum(a.present != b.present for a, b in zip(ours, theirs, strict=True)),
        map_mean=float(np.mean([mean for mean, _ in errors])),
        map_max=float(max(largest for _, largest in errors)),
        class_max=float(np.abs(reference.class_probs - candidate.class_probs).max()),
    )


def first_box(decision: Decision) -> Box | None:
    """The box a pilot sees: that of the largest region."""
    return decision.candidates[0].box_xyxy if decision.candidates else None


def box_iou(a: Box | None, b: Box | None) -> float:
    """Intersection over union of two boxes in the same unit; 1 when both are missing, 0 when one is."""
    if a is None or b is None:
        return float(a is b)
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union
