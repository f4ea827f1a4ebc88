"""Keeps one track through frames, gaps, faults and an operator's wishes; pure, without clock or threads.

update(capture time, detections), tick(now), fault, healthy, release, seed ──▶ TrackUpdate
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_runtime.tracking.acquire import Acquisition, lies_at
from edge_runtime.tracking.gate import area, best_match
from edge_runtime.tracking.kalman import extrapolate
from edge_runtime.tracking.settings import TrackSettings
from edge_runtime.tracking.states import FAULT, LOST, SEARCHING, TRACKING, WITH_BOX, aged
from edge_runtime.tracking.update import Detection, TrackUpdate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_runtime.tracking.kalman import BoxFilter
    from edge_runtime.tracking.update import Box

MS = 1e6  # ns


class Tracker:
    """One asset's track; call it from one thread.

    All times are monotonic ns. What comes with a time before the newest one known is aged by that: a frame
    not newer than the one before is ignored, and the detections of one older than `lost_after_ms` are too.
    """

    def __init__(self, settings: TrackSettings | None = None) -> None:
        self.settings = settings or TrackSettings()
        self._state = SEARCHING
        self._tid = 0  # of the present or last track
        self._filter: BoxFilter | None = None
        self._acquisition = Acquisition(self.settings)
        self._captured_ns: int | None = None  # newest frame
        self._detected_ns: int | None = None  # newest accepted detection
        self._now_ns: int | None = None  # newest time of any call
        self._well_since_ns: int | None = None
        self._held_until_ns: int | None = None
        self._seed: tuple[Box, int] | None = None  # and until when it counts
        self._pointed_at = False  # the track began at a seed
        self._reason: str | None = None

    def update(self, t_capture_ns: int, detections: Sequence[Detection]) -> TrackUpdate:
        """Take in the detections of the frame captured at `t_capture_ns`, largest first; may be empty."""
        before = self._state
        self._advance_clock(t_capture_ns)
        if self._state == FAULT or (self._captured_ns is not None and t_capture_ns <= self._captured_ns):
            return self._report(before, t_capture_ns)
        self._captured_ns = t_capture_ns
        usable = self._usable(t_capture_ns, detections)
        self._age(t_capture_ns)
        accepted = None
        if self._filter is not None:
            accepted = self._continue(self._filter, t_capture_ns, detections, usable)
        if accepted is None:
            accepted = self._acquire(before, t_capture_ns, detections, usable)
        score = None if accepted is None else detections[accepted].score
        return self._report(before, t_capture_ns, accepted, score)

    def tick(self, now_ns: int) -> TrackUpdate:
        """No frame came although one was due: only time passes."""
        before = self._state
        self._advance_clock(now_ns)
        self._age(now_ns)
        return self._report(before, now_ns)

    def fault(self, reason: str, now_ns: int) -> TrackUpdate:
        """Nothing can be trusted from now on; the track ends, frames after it may start from any time."""
        before = self._state
        self._drop(FAULT)
        self._reason = reason
        self._well_since_ns = self._captured_ns = self._detected_ns = None
        self._now_ns = now_ns
        return self._report(before, now_ns)

    def healthy(self, now_ns: int) -> TrackUpdate:
        """All is well at `now_ns`; only this ends FAULT, once it was said for `recover_after_ms`."""
        before = self._state
        self._advance_clock(now_ns)
        if self._state == FAULT:
            if self._well_since_ns is None:
                self._well_since_ns = now_ns
            if now_ns - self._well_since_ns >= self.settings.recover_after_ms * MS:
                self._state, self._reason = SEARCHING, None
        return self._report(before, now_ns)

    def release(self, now_ns: int) -> TrackUpdate:
        """The operator lets go: no track for `hold_after_stop_ms`, unless a seed comes."""
        before = self._state
        self._advance_clock(now_ns)
        if self._state != FAULT:
            self._drop(SEARCHING)
        self._seed = None
        self._held_until_ns = now_ns + int(self.settings.hold_after_stop_ms * MS)
        return self._report(before, now_ns)

    def seed(self, box_xyxy: Box, now_ns: int) -> TrackUpdate:
        """The operator points at a part of the frame: what is detected there is acquired first.

        A track that lies elsewhere is let go. Nothing is tracked before it was detected k of n times.
        """
        before = self._state
        self._advance_clock(now_ns)
        self._seed = (box_xyxy, now_ns + int(self.settings.seed_for_ms * MS))
        self._held_until_ns = None
        if self._filter is not None and not lies_at(box_xyxy, extrapolate(self._filter.motion, now_ns)):
            self._drop(SEARCHING)
        return self._report(before, now_ns)

    def _advance_clock(self, t_ns: int) -> None:
        if self._now_ns is None or t_ns > self._now_ns:
            self._now_ns = t_ns

    def _usable(self, t_ns: int, detections: Sequence[Detection]) -> list[int]:
        """Indices of what may count: a real box and score, of a frame that is not too old to be news.

        Specks beside something much larger do not count, unless an operator pointed at them.
        """
        if self._now_ns is not None and self._now_ns - t_ns > self.settings.lost_after_ms * MS:
            return []
        low = self.settings.score_low
        good = [i for i, found in enumerate(detections) if found.score >= low and _is_box(found.box_xyxy)]
        if len(good) < 2 or self._pointed_at:
            return good
        floor = self.settings.least_area_share * max(area(detections[i].box_xyxy) for i in good)
        seed = self._seed_at(t_ns)
        return [i for i in good if area(box := detections[i].box_xyxy) >= floor or _lies_at(seed, box)]

    def _age(self, t_ns: int) -> None:
        if self._detected_ns is None:
            return
        state = aged(self._state, (t_ns - self._detected_ns) / MS, self.settings)
        if state == LOST:
            self._filter, self._pointed_at = None, False
        self._state = state

    def _drop(self, state: str) -> None:
        self._state = state
        self._filter, self._pointed_at = None, False
        self._acquisition.clear()

    def _continue(
        self, track: BoxFilter, t_ns: int, detections: Sequence[Detection], usable: list[int]
    ) -> int | None:
        track.predict(t_ns)
        accepted = best_match(track, detections, usable, self.settings)
        if accepted is not None:
            track.follow(detections[accepted].box_xyxy)
            self._detected_ns = t_ns
            self._state = TRACKING
            self._acquisition.clear()
        return accepted

    def _acquire(
        self, before: str, t_ns: int, detections: Sequence[Detection], usable: list[int]
    ) -> int | None:
        """Evidence for a next track; it begins only where there is none, and never in the frame of a loss."""
        if self._state == TRACKING:
            return None
        seed = self._seed_at(t_ns)
        self._acquisition.observe(t_ns, detections, usable, seed)
        if self._filter is not None or before in WITH_BOX or self._is_held(t_ns):
            return None
        found = self._acquisition.confirmed(seed)
        if found is None:
            return None
        self._filter, self._detected_ns = found.filter, t_ns
        self._pointed_at = _lies_at(seed, found.filter.box_xyxy)
        self._state, self._seed = TRACKING, None
        self._tid += 1
        self._acquisition.clear()
        return found.detection

    def _is_held(self, t_ns: int) -> bool:
        return self._held_until_ns is not None and t_ns < self._held_until_ns

    def _seed_at(self, t_ns: int) -> Box | None:
        return self._seed[0] if self._seed is not None and t_ns < self._seed[1] else None

    def _report(
        self, before: str, t_ns: int, accepted: int | None = None, score: float | None = None
    ) -> TrackUpdate:
        since_ms = None if self._detected_ns is None else max(0.0, (t_ns - self._detected_ns) / MS)
        transition = None if before == self._state else (before, self._state)
        track = self._filter
        if track is None:
            return TrackUpdate(self._state, since_det_ms=since_ms, transition=transition, reason=self._reason)
        motion = track.motion
        return TrackUpdate(
            self._state,
            self._tid,
            extrapolate(motion, max(t_ns, motion.t_ns)),
            "pred" if accepted is None else "det",
            score,
            since_ms,
            accepted,
            track.std,
            transition,
            None,
            motion,
        )


def _lies_at(seed: Box | None, box: Box) -> bool:
    return seed is not None and lies_at(seed, box)


def _is_box(box: Box) -> bool:
    """False for NaN, too."""
    x0, y0, x1, y1 = box
    return 0.0 <= x0 < x1 <= 1.0 and 0.0 <= y0 < y1 <= 1.0
