"""Where things may stand: places around the mast, distances from roads, a solid thing with its footprint."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from train.synth.land import Land
    from train.synth.mesh import Mesh

Point = NDArray[np.float64]


@dataclass(frozen=True)
class Thing:
    """A solid object, where it stands (x, y), the radius it needs and its height, in metres."""

    mesh: Mesh
    foot_m: Point
    radius_m: float
    tall_m: float


@dataclass(frozen=True)
class Around:
    """Where objects go: anywhere around the origin, or mostly towards a direction (radians from east)."""

    toward_rad: float | None

    def place(self, rng: np.random.Generator, near_m: float, far_m: float) -> Point:
        """A random (x, y), evenly over the area between two distances from the origin."""
        angle = rng.uniform(0.0, 2.0 * math.pi)
        if self.toward_rad is not None and rng.random() < 0.6:
            angle = self.toward_rad + rng.normal(0.0, 0.5)
        reach = math.sqrt(rng.uniform((near_m / far_m) ** 2, 1.0)) * far_m
        return np.array([math.cos(angle), math.sin(angle)]) * reach


def at_place(mesh: Mesh, place: Point) -> Thing:
    """`mesh`, which was built at `place` (x, y), with the room it takes."""
    points = mesh.points()
    radius = float(np.hypot(*(points[:, :2] - place).T).max())
    return Thing(mesh, np.asarray(place, np.float64), radius, float(points[:, 2].max()))


def on_ground(place: Point) -> Point:
    """(x, y) as (x, y, 0)."""
    return np.array([place[0], place[1], 0.0])


def on_road(foot: Point, land: Land, radius_m: float = 1.0) -> bool:
    """Whether a disc around `foot` (x, y) touches a road."""
    if not land.roads:
        return False
    ends = np.array([road.ends_m for road in land.roads])
    widths = np.array([road.width_m for road in land.roads])
    start, run = ends[:, 0], ends[:, 1] - ends[:, 0]
    t = np.einsum("nc,nc->n", foot - start, run) / np.maximum(np.einsum("nc,nc->n", run, run), 1e-6)
    aside = start + run * np.clip(t, 0.0, 1.0)[:, None] - foot
    return bool((np.hypot(*aside.T) < widths / 2 + radius_m).any())
