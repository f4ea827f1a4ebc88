"""Life along the roads: rows of houses or halls, and the cars that drive there."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from train.synth import buildings, upright
from train.synth.placing import Thing, at_place, on_ground

if TYPE_CHECKING:
    from train.synth.land import Land, Road

REACH_M = 420.0  # nothing is built farther from the mast
MOST = 130  # buildings in rows per scene


def street_rows(rng: np.random.Generator, land: Land) -> list[Thing]:
    """Houses (suburb) or halls on both sides of the nearer paved roads, parallel to them."""
    homes = land.kind == "suburb"
    make = buildings.house if homes else buildings.hall
    found: list[Thing] = []
    for road in land.roads:
        if (
            not road.marked
            or road.length_m < 30.0
            or np.hypot(*road.ends_m.mean(axis=0)) > REACH_M
            or len(found) > MOST
        ):
            continue
        across = np.array([-road.along[1], road.along[0]])
        turn = math.atan2(road.along[1], road.along[0])
        gap = float(rng.uniform(17.0, 26.0) if homes else rng.uniform(48.0, 75.0))
        setback = road.width_m / 2 + float(rng.uniform(9.0, 13.0) if homes else rng.uniform(22.0, 28.0))
        for side in (-1.0, 1.0):
            for s in np.arange(gap / 2, min(road.length_m, 500.0), gap):
                place = road.ends_m[0] + road.along * s + across * side * (setback + rng.normal(0.0, 1.0))
                if rng.random() < 0.75 and np.hypot(*place) < REACH_M:
                    mesh = make(on_ground(place), turn + float(rng.normal(0.0, 0.02)), rng)
                    found.append(at_place(mesh, place))
    return found


def traffic(rng: np.random.Generator, land: Land) -> list[Thing]:
    """Cars on the paved roads near the mast, on the right-hand lane."""
    return [car for road in land.roads if road.marked and _near(road) for car in _cars(rng, road)]


def _near(road: Road) -> bool:
    way = road.ends_m[0] + (road.ends_m[1] - road.ends_m[0]) * np.linspace(0.0, 1.0, 40)[:, None]
    return bool(np.hypot(*way.T).min() < 250.0)


def _cars(rng: np.random.Generator, road: Road) -> list[Thing]:
    middle = -float(road.ends_m[0] @ road.along)  # the point nearest to the mast
    found = []
    for _ in range(int(rng.poisson(4.0))):
        heading = road.along * rng.choice((-1.0, 1.0))
        s = float(np.clip(middle + rng.uniform(-300.0, 300.0), 0.0, road.length_m))
        place = road.ends_m[0] + road.along * s + np.array([heading[1], -heading[0]]) * (road.width_m / 4)
        found.append(at_place(upright.car(on_ground(place), math.atan2(heading[1], heading[0]), rng), place))
    return found
