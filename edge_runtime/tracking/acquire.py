"""Which of the things seen becomes the next track: detected in k of the last n frames, in one place.

detections no track wants ──observe──▶ a few hypotheses, each with a filter ──confirmed──▶ the one to track
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_runtime.tracking.gate import area, best_match, iou
from edge_runtime.tracking.kalman import BoxFilter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_runtime.tracking.settings import TrackSettings
    from edge_runtime.tracking.update import Box, Detection

MOST_HYPOTHESES = 6
MOST_DETECTIONS = 8  # of one frame, largest first; bounds the time of an update
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

    def observe(
        self, t_ns: int, detections: Sequence[Detection], usable: list[int], seed_xyxy: Box | None = None
    ) -> None:
        """Take in one frame; `usable` are indices into `detections`, of which the first few are looked at.

        What lies at the seed is kept first, then what was seen most, then latest, then the larger.
        """
        s = self._settings
        free = [i for i in usable if detections[i].score >= s.score_high]
        if seed_xyxy is not None:
            free.sort(key=lambda i: not lies_at(seed_xyxy, detections[i].box_xyxy))
        del free[MOST_DETECTIONS:]
        for hypothesis in self._hypotheses:
            self._advance(hypothesis, t_ns, detections, free)
        oldest_ns = t_ns - int(s.lost_after_ms * 1e6)
        kept = [h for h in self._hypotheses if h.frames and h.t_hit_ns >= oldest_ns]
        kept += [Hypothesis(i, BoxFilter(detections[i].box_xyxy, t_ns, s)) for i in free]
        kept.sort(key=lambda h: _rank(h, seed_xyxy), reverse=True)
        self._hypotheses = kept[:MOST_HYPOTHESES]

    def confirmed(self, seed_xyxy: Box | None = None) -> Hypothesis | None:
        """The hypothesis to track from this frame on, if one was seen often enough and just now.

        With a seed, others wait while something that lies there is still gathering hits.
        """
        enough = self._settings.acquire_hits
        waiting_for_seed = False
        for hypothesis in self._hypotheses:
            at_seed = seed_xyxy is not None and lies_at(seed_xyxy, hypothesis.filter.box_xyxy)
            ready = hypothesis.detection is not None and hypothesis.hits >= enough
            if ready and (at_seed or not waiting_for_seed):
                return hypothesis
            waiting_for_seed |= at_seed
        return None

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


def _rank(hypothesis: Hypothesis, seed: Box | None) -> tuple[bool, int, int, float]:
    box = hypothesis.filter.box_xyxy
    at_seed = seed is not None and lies_at(seed, box)
    return at_seed, hypothesis.hits, hypothesis.t_hit_ns, area(box)
