"""A box on the picture to directions in space, with covariance (guidance contract, angle mathematics).

box (fractions) + CameraModel ──bearing_of──▶ Bearing ──to_record──▶ bearing, cov, los, range_m of the record
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_runtime.camera.lens import Ray, Vector
    from edge_runtime.camera.model import CameraModel

    Box = tuple[float, float, float, float]

KNOWN_HEIGHT = "known_height"  # the only thing a range is ever derived from
UNKNOWN_AZIMUTH_VAR = math.pi**2 / 3  # rad², uniform on the circle
MAX_RANGE_ELEVATION = math.radians(60)  # steeper than this, the height of a thing is no longer what one sees
DECIMALS = 6  # 1e-6 rad is 0.00006 degrees


@dataclass(frozen=True)
class Bearing:
    """Where the centre of a box lies, as of capture. Angles in rad.

    `az`, `el`: azimuth (right +) and elevation (up +) in the body frame FRD. `ang_x`, `ang_y`: plane angles
    from the optical axis in the picture (right +, down +), what LANDING_TARGET calls angle_x and angle_y;
    `size_x`, `size_y`: the same between the box's edges. They are not az and el. Beyond 90 degrees off the
    axis (fisheye only) they have no tangent; `los` and az, el hold everywhere.
    `cov`: (var az, cov az el, var el) in rad². `los`: unit vector, body FRD.
    `range_m`, `range_std_m`: slant range and its standard deviation, only from a known object height.
    """

    az: float
    el: float
    ang_x: float
    ang_y: float
    size_x: float
    size_y: float
    cov: tuple[float, float, float]
    los: Vector
    range_m: float | None = None
    range_std_m: float | None = None

    def to_record(self) -> dict[str, Any]:
        """The record's `bearing`, `cov`, `los`, `range_m`, with `range_src` and `range_std_m` behind it."""
        ranged = self.range_m is not None
        return {
            "bearing": {
                "frame": "body_frd",
                "az": round(self.az, DECIMALS),
                "el": round(self.el, DECIMALS),
                "ang_x": round(self.ang_x, DECIMALS),
                "ang_y": round(self.ang_y, DECIMALS),
                "size_x": round(self.size_x, DECIMALS),
                "size_y": round(self.size_y, DECIMALS),
            },
            "cov": [float(f"{value:.4g}") for value in self.cov],
            "los": [round(value, DECIMALS) for value in self.los],
            "range_m": None if self.range_m is None else round(self.range_m, 2),
            "range_src": KNOWN_HEIGHT if ranged else None,
            "range_std_m": None if self.range_std_m is None else round(self.range_std_m, 2),
        }


def bearing_of(
    camera: CameraModel,
    box_xyxy: Box,
    frame_wh: tuple[int, int],
    box_std: Sequence[float] | None = None,
    cls: str | None = None,
) -> Bearing | None:
    """Where a box lies.

    Args:
        camera: which camera saw it.
        box_xyxy: corners as fractions of the frame, x0 < x1, y0 < y1.
        frame_wh: size of the frame in pixels; see `CameraModel.fits`.
        box_std: (4,) standard deviations of cx, cy (fractions), log w, log h, from the tracker.
        cls: class of the box; a range comes only from its known height.

    Returns:
        The bearing, or None where a fisheye's model does not reach (its black corners).

    Raises:
        UsageError: the frame has another shape than the calibrated picture.
    """
    camera.check_frame(frame_wh)
    x0, y0, x1, y1 = box_xyxy
    mid_x, mid_y = (x0 + x1) / 2, (y0 + y1) / 2
    ray = camera.ray(mid_x, mid_y)
    left, right = camera.ray(x0, mid_y).direction, camera.ray(x1, mid_y).direction
    top, bottom = camera.ray(mid_x, y0).direction, camera.ray(mid_x, y1).direction
    x, y, z = ray.direction
    size_x = math.atan2(right[0], right[2]) - math.atan2(left[0], left[2])
    size_y = math.atan2(bottom[1], bottom[2]) - math.atan2(top[1], top[2])
    if not math.isfinite(x + size_x + size_y):
        return None
    body = _turn(camera, ray.direction)
    length, level = math.hypot(*body), math.hypot(body[0], body[1])
    slant = length / level if level else 0.0
    range_m, range_std_m = _range(camera, box_xyxy, (top, bottom), slant, box_std, cls)
    return Bearing(
        az=math.atan2(body[1], body[0]),
        el=math.atan2(-body[2], level),
        ang_x=math.atan2(x, z),
        ang_y=math.atan2(y, z),
        size_x=size_x,
        size_y=size_y,
        cov=_covariance(camera, ray, body, box_std),
        los=(body[0] / length, body[1] / length, body[2] / length),
        range_m=range_m,
        range_std_m=range_std_m,
    )


def _turn(camera: CameraModel, vector: Vector) -> Vector:
    """A camera vector in the body frame."""
    (a, b, c), (d, e, f), (g, h, i) = camera.mount
    x, y, z = vector
    return a * x + b * y + c * z, d * x + e * y + f * z, g * x + h * y + i * z


def _covariance(
    camera: CameraModel, ray: Ray, body: Vector, box_std: Sequence[float] | None
) -> tuple[float, float, float]:
    """First-order propagation of the centre's pixel noise through lens, mount and angles."""
    std_x, std_y = (0.0, 0.0) if box_std is None else (box_std[0] * camera.width, box_std[1] * camera.height)
    noise = camera.noise_px**2
    var_xd, var_yd = (noise + std_x**2) / camera.fx**2, (noise + std_y**2) / camera.fy**2
    bx, by, bz = body
    level2 = bx * bx + by * by
    total2 = level2 + bz * bz
    by_xd, by_yd = _turn(camera, ray.d_xd), _turn(camera, ray.d_yd)
    if level2 <= 1e-12 * total2:  # straight up or down: every azimuth is as good as the other
        by_x = (by_xd[0] ** 2 + by_xd[1] ** 2) * var_xd
        by_y = (by_yd[0] ** 2 + by_yd[1] ** 2) * var_yd
        return UNKNOWN_AZIMUTH_VAR, 0.0, (by_x + by_y) / (2 * total2)
    level = math.sqrt(level2)

    def angles(d: Vector) -> tuple[float, float]:
        d_level = (bx * d[0] + by * d[1]) / level
        return (bx * d[1] - by * d[0]) / level2, (bz * d_level - level * d[2]) / total2

    (az_x, el_x), (az_y, el_y) = angles(by_xd), angles(by_yd)
    var_az = az_x * az_x * var_xd + az_y * az_y * var_yd
    shared = az_x * el_x * var_xd + az_y * el_y * var_yd
    var_el = el_x * el_x * var_xd + el_y * el_y * var_yd
    if var_az > UNKNOWN_AZIMUTH_VAR:
        shared *= math.sqrt(UNKNOWN_AZIMUTH_VAR / var_az)
        var_az = UNKNOWN_AZIMUTH_VAR
    return var_az, shared, var_el


def _range(
    camera: CameraModel,
    box_xyxy: Box,
    top_and_bottom: tuple[Vector, Vector],
    slant: float,
    box_std: Sequence[float] | None,
    cls: str | None,
) -> tuple[float | None, float | None]:
    """(range, its standard deviation) of an upright thing of known height, by a vehicle that flies level.

    `slant`: slant range over horizontal distance, of the centre's direction. None and None where the height
    is not known, the box is cut off at top or bottom, or the view is too steep to see a height.
    """
    height = None if cls is None else camera.heights_m.get(cls)
    _, y0, _, y1 = box_xyxy
    if height is None or y0 <= 0.0 or y1 >= 1.0:
        return None, None
    rises = []
    for direction in top_and_bottom:
        bx, by, bz = _turn(camera, direction)
        rises.append(math.atan2(-bz, math.hypot(bx, by)))
    if max(map(abs, rises)) > MAX_RANGE_ELEVATION or rises[0] <= rises[1]:
        return None, None
    range_m = slant * height / (math.tan(rises[0]) - math.tan(rises[1]))
    edges = math.sqrt(2.0) * camera.noise_px / (camera.height * (y1 - y0))
    return range_m, range_m * math.hypot(edges, 0.0 if box_std is None else box_std[3])
