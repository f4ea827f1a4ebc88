"""Lens distortion both ways, on plain floats: a box needs five points, too few for arrays to pay off.

ideal plane point (x, y) = (X/Z, Y/Z) ──distort──▶ (xd, yd) = K⁻¹ pixel ──undistort──▶ ray and its derivatives

x right, y down, z along the optical axis. Models and order of coefficients are OpenCV's: Brown-Conrady with
rational part, k1 k2 p1 p2 [k3 [k4 k5 k6]], and the fisheye of Kannala and Brandt, k1 k2 k3 k4. The inverse is
Newton's method with the exact Jacobian, which the covariance of a bearing needs anyway.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, Tuple

MODELS: dict[str, tuple[int, ...]] = {"none": (0,), "brown": (4, 5, 8), "fisheye": (4,)}  # coefficients
MAX_STEPS = 30  # 4 or 5 are usual; one that needs more has no inverse there
STEP_TOLERANCE = 1e-10  # Newton squares the error: the next step would be below double precision
NO_INVERSE = math.nan

Vector = Tuple[float, float, float]


@dataclass(frozen=True)
class Ray:
    """A direction in the camera frame, not of unit length, with its derivatives by xd and yd."""

    direction: Vector
    d_xd: Vector
    d_yd: Vector


class Lens(Protocol):
    """One distortion model with its coefficients."""

    def distort(self, direction: Vector) -> tuple[float, float]:
        """(xd, yd) of a direction in front of the camera; NaN where the model does not reach."""
        ...

    def ray(self, xd: float, yd: float) -> Ray:
        """The direction seen at (xd, yd); NaN where the model has no inverse."""
        ...


class Brown:
    """Brown-Conrady with OpenCV's rational radial part; all coefficients 0 is a pinhole."""

    def __init__(self, coefficients: tuple[float, ...] = ()) -> None:
        k1, k2, p1, p2, k3, k4, k5, k6 = (*coefficients, *(0.0,) * (8 - len(coefficients)))
        self._up, self._tangential, self._down = (k1, k2, k3), (p1, p2), (k4, k5, k6)
        self._rational = any(self._down)

    def distort(self, direction: Vector) -> tuple[float, float]:
        x, y, z = direction
        if z <= 0.0:
            return NO_INVERSE, NO_INVERSE
        return self._forward(x / z, y / z)[:2]

    def ray(self, xd: float, yd: float) -> Ray:
        x, y = xd, yd
        for _ in range(MAX_STEPS):
            fx, fy, a, b, c, d = self._forward(x, y)
            determinant = a * d - b * c
            if not determinant > 0.0:  # folded over: two directions fall on one pixel
                break
            ex, ey = xd - fx, yd - fy
            step_x, step_y = (d * ex - b * ey) / determinant, (a * ey - c * ex) / determinant
            x, y = x + step_x, y + step_y
            if abs(step_x) + abs(step_y) < STEP_TOLERANCE:
                return Ray(
                    (x, y, 1.0),
                    (d / determinant, -c / determinant, 0.0),
                    (-b / determinant, a / determinant, 0.0),
                )
        return _NO_RAY

    def _forward(self, x: float, y: float) -> tuple[float, float, float, float, float, float]:
        """(xd, yd, dxd/dx, dxd/dy, dyd/dx, dyd/dy)."""
        (k1, k2, k3), (p1, p2) = self._up, self._tangential
        xx, yy, xy2 = x * x, y * y, 2.0 * x * y
        r2 = xx + yy
        scale = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
        slope = k1 + r2 * (2.0 * k2 + r2 * 3.0 * k3)  # d scale / d r2
        if self._rational:
            k4, k5, k6 = self._down
            down = 1.0 + r2 * (k4 + r2 * (k5 + r2 * k6))
            slope = (slope - scale / down * (k4 + r2 * (2.0 * k5 + r2 * 3.0 * k6))) / down
            scale /= down
        cross = xy2 * slope + 2.0 * (p1 * x + p2 * y)
        return (
            x * scale + p1 * xy2 + p2 * (r2 + 2.0 * xx),
            y * scale + p2 * xy2 + p1 * (r2 + 2.0 * yy),
            scale + 2.0 * xx * slope + 2.0 * p1 * y + 6.0 * p2 * x,
            cross,
            cross,
            scale + 2.0 * yy * slope + 2.0 * p2 * x + 6.0 * p1 * y,
        )


class Fisheye:
    """Kannala-Brandt: the distance from the centre is a polynomial of the angle off the axis."""

    def __init__(self, coefficients: tuple[float, ...]) -> None:
        self._k1, self._k2, self._k3, self._k4 = coefficients

    def distort(self, direction: Vector) -> tuple[float, float]:
        x, y, z = direction
        off_axis = math.hypot(x, y)
        if off_axis == 0.0:
            return (0.0, 0.0) if z > 0.0 else (NO_INVERSE, NO_INVERSE)
        radius = self._forward(math.atan2(off_axis, z))[0]
        return radius * x / off_axis, radius * y / off_axis

    def ray(self, xd: float, yd: float) -> Ray:
        radius = math.hypot(xd, yd)
        if radius < 1e-9:
            return Ray((xd, yd, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
        theta = radius
        for _ in range(MAX_STEPS):
            reached, slope = self._forward(theta)
            if not slope > 0.0:
                return _NO_RAY
            step = (radius - reached) / slope
            theta += step
            if abs(step) < STEP_TOLERANCE:
                break
        if not 0.0 < theta < math.pi:
            return _NO_RAY
        ux, uy, sine, cosine = xd / radius, yd / radius, math.sin(theta), math.cos(theta)
        along, across = 1.0 / slope, sine / radius  # d theta and turning, by a step outwards and sideways
        ac = along * cosine
        mixed = ux * uy * (ac - across)
        return Ray(
            (sine * ux, sine * uy, cosine),
            (ac * ux * ux + across * uy * uy, mixed, -sine * along * ux),
            (mixed, ac * uy * uy + across * ux * ux, -sine * along * uy),
        )

    def _forward(self, theta: float) -> tuple[float, float]:
        """Radius on the ideal plane at `theta`, and its derivative."""
        t2 = theta * theta
        radius = theta * (1.0 + t2 * (self._k1 + t2 * (self._k2 + t2 * (self._k3 + t2 * self._k4))))
        slope = 1.0 + t2 * (
            3.0 * self._k1 + t2 * (5.0 * self._k2 + t2 * (7.0 * self._k3 + t2 * 9.0 * self._k4))
        )
        return radius, slope


def make_lens(model: str, coefficients: tuple[float, ...]) -> Lens:
    """The lens of a checked `model` of `MODELS` with as many coefficients as it takes."""
    return Fisheye(coefficients) if model == "fisheye" else Brown(coefficients)


_NAN3 = (NO_INVERSE, NO_INVERSE, NO_INVERSE)
_NO_RAY = Ray(_NAN3, _NAN3, _NAN3)
