"""The shadows that everything throws on the ground plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from train.synth.groundmap import Shadow
from train.synth.trees import crown_outline

if TYPE_CHECKING:
    from train.synth.mesh import Mesh, Vector
    from train.synth.scenery import Scenery
    from train.synth.weather import Weather

LOWEST_SUN = 0.1  # sine of the sun's height below which shadows grow no longer
OVERCAST = 0.05  # of full sun: below, only a darkening under the trees is left


def all_shadows(scenery: Scenery, tower: Mesh | None, weather: Weather) -> list[Shadow]:
    """Shadows of trees, things and the tower; `depth` is the share of the sun they take."""
    if weather.sunlit < OVERCAST:
        overhead = np.array([0.0, 0.0, 1.0])
        return [Shadow(crown_outline(tree, overhead), depth=0.4) for tree in scenery.trees]
    strength = 0.4 + 0.6 * weather.sunlit
    slope = weather.to_sun[:2] / max(float(weather.to_sun[2]), LOWEST_SUN)
    found = [Shadow(crown_outline(tree, weather.to_sun), depth=0.85 * strength) for tree in scenery.trees]
    for thing in scenery.things:
        if not len(thing.mesh.starts) and thing.tall_m < 4.0 * thing.radius_m:  # a building casts its outline
            found.append(Shadow(fallen(thing.mesh.points(), slope), depth=strength))
        else:
            found += _part_by_part(thing.mesh, slope, weather, strength)
    if tower is not None:
        found += _part_by_part(tower, slope, weather, strength)
    return found


def fallen(points_m: Vector, slope: Vector) -> Vector:
    """Where the shadows of points (..., 3) meet the ground (..., 2); `slope`: metres aside per metre down."""
    ground: Vector = points_m[..., :2] - points_m[..., 2:] * slope
    return ground


def _part_by_part(mesh: Mesh, slope: Vector, weather: Weather, strength: float) -> list[Shadow]:
    ends = np.stack([fallen(mesh.starts, slope), fallen(mesh.ends, slope)], axis=1)
    widths = 2.0 * mesh.radii.mean(axis=1)
    facets = fallen(mesh.corners[mesh.normals @ weather.to_sun > 0.0], slope)
    rods = [Shadow(e, float(w), strength) for e, w in zip(ends, widths, strict=True)]
    return rods + [Shadow(quad, depth=strength) for quad in facets]
