"""A pinhole camera in a metric world: where a 3-D point lands in the picture, and where a pixel looks.

World: x east, y north, z up, metres, ground at z = 0. Camera: x right, y down, z forward.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEAR_M = 0.5  # nothing nearer than this is drawn


@dataclass(frozen=True)
class Camera:
    """Pinhole without distortion; pixel centres lie at whole numbers.

    `position_m`: (3,) world. `camera_from_world`: (3, 3), rows are right, down, forward.
    `focal_px`: same in both directions. `centre_px`: principal point (x, y).
    """

    position_m: NDArray[np.float64]
    camera_from_world: NDArray[np.float64]
    focal_px: float
    centre_px: tuple[float, float]
    width: int
    height: int

    def window(self, x0: int, y0: int, width: int, height: int, scale: int) -> Camera:
        """The camera that sees only a pixel window of this one, `scale` times finer."""
        return replace(
            self,
            focal_px=self.focal_px * scale,
            centre_px=(
                (self.centre_px[0] - x0 + 0.5) * scale - 0.5,
                (self.centre_px[1] - y0 + 0.5) * scale - 0.5,
            ),
            width=width * scale,
            height=height * scale,
        )

    def finer(self, scale: int) -> Camera:
        """Same view with `scale` times the pixels in each direction."""
        return self.window(0, 0, self.width, self.height, scale)

    def to_camera(self, points_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """World points (..., 3) in camera axes, metres; z is the depth."""
        points: NDArray[np.float64] = (points_m - self.position_m) @ self.camera_from_world.T
        return points

    def to_pixels(self, points_camera: NDArray[np.float64]) -> NDArray[np.float64]:
        """Camera-axes points (..., 3) to pixels (..., 2); depth below `NEAR_M` is taken as `NEAR_M`."""
        depth = np.maximum(points_camera[..., 2:], NEAR_M)
        pixels: NDArray[np.float64] = points_camera[..., :2] / depth * self.focal_px + np.array(
            self.centre_px
        )
        return pixels

    def project(self, points_m: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """World points (..., 3) to pixels (..., 2) and depths (...) in metres."""
        points = self.to_camera(np.asarray(points_m, np.float64))
        return self.to_pixels(points), points[..., 2]

    def rays(self) -> NDArray[np.float32]:
        """World directions (H, W, 3) of all pixels, not normalised: one metre of depth each."""
        x = (np.arange(self.width) - self.centre_px[0]) / self.focal_px
        y = (np.arange(self.height) - self.centre_px[1]) / self.focal_px
        right, down, forward = self.camera_from_world
        rows = (forward + y[:, None] * down).astype(np.float32)
        columns = (x[:, None] * right).astype(np.float32)
        rays: NDArray[np.float32] = rows[:, None, :] + columns[None, :, :]
        return rays


def orientation(yaw_rad: float, pitch_rad: float, roll_rad: float = 0.0) -> NDArray[np.float64]:
    """`camera_from_world` of a camera that looks towards compass bearing `yaw_rad`, `pitch_rad` upwards."""
    sy, cy, sp, cp = math.sin(yaw_rad), math.cos(yaw_rad), math.sin(pitch_rad), math.cos(pitch_rad)
    right, down, forward = np.array([[cy, -sy, 0.0], [sy * sp, cy * sp, -cp], [sy * cp, cy * cp, sp]])
    c, s = math.cos(roll_rad), math.sin(roll_rad)
    return np.array([c * right + s * down, c * down - s * right, forward])


def aimed(
    position_m: NDArray[np.float64],
    target_m: NDArray[np.float64],
    pixel: tuple[float, float],
    *,
    focal_px: float,
    size: tuple[int, int],
    roll_rad: float = 0.0,
) -> Camera:
    """Camera at `position_m` turned so that `target_m` appears at `pixel` (x, y); `size` is (w, h)."""
    width, height = size
    centre = ((width - 1) / 2, (height - 1) / 2)
    east, north, up = (float(v) for v in target_m - position_m)
    yaw, pitch = math.atan2(east, north), math.atan2(up, math.hypot(east, north))
    yaw -= math.atan((pixel[0] - centre[0]) / focal_px)
    pitch += math.atan((pixel[1] - centre[1]) / focal_px)
    camera = Camera(position_m, orientation(yaw, pitch, roll_rad), focal_px, centre, width, height)
    for _ in range(4):  # roll and pitch bend the first guess by a few pixels
        (x, y), _depth = camera.project(target_m)
        yaw += (float(x) - pixel[0]) / focal_px
        pitch -= (float(y) - pixel[1]) / focal_px
        pitch = min(max(pitch, -1.2), 1.2)
        camera = replace(camera, camera_from_world=orientation(yaw, pitch, roll_rad))
    return camera
