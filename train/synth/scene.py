"""One world and its pictures: weather, land, scenery and (perhaps) a tower, seen by any camera.

seed ──▶ Scene ──render(camera)──▶ Picture (clean image, tight box of what is visible of the tower)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from train.synth.ground import look_down
from train.synth.groundmap import TEXEL_M, GroundMap, paint_maps
from train.synth.placing import Thing, on_ground
from train.synth.raster import Canvas, draw_mesh
from train.synth.shadows import all_shadows
from train.synth.sky import paint_sky
from train.synth.trees import Grove, Tree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from train.synth.camera import Camera
    from train.synth.land import Land
    from train.synth.mesh import Mesh
    from train.synth.scenery import Scenery
    from train.synth.weather import Weather

SUPERSAMPLE = 2
TOWER_PIXELS = 1_600_000  # the tower alone is drawn as fine as this allows, 4 to 16 times
VISIBLE_SHARE = 0.2  # a pixel belongs to the tower when at least this share of it does
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Picture:
    """`image` (H, W, 3) uint8 BGR without camera faults; `box` x0, y0, x1, y1 in pixels, ends inclusive."""

    image: NDArray[np.uint8]
    box: Box | None


@dataclass(frozen=True)
class Scene:
    """A world at rest. `relief`: height of the far ridges in radians; 0 for none."""

    weather: Weather
    land: Land
    scenery: Scenery
    tower: Mesh | None
    compound: Mesh | None
    relief: float
    maps: Sequence[GroundMap]

    def render(self, camera: Camera) -> Picture:
        """What `camera` sees, and the box around the visible tower (None without a tower in view)."""
        fine = camera.finer(SUPERSAMPLE)
        base = self._backdrop(camera)
        size = (fine.width, fine.height)
        canvas = Canvas(
            np.asarray(cv2.resize(base, size, interpolation=cv2.INTER_LINEAR), np.uint8),
            np.zeros((fine.height, fine.width), np.uint8),
        )
        grove = Grove(fine, self.weather)
        for _, thing in sorted(self._in_view(camera), key=lambda pair: -pair[0]):
            if isinstance(thing, Tree):
                grove.draw(canvas, thing)
            elif isinstance(thing, Thing):
                draw_mesh(canvas, thing.mesh, fine, self.weather)
            else:
                self._draw_tower(canvas, camera)
        small = (camera.width, camera.height)
        image = cv2.resize(canvas.image, small, interpolation=cv2.INTER_AREA)
        share = cv2.resize(canvas.share, small, interpolation=cv2.INTER_AREA)
        return Picture(np.asarray(image, np.uint8), tight_box(np.asarray(share, np.uint8)))

    def _backdrop(self, camera: Camera) -> NDArray[np.uint8]:
        """Sky and ground; each is worked out only for the rows where it shows."""
        rays = camera.rays()
        level = rays[..., 2] / np.sqrt(np.einsum("hwc,hwc->hw", rays, rays))
        margin = 1.0 / camera.focal_px
        below = np.flatnonzero((level < margin).any(axis=1))
        above = np.flatnonzero((level > -margin).any(axis=1))
        mixed = np.zeros((camera.height, camera.width, 3), np.float32)
        if len(above):
            stop = int(above[-1]) + 1
            mixed[:stop] = paint_sky(rays[:stop], self.weather, self.relief)
        if len(below):
            start = int(below[0])
            ground, seen = look_down(self.land, self.maps, rays[start:], camera, self.weather)
            mixed[start:] += (ground - mixed[start:]) * seen[..., None]
        return np.asarray(np.clip(mixed * 255.0 + 0.5, 0.0, 255.0), np.uint8)

    def _in_view(self, camera: Camera) -> list[tuple[float, Tree | Thing | None]]:
        """(distance, object) of all that may show; None stands for the tower."""
        found: list[tuple[float, Tree | Thing | None]] = []
        eye = camera.position_m[:2]
        things: list[Tree | Thing] = [*self.scenery.trees, *self.scenery.things]
        half_view = 0.62 * camera.width / camera.focal_px  # with room for what stands at the edge
        for thing in things:
            x, _, z = (float(v) for v in camera.to_camera(on_ground(thing.foot_m)))
            if z > -thing.radius_m and abs(x) < half_view * max(z, 0.0) + 2.0 * thing.radius_m + 5.0:
                found.append((float(np.hypot(*(thing.foot_m - eye))), thing))
        middle = float(np.hypot(*eye))
        if self.compound is not None:
            found.append((middle + 0.3, Thing(self.compound, np.zeros(2), 8.0, 2.5)))
        if self.tower is not None:
            found.append((middle, None))
        return found

    def _draw_tower(self, canvas: Canvas, camera: Camera) -> None:
        """Draw the tower much finer than the rest, then lay it over the canvas."""
        assert self.tower is not None
        pixels, depths = camera.project(self.tower.points())
        pixels = pixels[depths > 0.5]
        if not len(pixels):
            return
        x0, y0 = (int(v) for v in np.maximum(np.floor(pixels.min(axis=0)) - 2, 0))
        x1, y1 = (int(v) for v in np.minimum(np.ceil(pixels.max(axis=0)) + 3, (camera.width, camera.height)))
        if x0 >= x1 or y0 >= y1:
            return
        scale = 16
        while scale > 4 and (x1 - x0) * (y1 - y0) * scale * scale > TOWER_PIXELS:
            scale //= 2
        window = camera.window(x0, y0, x1 - x0, y1 - y0, scale)
        layer = Canvas(
            np.zeros((window.height, window.width, 3), np.uint8),
            np.zeros((window.height, window.width), np.uint8),
        )
        draw_mesh(layer, self.tower, window, self.weather, cover=255)
        size = ((x1 - x0) * SUPERSAMPLE, (y1 - y0) * SUPERSAMPLE)
        bgra = np.dstack([layer.image, layer.share])
        small = cv2.resize(bgra, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        canvas.paste(small, x0 * SUPERSAMPLE, y0 * SUPERSAMPLE, subject=True)


def tight_box(share: NDArray[np.uint8]) -> Box | None:
    """Bounds of the pixels that belong to the tower (ends inclusive), None when there are none."""
    mask = (share >= VISIBLE_SHARE * 255.0).astype(np.uint8)
    if not mask.any():
        return None
    x, y, width, height = cv2.boundingRect(mask)
    return x, y, x + width - 1, y + height - 1


def lay_out(
    weather: Weather,
    land: Land,
    scenery: Scenery,
    tower: Mesh | None,
    focus: Sequence[tuple[float, float]],
    size: int,
) -> Sequence[GroundMap]:
    """Ground maps centred on `focus` (one point per `TEXEL_M`), with all shadows."""
    assert len(focus) == len(TEXEL_M)
    return paint_maps(land, all_shadows(scenery, tower, weather), focus, size)
