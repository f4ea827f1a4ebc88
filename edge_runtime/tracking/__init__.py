"""Follows one asset through the frames and says, at any time, how far its box may be trusted.

detections of a frame ──Tracker.update──▶ TrackUpdate (state, track id, box, where the box comes from)
no frame came ──────────Tracker.tick────▶
"""

from edge_runtime.tracking.settings import TrackSettings
from edge_runtime.tracking.states import COASTING, FAULT, LOST, SEARCHING, STATES, TRACKING
from edge_runtime.tracking.tracker import Tracker
from edge_runtime.tracking.update import Detection, TrackUpdate

__all__ = [
    "COASTING",
    "FAULT",
    "LOST",
    "SEARCHING",
    "STATES",
    "TRACKING",
    "Detection",
    "TrackSettings",
    "TrackUpdate",
    "Tracker",
]
