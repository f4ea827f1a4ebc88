"""Which of the things seen becomes the next track: detected in k of the last n frames, in one place.

detections no track wants ──observe──▶ a few hypotheses, each with a filter ──confirmed──▶ the one to track
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_runtime.tracking.gate import best_match, iou
from edge_runtime.tracking.kalman import BoxFilter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_runtime.tracking.settings import TrackSettings
    from edge_runtime.tracking.update import Box, Detection

MOST_HYPOTHESES = 6
_SEED_IOU = 0.1


class Hypothesis:
    """Something seen at least once: where, and in which of the last frames (bit 0 is the newest)."""

    __slots__ = ("detection", "filter", "frames", "t_hit_ns")

    def __init__(self, detection: int, box_filter: BoxFilter) -> None:
        self.filter = box_filter
        self.t_hit_ns = box_filter.t_ns
        self.frames = 1
        self.detection: int | None = detection  # index in the newest frame

    @property
    def hits(self) -> int:
        """In how many of the last n frames it was seen."""
        return bin(self.frames).count("1")


class Acquisition:
    """Collects evidence for the next track; forgets what is not seen again."""

    def __init__(self, settings: TrackSettings) -> None:
        self._settings = settings
        self._window = (1 << settings.acquire_window) - 1
        self._hypotheses: list[Hypothesis] = []

    def clear(self) -> None:
        """Forget everything seen."""
        self._hypotheses = []

    def observe(self, t_ns: int, detections: Sequence[Detection], usable: list[int]) -> None:
        """Take in one frame; `usable` are indices into `detections`."""
        s = self._settings
        free = [i for i in usable if detections[i].score >= s.score_high]
        for hypothesis in sorted(self._hypotheses, key=lambda h: -h.hits):
            self._advance(hypothesis, t_ns, detections, free)
        oldest_ns = t_ns - int(s.lost_after_ms * 1e6)
        self._hypotheses = [h for h in self._hypotheses if h.frames and h.t_hit_ns >= oldest_ns]
        for i in free[: MOST_HYPOTHESES - len(self._hypotheses)]:
            self._hypotheses.append(Hypothesis(i, BoxFilter(detections[i].box_xyxy, t_ns, s)))

    def confirmed(self, seed_xyxy: Box | None = None) -> Hypothesis | None:
        """The hypothesis to track from this frame on, if one was seen often enough and just now.

        More hits come first, then the larger box. With a seed, what lies there comes before everything else:
        others wait while it is still gathering hits.
        """
        ready = [
            h for h in self._hypotheses if h.detection is not None and h.hits >= self._settings.acquire_hits
        ]
        if seed_xyxy is not None:
            there = [h for h in self._hypotheses if lies_at(seed_xyxy, h.filter.box_xyxy)]
            if there:
                ready = [h for h in ready if h in there]
        return max(ready, key=lambda h: (h.hits, _area(h.filter.box_xyxy)), default=None)

    def _advance(
        self, hypothesis: Hypothesis, t_ns: int, detections: Sequence[Detection], free: list[int]
    ) -> None:
        hypothesis.filter.predict(t_ns)
        match = best_match(hypothesis.filter, detections, free, self._settings)
        hypothesis.frames = (hypothesis.frames << 1) & self._window
        hypothesis.detection = match
        if match is not None:
            free.remove(match)
            hypothesis.frames |= 1
            hypothesis.t_hit_ns = t_ns
            hypothesis.filter.follow(detections[match].box_xyxy)


def lies_at(seed: Box, box: Box) -> bool:
    """Does a box lie where the operator pointed: its centre inside, or enough overlap?"""
    x, y = (box[0] + box[2]) / 2.0, (box[1] + box[3]) / 2.0
    return (seed[0] <= x <= seed[2] and seed[1] <= y <= seed[3]) or iou(seed, box) >= _SEED_IOU


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
