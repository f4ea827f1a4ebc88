"""Where trees, buildings, poles and lines stand around the place of the mast."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from train.synth import buildings
from train.synth.ground import Shadow
from train.synth.mast import shadow_parts
from train.synth.mesh import Mesh
from train.synth.trees import Tree, crown_outline, random_tree

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from train.synth.land import Land
    from train.synth.weather import Weather

CLEAR_M = 13.0  # the foot of the mast stays free


@dataclass(frozen=True)
class Thing:
    """A solid object, where it stands, and the radius it needs."""

    mesh: Mesh
    foot_m: NDArray[np.float64]
    radius_m: float
    tall_m: float


@dataclass(frozen=True)
class Scenery:
    """All that stands on the land besides the tower."""

    trees: tuple[Tree, ...]
    things: tuple[Thing, ...]


@dataclass(frozen=True)
class Around:
    """Where objects go: anywhere around the origin, or mostly towards a direction (radians from east)."""

    toward_rad: float | None

    def place(self, rng: np.random.Generator, near_m: float, far_m: float) -> NDArray[np.float64]:
        """A random (x, y), evenly over the area between two distances from the origin."""
        angle = rng.uniform(0.0, 2.0 * math.pi)
        if self.toward_rad is not None and rng.random() < 0.6:
            angle = self.toward_rad + rng.normal(0.0, 0.5)
        reach = math.sqrt(rng.uniform((near_m / far_m) ** 2, 1.0)) * far_m
        return np.array([math.cos(angle), math.sin(angle)]) * reach


def random_scenery(
    rng: np.random.Generator,
    land: Land,
    around: Around,
    clear: Callable[[NDArray[np.float64], float, float], bool],
) -> Scenery:
    """Fill the land; `clear(foot, radius_m, tall_m)` says whether an object may stand at (x, y)."""
    things = [t for t in _built(rng, land, around) if clear(t.foot_m, t.radius_m, t.tall_m)]
    feet = np.array([t.foot_m for t in things]).reshape(-1, 2)
    radii = np.array([t.radius_m for t in things])
    trees = []
    for tree in _planted(rng, land, around):
        if len(feet) and (np.hypot(*(feet - tree.foot_m).T) < radii * 0.8 + 0.4 * tree.radius_m).any():
            continue
        if _on_road(tree.foot_m, land) or not clear(tree.foot_m, tree.radius_m, tree.height_m):
            continue
        trees.append(tree)
    return Scenery(tuple(trees), tuple(things))


def _built(rng: np.random.Generator, land: Land, around: Around) -> list[Thing]:
    style = land.style
    count = int(rng.poisson(style.houses))
    turn = math.atan2(land.axes[0, 1], land.axes[0, 0])
    found: list[Thing] = []
    hubs = [around.place(rng, 40.0, 420.0) for _ in range(max(1, count // 7))]
    for _ in range(count):
        hub = hubs[int(rng.integers(len(hubs)))]
        place = hub + rng.normal(0.0, 55.0 if land.kind != "suburb" else 110.0, 2)
        kinds = (buildings.house, buildings.hall, buildings.block)
        weights = {"industry": (0.1, 0.7, 0.2), "suburb": (0.8, 0.06, 0.14)}.get(land.kind, (0.72, 0.28, 0.0))
        make = kinds[int(rng.choice(3, p=weights))]
        mesh = make(np.array([*place, 0.0]), turn + math.pi / 2 * int(rng.integers(2)) + rng.normal(0, 0.03), rng)
        found.append(_thing(mesh, place))
    if land.kind in ("suburb", "industry"):
        found = _streets(rng, land) + found
    kept: list[Thing] = []
    for thing in found:
        apart = all(np.hypot(*(thing.foot_m - other.foot_m)) > 0.8 * (thing.radius_m + other.radius_m) for other in kept)
        if apart and not _on_road(thing.foot_m, land, thing.radius_m * 0.6):
            kept.append(thing)
    if rng.random() < (0.7 if land.kind == "industry" else 0.12):
        place = around.place(rng, 40.0, 300.0)
        kept.append(_thing(buildings.chimney(np.array([*place, 0.0]), rng), place))
    for chance, make in ((0.12, buildings.turbine), (0.12, buildings.lamp_mast)):
        if rng.random() < chance:
            place = around.place(rng, 60.0, 450.0)
            kept.append(_thing(make(np.array([*place, 0.0]), float(rng.uniform(0.0, 6.3)), rng), place))
    if rng.random() < 0.25:
        place = around.place(rng, 40.0, 250.0)
        kept.append(_thing(buildings.silo(np.array([*place, 0.0]), rng), place))
    for _ in range(int(rng.integers(0, 7))):
        place = around.place(rng, 18.0, 150.0)
        kept.append(_thing(buildings.pole(np.array([*place, 0.0]), turn, rng), place))
    if rng.random() < 0.5:
        offset = rng.uniform(20.0, 120.0) * rng.choice((-1.0, 1.0))
        start = land.axes[1] * offset + land.axes[0] * rng.uniform(-30, 30)
        for mesh in buildings.power_line(np.array([*start, 0.0]), turn, rng):
            kept.append(_thing(mesh, mesh.points()[:, :2].mean(axis=0)))
    kept += _traffic(rng, land)
    return kept


def lookalike(rng: np.random.Generator, land: Land) -> Thing:
    """Something upright that is no cell tower, at the place where one would stand."""
    turn = float(rng.uniform(0.0, 2.0 * math.pi))
    foot = np.zeros(3)
    mesh = (
        lambda: buildings.chimney(foot, rng),
        lambda: buildings.lamp_mast(foot, turn, rng),
        lambda: buildings.turbine(foot, turn, rng),
        lambda: buildings.silo(foot, rng),
        lambda: buildings.block(foot, math.atan2(land.axes[0, 1], land.axes[0, 0]), rng),
        lambda: buildings.pole(foot, turn, rng),
    )[int(rng.integers(6))]()
    return _thing(mesh, np.zeros(2))


def _streets(rng: np.random.Generator, land: Land) -> list[Thing]:
    """Rows of houses or halls on both sides of the nearer roads, parallel to them."""
    found: list[Thing] = []
    for road in land.roads:
        run = road.ends_m[1] - road.ends_m[0]
        length = float(np.linalg.norm(run))
        middle = road.ends_m.mean(axis=0)
        if not road.marked or length < 30.0 or np.hypot(*middle) > 420.0 or len(found) > 130:
            continue
        along = run / length
        across = np.array([-along[1], along[0]])
        turn = math.atan2(along[1], along[0])
        gap = float(rng.uniform(17.0, 26.0) if land.kind == "suburb" else rng.uniform(48.0, 75.0))
        make = buildings.house if land.kind == "suburb" else buildings.hall
        setback = road.width_m / 2 + float(rng.uniform(9.0, 13.0) if land.kind == "suburb" else rng.uniform(22.0, 28.0))
        for side in (-1.0, 1.0):
            for s in np.arange(gap / 2, min(length, 500.0), gap):
                if rng.random() < 0.25:
                    continue
                place = road.ends_m[0] + along * s + across * side * (setback + rng.normal(0.0, 1.0))
                if np.hypot(*place) < 420.0:
                    found.append(_thing(make(np.array([*place, 0.0]), turn + float(rng.normal(0, 0.02)), rng), place))
    return found


def _traffic(rng: np.random.Generator, land: Land) -> list[Thing]:
    found = []
    for road in land.roads:
        near = road.ends_m[0] + (road.ends_m[1] - road.ends_m[0]) * np.linspace(0, 1, 40)[:, None]
        if np.hypot(*near.T).min() > 250.0 or not road.marked:
            continue
        along = (road.ends_m[1] - road.ends_m[0]) / max(1e-6, float(np.linalg.norm(road.ends_m[1] - road.ends_m[0])))
        middle = -float(road.ends_m[0] @ along)
        for _ in range(int(rng.poisson(4.0))):
            lane = float(rng.choice((-1.0, 1.0)))
            across = np.array([along[1], -along[0]]) * lane
            s = np.clip(middle + rng.uniform(-300, 300), 0.0, np.linalg.norm(road.ends_m[1] - road.ends_m[0]))
            place = road.ends_m[0] + along * s + across * (road.width_m / 4)
            mesh = buildings.car(np.array([*place, 0.0]), math.atan2(*(along * lane)[::-1]), rng)
            found.append(_thing(mesh, place))
    return found


def _planted(rng: np.random.Generator, land: Land, around: Around) -> list[Tree]:
    style = land.style
    mixes = (("round", "round", "tall", "bush"), ("round", "tall", "conifer", "bush"), ("conifer", "conifer", "round"), ("round", "bush"))
    mix = mixes[int(rng.integers(len(mixes)))]
    tint = float(rng.uniform(0.85, 1.25))
    trees: list[Tree] = []
    for _ in range(int(rng.poisson(style.trees * 0.35))):
        trees.append(random_tree(rng, around.place(rng, CLEAR_M, 450.0), mix, tint))
    for _ in range(int(rng.poisson(style.trees / 25))):  # hedgerows along field borders
        parcel = _near_parcel(rng, land)
        a, b = parcel[0], parcel[1 if rng.random() < 0.5 else 3]
        gap = float(rng.uniform(3.5, 10.0))
        for s in np.arange(0.0, float(np.linalg.norm(b - a)), gap):
            foot = a + (b - a) / np.linalg.norm(b - a) * s + rng.normal(0, 0.8, 2)
            if rng.random() < 0.85:
                trees.append(random_tree(rng, foot, mix, tint))
    for _ in range(int(rng.poisson(style.woods))):
        hub = around.place(rng, 60.0, 500.0)
        spread = float(rng.uniform(18.0, 60.0))
        for _ in range(int(spread * 2.2)):
            trees.append(random_tree(rng, hub + rng.normal(0, spread * 0.5, 2), mix, tint))
    return trees


def _near_parcel(rng: np.random.Generator, land: Land) -> NDArray[np.float64]:
    for _ in range(50):
        corners = land.parcels[int(rng.integers(len(land.parcels)))].corners_m
        if np.hypot(*corners.mean(axis=0)) < 400.0:
            break
    return corners


def _thing(mesh: Mesh, place: NDArray[np.float64]) -> Thing:
    points = mesh.points()
    radius = float(np.hypot(*(points[:, :2] - place).T).max())
    return Thing(mesh, np.asarray(place, np.float64), radius, float(points[:, 2].max()))


def _on_road(foot: NDArray[np.float64], land: Land, radius: float = 1.0) -> bool:
    if not land.roads:
        return False
    ends = np.array([road.ends_m for road in land.roads])
    widths = np.array([road.width_m for road in land.roads])
    start, run = ends[:, 0], ends[:, 1] - ends[:, 0]
    t = np.einsum("nc,nc->n", foot - start, run) / np.maximum(np.einsum("nc,nc->n", run, run), 1e-6)
    aside = start + run * np.clip(t, 0.0, 1.0)[:, None] - foot
    return bool((np.hypot(*aside.T) < widths / 2 + radius).any())


def shadows(scenery: Scenery, tower: Mesh | None, weather: Weather) -> list[Shadow]:
    """Everything that keeps the sun off the ground."""
    if weather.sunlit < 0.05:
        return [Shadow(crown_outline(tree, np.array([0.0, 0.0, 1.0])), 0.0, 0.4) for tree in scenery.trees]
    strength = 0.4 + 0.6 * weather.sunlit
    found = [Shadow(crown_outline(tree, weather.to_sun), 0.0, 0.85 * strength) for tree in scenery.trees]
    slope = weather.to_sun[:2] / max(float(weather.to_sun[2]), 0.12)
    for thing in scenery.things:
        points = thing.mesh.points()
        if len(thing.mesh.corners) > len(thing.mesh.starts):
            found.append(Shadow(points[:, :2] - points[:, 2:] * slope, 0.0, strength))
        else:
            found += [Shadow(ends, width, strength) for ends, width in shadow_parts(thing.mesh, weather.to_sun)]
    if tower is not None:
        found += [Shadow(ends, width, strength) for ends, width in shadow_parts(tower, weather.to_sun)]
    return found
