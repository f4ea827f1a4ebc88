"""The states of a track and what time alone does to them.

            k of n detections in one place           no detection > 100 ms
SEARCHING ─────────────────────────────▶ TRACKING ◀──────────────────────▶ COASTING
    ▲                                        ▲            detection            │ > 500 ms
    └─── > 2 s ─── LOST ───── k of n ────────┘ (new track id)                  │
                     ▲─────────────────────────────────────────────────────────┘
any ──fault──▶ FAULT ──healthy for 1 s──▶ SEARCHING

Only TRACKING and COASTING have a box.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_runtime.tracking.settings import TrackSettings

SEARCHING = "SEARCHING"
TRACKING = "TRACKING"
COASTING = "COASTING"
LOST = "LOST"
FAULT = "FAULT"
STATES = (SEARCHING, TRACKING, COASTING, LOST, FAULT)
WITH_BOX = frozenset({TRACKING, COASTING})


def aged(state: str, age_ms: float, settings: TrackSettings) -> str:
    """The state after `age_ms` without a detection; one call never skips LOST."""
    if state in WITH_BOX:
        if age_ms > settings.lost_after_ms:
            return LOST
        return COASTING if age_ms > settings.coast_after_ms else state
    if state == LOST and age_ms > settings.search_after_ms:
        return SEARCHING
    return state
