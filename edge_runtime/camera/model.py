"""The camera of a run: intrinsics, distortion and mount, as `camfile` has read and checked them.

CameraModel ──ray(x, y)──▶ direction ──project──▶ (x, y); see `bearing.bearing_of` for boxes

Pixel coordinates are OpenCV's: the centre of the top left pixel is (0, 0), so a fraction f of a picture of
width w lies at f * w - 0.5. Boxes are fractions of the frame, so another frame size of the same shape needs
no rescaled intrinsics; a frame of another shape is refused.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from edge_runtime.camera.lens import Lens, Ray, Vector, make_lens
from edge_runtime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edge_runtime.camera.mount import Matrix

CALIB_LENGTH = 8  # hex digits of the sha256 that names a calibration


@dataclass(frozen=True)
class CameraModel:
    """One calibrated camera as mounted. All values are checked by `camera.camfile.parse`.

    `width`, `height`, `fx`, `fy`, `cx`, `cy`: pixels of the calibrated picture. `distortion` and
    `coefficients`: see `lens.MODELS`. `mount`: body_from_camera, rows are forward, right, down. `noise_px`:
    standard deviation of a box's centre or edge on top of what the tracker tells. `heights_m`: by class.
    """

    name: str
    id: int
    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: str
    coefficients: tuple[float, ...]
    mount: Matrix
    noise_px: float = 1.0
    heights_m: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def lens(self) -> Lens:
        """Distortion both ways on the ideal plane."""
        return make_lens(self.distortion, self.coefficients)

    @cached_property
    def calib(self) -> str:
        """Short sha256 of everything that changes a bearing: the same camera has the same one everywhere."""
        content = {
            "size": [self.width, self.height],
            "k": [_canonical(v) for v in (self.fx, self.fy, self.cx, self.cy)],
            "distortion": [self.distortion, *(_canonical(v) for v in self.coefficients)],
            "mount": [[_canonical(v) for v in row] for row in self.mount],
            "noise_px": _canonical(self.noise_px),
            "heights_m": {name: _canonical(value) for name, value in self.heights_m.items()},
        }
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:CALIB_LENGTH]

    def cam_record(self, att_q: Sequence[float] | None = None) -> dict[str, Any]:
        """The record's `cam`. `att_q`: attitude at capture, quaternion (w, x, y, z), where it is known."""
        return {"id": self.id, "calib": self.calib, "att_q": None if att_q is None else list(att_q)}

    def header_fields(self) -> dict[str, Any]:
        """`calib` and `mount` (body_from_camera) of a stream's header."""
        return {"calib": self.calib, "mount": [list(row) for row in self.mount]}

    def fits(self, frame_wh: tuple[int, int]) -> bool:
        """Has a frame of this size the shape of the calibrated picture, to within one pixel?"""
        width, height = frame_wh
        off = abs(width * self.height - height * self.width)
        return off <= max(self.width, self.height, width, height)

    def check_frame(self, frame_wh: tuple[int, int]) -> None:
        """Raise UsageError unless frames of this size can be those of the calibrated camera."""
        if not self.fits(frame_wh):
            raise UsageError(
                f"frames are {frame_wh[0]}x{frame_wh[1]}, camera {self.name!r} was calibrated at "
                f"{self.width}x{self.height}, another shape; "
                "calibrate in the mode that flies, or set the size of the source"
            )

    def ray(self, x: float, y: float) -> Ray:
        """The direction seen at fractions (x, y) of the frame; NaN where a fisheye's model does not reach."""
        return self.lens.ray(
            (x * self.width - 0.5 - self.cx) / self.fx, (y * self.height - 0.5 - self.cy) / self.fy
        )

    def project(self, direction: Vector) -> tuple[float, float]:
        """Fractions of the frame where a direction of the camera frame is seen; NaN behind the camera."""
        xd, yd = self.lens.distort(direction)
        return (
            (xd * self.fx + self.cx + 0.5) / self.width,
            (yd * self.fy + self.cy + 0.5) / self.height,
        )


def _canonical(value: float) -> float:
    """The same number for values that differ by rounding, and no negative zero."""
    return round(value, 12) + 0.0 if math.isfinite(value) else value
