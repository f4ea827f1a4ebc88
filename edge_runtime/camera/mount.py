"""How the camera sits on the vehicle: a name, three angles or a matrix ──▶ body_from_camera (3, 3).

Body is FRD: x forward, y right, z down. Camera: x right, y down in the picture, z along the optical axis.
"""

from __future__ import annotations

import math
from typing import Any, Tuple

from edge_runtime.errors import UsageError

Vector = Tuple[float, float, float]
Matrix = Tuple[Vector, Vector, Vector]

FORWARD: Matrix = ((0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
DOWN: Matrix = ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))  # the picture's top is the nose
NAMED = {"forward": FORWARD, "down": DOWN}
ANGLES = ("roll_deg", "pitch_deg", "yaw_deg")
MAX_SKEW = 1e-3  # of R Rᵀ from the identity: three decimals typed by hand pass, a wrong matrix does not


def parse_mount(value: Any, origin: str) -> Matrix:
    """Read the `mount` of a camera file.

    Args:
        value: "forward", "down", {roll_deg, pitch_deg, yaw_deg} of the camera as seen from "forward" (nose-up
            pitch, right yaw and clockwise roll are positive; a missing one is 0), or body_from_camera as
            three rows.

    Raises:
        UsageError: none of these, or a matrix that is no rotation.
    """
    if isinstance(value, str) and value in NAMED:
        return NAMED[value]
    if isinstance(value, dict) and value and set(value) <= set(ANGLES):
        roll, pitch, yaw = (_number(value.get(key, 0.0), f"{origin}: mount.{key}") for key in ANGLES)
        return _times(_rotation(math.radians(roll), math.radians(pitch), math.radians(yaw)), FORWARD)
    if is_3x3(value):
        rows = [[_number(cell, f"{origin}: mount") for cell in row] for row in value]
        return _nearest_rotation(rows, origin)
    raise UsageError(
        f"{origin}: mount = {value!r}; expected {' or '.join(map(repr, NAMED))}, "
        f"{{{', '.join(ANGLES)}}}, or body_from_camera as three rows of three numbers"
    )


def is_3x3(value: Any) -> bool:
    """Three lists of three, of whatever."""
    return isinstance(value, list) and [len(row) if isinstance(row, list) else 0 for row in value] == [
        3,
        3,
        3,
    ]


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise UsageError(f"{what} is {value!r}, expected a finite number")
    return float(value)


def _nearest_rotation(rows: list[list[float]], origin: str) -> Matrix:
    import numpy as np

    given = np.array(rows)
    skew = float(np.abs(given @ given.T - np.eye(3)).max())
    if skew > MAX_SKEW or np.linalg.det(given) < 0:
        why = f"is off by {skew:.2g} from orthonormal" if skew > MAX_SKEW else "mirrors (determinant -1)"
        raise UsageError(
            f"{origin}: mount is not a rotation: the matrix {why}; its rows are forward, right and down "
            "of the vehicle in camera axes (x right, y down, z out of the lens)"
        )
    u, _, vt = np.linalg.svd(given)
    a, b, c = (u @ vt).tolist()
    return (a[0], a[1], a[2]), (b[0], b[1], b[2]), (c[0], c[1], c[2])


def _rotation(roll: float, pitch: float, yaw: float) -> Matrix:
    """Rz(yaw) Ry(pitch) Rx(roll), aerospace order about FRD axes."""
    cr, sr, cp, sp, cy, sy = (f(a) for a in (roll, pitch, yaw) for f in (math.cos, math.sin))
    return (
        (cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr),
        (sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr),
        (-sp, cp * sr, cp * cr),
    )


def _times(a: Matrix, b: Matrix) -> Matrix:
    columns = tuple(zip(*b))
    x, y, z = (tuple(sum(p * q for p, q in zip(row, column)) for column in columns) for row in a)
    return (x[0], x[1], x[2]), (y[0], y[1], y[2]), (z[0], z[1], z[2])
