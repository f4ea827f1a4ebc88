"""Where an autopilot would see the target: its side of LANDING_TARGET, written from the documented geometry.

ArduPilot: a body vector (-tan angle_y, tan angle_x, 1) for a camera that looks down, turned nose-up by 90
degrees for one that looks forward; with a position, that position over the distance. PX4: the ray (angle_x,
angle_y, 1) of the sensor, turned by yaw 90 degrees onto the body. Results: unit vectors, forward-right-down.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

PITCH_UP_90 = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
YAW_90 = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
BODY_FRD = 12


def ardupilot(fields: dict[str, float], *, forward: bool = False) -> Vector:
    """Line of sight in the body; raises where ArduPilot would drop the message."""
    if fields["frame"] != BODY_FRD:
        raise ValueError("Plnd: Frame not supported")
    if fields["position_valid"]:
        if fields["distance"] <= 0:
            raise ValueError("a position without a distance")
        return unit(np.array([fields["x"], fields["y"], fields["z"]]) / fields["distance"])
    down = np.array([-np.tan(fields["angle_y"]), np.tan(fields["angle_x"]), 1.0])
    return unit(PITCH_UP_90 @ down if forward else down)


def px4(fields: dict[str, float]) -> Vector:
    """Line of sight in the body, for the default LTEST_SENS_ROT."""
    if fields["position_valid"]:
        raise ValueError("unsupported coordinate frame")
    return unit(YAW_90 @ np.array([fields["angle_x"], fields["angle_y"], 1.0]))


def unit(vector: Vector) -> Vector:
    return vector / np.linalg.norm(vector)


def angle_deg(a: Vector, b: Vector) -> float:
    """Between two unit vectors; exact for small angles too."""
    return float(np.degrees(2 * np.arcsin(min(1.0, float(np.linalg.norm(a - b)) / 2))))
