"""Single photos: one seed, one scene, one viewpoint; with a tower or, for `background`, the same without."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from train.synth import buildings
from train.synth.groundmap import TEXEL_M
from train.synth.land import random_land
from train.synth.mast import build_tower
from train.synth.mastplan import random_plan
from train.synth.placing import Around
from train.synth.scene import Box, Scene, lay_out
from train.synth.scenery import CLEAR_M, lookalike, random_scenery
from train.synth.sensor import expose, random_sensor
from train.synth.viewpoints import random_view
from train.synth.weather import random_weather

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from train.synth.camera import Camera

MAP_TEXELS = 1.2  # per pixel of the picture's longer side
LEAST_HEIGHT = 0.12  # of the picture: a tower hidden more than that is drawn anew
ATTEMPTS = 8


@dataclass(frozen=True)
class Still:
    """A photo (H, W, 3) uint8 BGR and the tower's box in it (None for background)."""

    image: NDArray[np.uint8]
    box: Box | None


def render_still(seed: tuple[int, ...], size: tuple[int, int], *, tower: bool) -> Still:
    """The photo of `seed`; with `tower=False` drawn by the same rules around a mast that is not there."""
    for attempt in range(ATTEMPTS):
        scene, camera, rng = still_scene((*seed, attempt), size, tower=tower)
        picture = scene.render(camera)
        if not tower or (
            picture.box is not None and picture.box[3] - picture.box[1] >= LEAST_HEIGHT * size[1]
        ):
            break
    sensor = random_sensor(rng, size[0] / 640.0)
    return Still(expose(picture.image, sensor, rng), picture.box)


def still_scene(
    seed: tuple[int, ...], size: tuple[int, int], *, tower: bool
) -> tuple[Scene, Camera, np.random.Generator]:
    """World, viewpoint and the generator that goes on to drive the camera's faults."""
    rng = np.random.default_rng(seed)
    fenced = bool(rng.random() < (0.5 if tower else 0.2))
    weather, land, plan = random_weather(rng), random_land(rng, pad=fenced), random_plan(rng)
    mesh = build_tower(plan, rng)
    camera = random_view(rng, plan.height_m, size)
    ahead = math.atan2(-camera.position_m[1], -camera.position_m[0])
    scenery = random_scenery(rng, land, Around(ahead), _free_view(rng, camera, tower))
    if not tower and not fenced and rng.random() < 0.5:
        scenery = replace(scenery, things=(*scenery.things, lookalike(rng, land)))
    compound = buildings.compound(np.zeros(3), float(rng.uniform(0.0, 6.3)), rng) if fenced else None
    relief = float(rng.uniform(0.01, 0.12)) if rng.random() < 0.6 else 0.0
    shown = mesh if tower else None
    texels = round(MAP_TEXELS * max(size))
    maps = lay_out(weather, land, scenery, shown, _focus(camera, texels), texels)
    return Scene(weather, land, scenery, shown, compound, relief, maps), camera, rng


def _free_view(
    rng: np.random.Generator, camera: Camera, tower: bool
) -> Callable[[NDArray[np.float64], float, float], bool]:
    """Objects keep off the mast's foot and the camera, and seldom stand between the two."""
    eye, altitude = camera.position_m[:2], float(camera.position_m[2])
    reach = float(np.hypot(*eye))

    def clear(foot: NDArray[np.float64], radius_m: float, tall_m: float) -> bool:
        gap = float(np.hypot(*foot))
        if tower and gap < CLEAR_M * 0.4 + radius_m:
            return False
        if np.hypot(*(foot - eye)) < radius_m + (20.0 if tall_m > altitude - 4.0 else 3.0):
            return False
        along = float(foot @ eye) / reach**2  # 0 at the mast, 1 at the camera
        aside = float(np.hypot(*(foot - eye * along)))
        between = 0.0 < along < 1.0 and aside < radius_m + 4.0 + 0.12 * reach * along
        return not between or tall_m < altitude * along * 0.8 or bool(rng.random() < 0.12)

    return clear


def _focus(camera: Camera, texels: int) -> list[tuple[float, float]]:
    """Map centres: each map begins where the camera's lowest line of sight meets the ground."""
    eye, forward = camera.position_m, camera.camera_from_world[2]
    ahead = forward[:2] / max(1e-6, float(np.hypot(*forward[:2])))
    drop = np.arctan(0.5 * camera.height / camera.focal_px) - np.arcsin(np.clip(forward[2], -1.0, 1.0))
    nearest = float(eye[2]) / np.tan(np.clip(drop, 0.02, 1.5))
    centres = []
    for texel in TEXEL_M:
        reach = min(nearest, 600.0) + 0.42 * texel * texels
        x, y = eye[:2] + ahead * reach
        centres.append((float(x), float(y)))
    return centres
