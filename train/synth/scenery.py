"""What stands on the land besides the tower: hamlets, trees and woods, poles and lines, traffic."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from train.synth import buildings, upright
from train.synth.placing import Around, Point, Thing, at_place, on_ground, on_road
from train.synth.streets import street_rows, traffic
from train.synth.trees import Tree, random_tree

if TYPE_CHECKING:
    from collections.abc import Callable

    from train.synth.land import Land
    from train.synth.mesh import Mesh

CLEAR_M = 13.0  # the foot of the mast stays free
MIXES = (
    ("round", "round", "tall", "bush"),
    ("round", "tall", "conifer", "bush"),
    ("conifer", "conifer", "round"),
    ("round", "bush"),
)


@dataclass(frozen=True)
class Scenery:
    """All trees and solid things of a scene."""

    trees: tuple[Tree, ...]
    things: tuple[Thing, ...]


def random_scenery(
    rng: np.random.Generator, land: Land, around: Around, clear: Callable[[Point, float, float], bool]
) -> Scenery:
    """Fill the land; `clear(foot, radius_m, tall_m)` says whether an object may stand at (x, y)."""
    built = _apart(_houses(rng, land, around), land) + _landmarks(rng, land, around) + traffic(rng, land)
    things = [thing for thing in built if clear(thing.foot_m, thing.radius_m, thing.tall_m)]
    feet = np.array([thing.foot_m for thing in things]).reshape(-1, 2)
    radii = np.array([thing.radius_m for thing in things])
    trees = []
    for tree in _planted(rng, land, around):
        gaps = np.hypot(*(feet - tree.foot_m).T)
        if (gaps < radii * 0.8 + 0.4 * tree.radius_m).any() or on_road(tree.foot_m, land):
            continue
        if clear(tree.foot_m, tree.radius_m, tree.height_m):
            trees.append(tree)
    return Scenery(tuple(trees), tuple(things))


def lookalike(rng: np.random.Generator, land: Land) -> Thing:
    """Something upright that is no cell tower, at the place where one would stand."""
    turn = float(rng.uniform(0.0, 2.0 * math.pi))
    foot = np.zeros(3)
    mesh = (
        lambda: upright.chimney(foot, rng),
        lambda: upright.lamp_mast(foot, turn, rng),
        lambda: upright.turbine(foot, turn, rng),
        lambda: upright.silo(foot, rng),
        lambda: buildings.block(foot, land.turn_rad, rng),
        lambda: upright.pole(foot, turn, rng),
    )[int(rng.integers(6))]()
    return at_place(mesh, np.zeros(2))


def _houses(rng: np.random.Generator, land: Land, around: Around) -> list[Thing]:
    """Street rows where people live or work, and hamlets scattered around a few centres."""
    found = street_rows(rng, land) if land.kind in ("suburb", "industry") else []
    count = int(rng.poisson(land.style.houses))
    hubs = [around.place(rng, 40.0, 420.0) for _ in range(max(1, count // 7))]
    kinds = (buildings.house, buildings.hall, buildings.block)
    weights = {"industry": (0.1, 0.7, 0.2), "suburb": (0.8, 0.06, 0.14)}.get(land.kind, (0.72, 0.28, 0.0))
    for _ in range(count):
        hub = hubs[int(rng.integers(len(hubs)))]
        place = hub + rng.normal(0.0, 110.0 if land.kind == "suburb" else 55.0, 2)
        turn = land.turn_rad + math.pi / 2 * int(rng.integers(2)) + float(rng.normal(0.0, 0.03))
        make = kinds[int(rng.choice(3, p=weights))]
        found.append(at_place(make(on_ground(place), turn, rng), place))
    return found


def _apart(things: list[Thing], land: Land) -> list[Thing]:
    """Those that touch neither a road nor one before them."""
    kept: list[Thing] = []
    feet, radii = np.full((len(things), 2), np.inf), np.zeros(len(things))
    for thing in things:
        gaps = np.hypot(*(feet - thing.foot_m).T)
        if (gaps > 0.8 * (radii + thing.radius_m)).all() and not on_road(
            thing.foot_m, land, thing.radius_m * 0.6
        ):
            feet[len(kept)], radii[len(kept)] = thing.foot_m, thing.radius_m
            kept.append(thing)
    return kept


def _landmarks(rng: np.random.Generator, land: Land, around: Around) -> list[Thing]:
    """Chimneys, turbines, floodlights, silos, single poles, and perhaps a power line."""
    found: list[Thing] = []
    makers: tuple[tuple[float, Callable[[Point, float], Mesh]], ...] = (
        (0.7 if land.kind == "industry" else 0.12, lambda foot, turn: upright.chimney(foot, rng)),
        (0.12, lambda foot, turn: upright.turbine(foot, turn, rng)),
        (0.12, lambda foot, turn: upright.lamp_mast(foot, turn, rng)),
        (0.25, lambda foot, turn: upright.silo(foot, rng)),
    )
    for chance, make in makers:
        if rng.random() < chance:
            place = around.place(rng, 50.0, 350.0)
            found.append(at_place(make(on_ground(place), float(rng.uniform(0.0, 6.3))), place))
    for _ in range(int(rng.integers(0, 7))):
        place = around.place(rng, 18.0, 150.0)
        found.append(at_place(upright.pole(on_ground(place), land.turn_rad, rng), place))
    if rng.random() < 0.5:
        offset = rng.uniform(20.0, 120.0) * rng.choice((-1.0, 1.0))
        start = land.axes[1] * offset + land.axes[0] * rng.uniform(-30.0, 30.0)
        for mesh in upright.power_line(on_ground(start), land.turn_rad, rng):
            found.append(at_place(mesh, mesh.points()[:, :2].mean(axis=0)))
    return found


def _planted(rng: np.random.Generator, land: Land, around: Around) -> list[Tree]:
    """Single trees, hedgerows along field borders, and woods."""
    style, mix = land.style, MIXES[int(rng.integers(len(MIXES)))]
    tint = float(rng.uniform(0.85, 1.25))
    feet = [around.place(rng, CLEAR_M, 450.0) for _ in range(int(rng.poisson(style.trees * 0.35)))]
    for _ in range(int(rng.poisson(style.trees / 25))):
        corners = _near_field(rng, land)
        a, b = corners[0], corners[1 if rng.random() < 0.5 else 3]
        length = float(np.linalg.norm(b - a))
        for s in np.arange(0.0, length, float(rng.uniform(3.5, 10.0))):
            if rng.random() < 0.85:
                feet.append(a + (b - a) * (s / length) + rng.normal(0.0, 0.8, 2))
    for _ in range(int(rng.poisson(style.woods))):
        hub, spread = around.place(rng, 60.0, 500.0), float(rng.uniform(18.0, 60.0))
        feet += list(hub + rng.normal(0.0, spread * 0.5, (int(spread * 2.2), 2)))
    return [random_tree(rng, foot, mix, tint) for foot in feet]


def _near_field(rng: np.random.Generator, land: Land) -> Point:
    """Corners (4, 2) of a field within 400 m."""
    fields = [p.corners_m for p in land.parcels if np.hypot(*p.corners_m.mean(axis=0)) < 400.0]
    return fields[int(rng.integers(len(fields)))] if fields else land.parcels[0].corners_m
