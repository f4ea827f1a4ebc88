"""What goes into the tracker with each frame and what comes out of every call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Tuple

from edge_runtime.tracking.kalman import extrapolate

if TYPE_CHECKING:
    from edge_runtime.tracking.kalman import Motion

Box = Tuple[float, float, float, float]


class Detection(NamedTuple):
    """One region found in a frame: `box_xyxy` as fractions of the frame, 0 <= x0 < x1 <= 1; `score` 0..1."""

    box_xyxy: Box
    score: float


@dataclass(frozen=True)
class TrackUpdate:
    """The track after one call.

    `state`: one of `STATES`. `tid`: number of the track, rising; None exactly where there is no box.
    `box_xyxy`: fractions of the frame, clipped to it; only in TRACKING and COASTING. `box_src`: "det" when a
    detection of this very frame was accepted (the box is the filter's estimate with it; the raw one is
    `detections[accepted]`), else "pred". `score`: of that detection. `since_det_ms`: time of this call minus
    capture of the last accepted detection of any track; None before the first. `box_std`: standard deviations
    of cx and cy (fractions of the frame), log w and log h. `transition`: (old, new) state when this call
    changed it. `reason`: of the fault, in FAULT only.
    """

    state: str
    tid: int | None = None
    box_xyxy: Box | None = None
    box_src: str | None = None
    score: float | None = None
    since_det_ms: float | None = None
    accepted: int | None = None
    box_std: Box | None = None
    transition: tuple[str, str] | None = None
    reason: str | None = None
    motion: Motion | None = field(default=None, repr=False)

    def predicted(self, t_ns: int) -> Box | None:
        """Where the box should be at `t_ns` (monotonic), clipped to the frame; never a detection.

        None without a track, and for times before its newest estimate.
        """
        if self.motion is None or t_ns < self.motion.t_ns:
            return None
        return extrapolate(self.motion, t_ns)
