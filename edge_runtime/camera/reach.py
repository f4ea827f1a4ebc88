"""Can a lens model be undone in the whole picture? One fitted near the centre may fold over outside it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_runtime.camera.model import CameraModel

RIM_DEGREES = 15  # steps around the rim
RADIAL_STEPS = 16  # from the principal point to the rim
ROUND_TRIP = 1e-7  # on the ideal plane: 1e-4 px and less


def first_without_inverse(camera: CameraModel) -> tuple[float, float] | None:
    """A pixel where the lens model folds over; None when it can be undone in the whole picture.

    Of a fisheye only the largest disc around the principal point is asked for: its corners may be black.
    """
    bad = (_first_bad_step(camera, *offset) for offset in _rim(camera))
    return next((pixel for pixel in bad if pixel is not None), None)


def _rim(camera: CameraModel) -> Iterator[tuple[float, float]]:
    """Offsets in pixels from the principal point to the rim of what must be covered."""
    left, top = -0.5 - camera.cx, -0.5 - camera.cy
    right, bottom = left + camera.width, top + camera.height
    disc = min(-left, -top, right, bottom) if camera.distortion == "fisheye" else math.inf
    for degrees in range(0, 360, RIM_DEGREES):
        ux, uy = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        to_side = (right if ux > 0 else left) / ux if abs(ux) > 1e-9 else math.inf
        to_end = (bottom if uy > 0 else top) / uy if abs(uy) > 1e-9 else math.inf
        reach = min(to_side, to_end, disc)
        yield ux * reach, uy * reach
    if math.isinf(disc):
        yield from ((x, y) for x in (left, right) for y in (top, bottom))


def _first_bad_step(camera: CameraModel, to_x: float, to_y: float) -> tuple[float, float] | None:
    """Walk outwards: every direction must be found, and project back to where it came from."""
    for step in range(1, RADIAL_STEPS + 1):
        dx, dy = to_x * step / RADIAL_STEPS, to_y * step / RADIAL_STEPS
        xd, yd = dx / camera.fx, dy / camera.fy
        back = camera.lens.distort(camera.lens.ray(xd, yd).direction)
        if not math.hypot(back[0] - xd, back[1] - yd) < ROUND_TRIP:  # NaN where there is none
            return camera.cx + dx, camera.cy + dy
    return None
