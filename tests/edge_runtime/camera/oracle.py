"""What autopilots do with a LANDING_TARGET, derived again from the geometry, in numpy; no code of ours in it.

Both take the picture of a camera that looks down with its top towards the nose: picture right is body right,
picture down is body aft.
"""

from __future__ import annotations

import numpy as np


def unit(vector):
    """The vector at length 1."""
    return np.asarray(vector, float) / np.linalg.norm(vector)


def apart_deg(a, b):
    """Angle between two directions in degrees, exact for small ones."""
    a, b = unit(a), unit(b)
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b)))


def ardupilot_down(angle_x, angle_y):
    """Body FRD direction ArduPilot makes of the angle fields.

    One plane tilted by angle_x about the forward axis, one by angle_y about the right axis: the direction
    that lies in both has the tangents of the angles beside a unit downwards.
    """
    forward, right = np.tan(-angle_y), np.tan(angle_x)
    return unit([forward, right, 1.0])


def ardupilot_forward(angle_x, angle_y):
    """The same for a camera that looks forward: down becomes forward, forward becomes up."""
    down_like = ardupilot_down(angle_x, angle_y)
    return unit([down_like[2], down_like[1], -down_like[0]])


def px4_down(angle_x, angle_y):
    """Body FRD direction PX4 makes of the fields: they are tangents already, turned by yaw 90 degrees."""
    return unit([-angle_y, angle_x, 1.0])


def brown_pixel(direction, k, camera_matrix):
    """Where a camera-frame direction is seen, by the textbook formula; (k1, k2, p1, p2, k3, k4, k5, k6)."""
    x, y = direction[0] / direction[2], direction[1] / direction[2]
    k1, k2, p1, p2, k3, k4, k5, k6 = (*k, *(0.0,) * (8 - len(k)))
    r = np.hypot(x, y)
    radial = np.polyval([k3, k2, k1, 1.0], r**2) / np.polyval([k6, k5, k4, 1.0], r**2)
    bent = np.array(
        [
            x * radial + 2 * p1 * x * y + p2 * (r**2 + 2 * x**2),
            y * radial + p1 * (r**2 + 2 * y**2) + 2 * p2 * x * y,
        ]
    )
    return (np.asarray(camera_matrix) @ [*bent, 1.0])[:2]


def fisheye_pixel(direction, k, camera_matrix):
    """The same for the fisheye polynomial of the angle off the axis."""
    off = np.arctan2(np.hypot(direction[0], direction[1]), direction[2])
    radius = off + sum(c * off ** (2 * i + 3) for i, c in enumerate(k))
    turn = np.arctan2(direction[1], direction[0])
    return (np.asarray(camera_matrix) @ [radius * np.cos(turn), radius * np.sin(turn), 1.0])[:2]
