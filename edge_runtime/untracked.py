"""What stands in for the tracker where frames do not follow one another (a folder of photos, `--no-track`).

detections of one frame ──Untracked.update──▶ TrackUpdate: TRACKING with the largest one, else SEARCHING
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_runtime.tracking import FAULT, SEARCHING, TRACKING, TrackUpdate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_runtime.tracking import Detection
    from edge_runtime.tracking.update import Box


class Untracked:
    """Has the methods of `Tracker`; knows no track number, no prediction and no operator's wishes."""

    def __init__(self) -> None:
        self._state = SEARCHING
        self._detected_ns: int | None = None

    def update(self, t_capture_ns: int, detections: Sequence[Detection]) -> TrackUpdate:
        """The largest detection of this frame, as it is."""
        before = self._state
        if before == FAULT:
            return TrackUpdate(FAULT)
        if detections:
            self._detected_ns = t_capture_ns
        self._state = TRACKING if detections else SEARCHING
        since_ms = None if self._detected_ns is None else max(0.0, (t_capture_ns - self._detected_ns) / 1e6)
        transition = None if before == self._state else (before, self._state)
        if not detections:
            return TrackUpdate(SEARCHING, since_det_ms=since_ms, transition=transition)
        first = detections[0]
        return TrackUpdate(
            TRACKING, None, first.box_xyxy, "det", first.score, since_ms, 0, transition=transition
        )

    def fault(self, reason: str, now_ns: int) -> TrackUpdate:
        """Nothing can be trusted until `healthy` is called."""
        before, self._state = self._state, FAULT
        self._detected_ns = None
        transition = None if before == FAULT else (before, FAULT)
        return TrackUpdate(FAULT, transition=transition, reason=reason)

    def healthy(self, now_ns: int) -> TrackUpdate:
        """Ends FAULT at once: no track can have gone astray meanwhile."""
        transition = (FAULT, SEARCHING) if self._state == FAULT else None
        if transition:
            self._state = SEARCHING
        return TrackUpdate(self._state, transition=transition)

    def release(self, now_ns: int) -> TrackUpdate:
        """There is no track to let go."""
        return TrackUpdate(self._state)

    def seed(self, box_xyxy: Box, now_ns: int) -> TrackUpdate:
        """There is no track to begin."""
        return TrackUpdate(self._state)
