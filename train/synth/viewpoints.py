"""Where the drone hovers for a still: low, level with the antennas or above, near or far, mast off centre."""

from __future__ import annotations

import math

import numpy as np

from train.synth.camera import Camera, aimed

STEEPEST = 0.7  # slope of the line of sight to the middle of the mast


def random_view(rng: np.random.Generator, mast_height_m: float, size: tuple[int, int]) -> Camera:
    """A camera that sees a mast at the origin with a height of 40 to 95 % of the picture.

    One picture in four is a close-up: the top of the mast, the rest cut off by the lower border.
    """
    width, height = size
    focal = width / (2.0 * math.tan(math.radians(float(rng.uniform(48.0, 74.0))) / 2.0))
    close_up = bool(rng.random() < 0.25)
    share = float(rng.uniform(1.1, 1.9)) if close_up else float(rng.triangular(0.4, 0.75, 0.95))
    mode = rng.choice(3, p=(0.34, 0.4, 0.26))
    low, high = (
        (1.6, 9.0),
        (0.3 * mast_height_m, 0.95 * mast_height_m),
        (1.0 * mast_height_m, 1.6 * mast_height_m),
    )[mode]
    altitude = float(rng.uniform(low, high))
    if close_up:
        altitude = max(altitude, 0.5 * mast_height_m)
    bearing = float(rng.uniform(0.0, 2.0 * math.pi))
    distance = _distance(mast_height_m, altitude, share * height, focal)
    for _ in range(3):  # never look down steeper than a person would frame it
        altitude = min(altitude, mast_height_m / 2 + STEEPEST * distance)
        distance = _distance(mast_height_m, altitude, share * height, focal)
    eye = np.array([distance * math.sin(bearing), distance * math.cos(bearing), altitude])
    half = share * height / 2.0
    x = width * (0.5 + float(np.clip(rng.normal(0.0, 0.2), -0.38, 0.38)))
    if close_up:
        target = np.array([0.0, 0.0, mast_height_m])
        y = height * float(rng.uniform(0.12, 0.4))
    else:
        target = np.array([0.0, 0.0, mast_height_m / 2.0])
        room = max(height / 2.0 - half - 8.0, 0.0)
        y = height / 2.0 + float(rng.uniform(-1.0, 1.0)) * room
    roll = math.radians(float(np.clip(rng.normal(0.0, 1.6), -5.0, 5.0)))
    return aimed(eye, target, (x, y), focal_px=focal, size=size, roll_rad=roll)


def _distance(mast_height_m: float, altitude_m: float, wanted_px: float, focal_px: float) -> float:
    """Ground distance at which the mast spans `wanted_px`, found by halving; at least 0.3 mast heights."""
    low, high = 0.3 * mast_height_m, 40.0 * mast_height_m
    for _ in range(40):
        middle = math.sqrt(low * high)
        if _span_px(mast_height_m, altitude_m, middle, focal_px) > wanted_px:
            low = middle
        else:
            high = middle
    return high


def _span_px(mast_height_m: float, altitude_m: float, distance_m: float, focal_px: float) -> float:
    """Height of a mast in pixels for a level-rolled camera aimed at its middle."""
    top, middle, foot = (
        math.atan2(z - altitude_m, distance_m) for z in (mast_height_m, mast_height_m / 2, 0.0)
    )
    if max(top - middle, middle - foot) > 1.4:
        return math.inf
    return focal_px * (math.tan(top - middle) + math.tan(middle - foot))
