"""Every number of the tracker, with its unit in its name; checked once, when built.

flags, TOML ──TrackSettings──▶ Tracker
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from edge_runtime.errors import UsageError

MOST_WINDOW = 64


@dataclass(frozen=True)
class TrackSettings:
    """When a track begins, what continues it, when it ends.

    Ages count from the capture of the last detection taken.

    Acquisition: `acquire_hits` of the last `acquire_window` frames hold a detection of at least `score_high`
    in the same place. A track goes on with a detection of at least `score_low` whose box overlaps the
    predicted one by `gate_iou`, or lies within `gate_mahalanobis` (squared distance of the four box
    parameters, chi-square with 4 degrees of freedom: 13.28 keeps 99 % of what the filter expects), or holds a
    share `gate_covered` of the predicted box.

    A detection smaller than `least_area_share` of the largest of its frame counts as a speck: it neither
    begins nor continues a track, except one an operator pointed at.

    Filter: `*_noise_*` are standard deviations of one detection, the centre's as a share of the box's side;
    `*_accel` root spectral densities of the acceleration driving the constant-velocity model, centre in
    frame sides/s^1.5, log of the size in 1/s^1.5; `*_speed_*` standard deviations of an unknown velocity.
    """

    acquire_hits: int = 3
    acquire_window: int = 5
    score_high: float = 0.0
    score_low: float = 0.0
    least_area_share: float = 0.1
    coast_after_ms: float = 100.0
    lost_after_ms: float = 500.0
    search_after_ms: float = 2000.0
    recover_after_ms: float = 1000.0  # healthy for so long before FAULT ends
    hold_after_stop_ms: float = 2000.0  # an operator's stop keeps the next track away so long, a seed ends it
    seed_for_ms: float = 5000.0  # how long an operator's seed comes first
    gate_iou: float = 0.3
    gate_mahalanobis: float = 13.28
    gate_covered: float = 0.9
    centre_noise_share: float = 0.06
    size_noise_log: float = 0.12
    centre_accel: float = 0.4
    size_accel: float = 1.0
    centre_speed_per_s: float = 0.3
    size_speed_log_per_s: float = 0.5

    def __post_init__(self) -> None:
        """Raises UsageError naming the field, what was given and what it must be."""
        for field in fields(self):
            value = getattr(self, field.name)
            _check(math.isfinite(value) and value >= 0, field.name, value, "finite and not negative")
        _check(
            1 <= self.acquire_window <= MOST_WINDOW, "acquire_window", self.acquire_window, "1 to 64 frames"
        )
        within = f"1 to acquire_window ({self.acquire_window})"
        _check(1 <= self.acquire_hits <= self.acquire_window, "acquire_hits", self.acquire_hits, within)
        _check(self.score_high <= 1.0, "score_high", self.score_high, "0 to 1")
        below = f"0 to score_high ({self.score_high:g})"
        _check(self.score_low <= self.score_high, "score_low", self.score_low, below)
        beyond = f"more than coast_after_ms ({self.coast_after_ms:g})"
        _check(self.lost_after_ms > self.coast_after_ms, "lost_after_ms", self.lost_after_ms, beyond)
        later = f"at least lost_after_ms ({self.lost_after_ms:g})"
        _check(self.search_after_ms >= self.lost_after_ms, "search_after_ms", self.search_after_ms, later)
        _check(self.least_area_share <= 1.0, "least_area_share", self.least_area_share, "0 to 1")
        for name in ("gate_iou", "gate_covered"):
            _check(0.0 < getattr(self, name) <= 1.0, name, getattr(self, name), "above 0, at most 1")
        for name in ("centre_noise_share", "size_noise_log", "centre_accel", "size_accel"):
            _check(getattr(self, name) > 0, name, getattr(self, name), "above 0")


def _check(fine: bool, name: str, value: float, expected: str) -> None:
    if not fine:
        raise UsageError(f"tracking setting {name} = {value:g}, expected {expected}")
