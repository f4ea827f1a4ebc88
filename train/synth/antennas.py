"""What a tower carries: sector panels on frames and platforms, microwave dishes, whips, a lightning rod."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from train.synth.weather import bgr

if TYPE_CHECKING:
    from train.synth.mastplan import MastPlan
    from train.synth.mesh import MeshBuilder, Vector

UP = np.array([0.0, 0.0, 1.0])
PANEL = ((226, 226, 222), (212, 214, 212), (196, 198, 198), (232, 230, 222))
RADOME = ((234, 234, 232), (218, 220, 220), (200, 202, 202), (228, 222, 206))
GALVANISED = np.array([0.60, 0.61, 0.60])
RADIO = np.array([0.70, 0.71, 0.70])


def equip(builder: MeshBuilder, plan: MastPlan, rng: np.random.Generator) -> None:
    """One to three sector levels near the top, dishes below, whips and the lightning rod above."""
    mono = plan.kind == "monopole"
    levels = int(rng.choice((1, 2, 3), p=(0.4, 0.42, 0.18)))
    platform = bool(rng.random() < (0.6 if mono else 0.45))
    turn = float(rng.uniform(0.0, 2.0 * math.pi))
    sectors = 3 if rng.random() < 0.85 else 4
    z = plan.height_m - float(rng.uniform(0.8, 2.4))
    for _ in range(levels):
        _sector_level(builder, plan, z, turn, sectors, platform, rng)
        z -= float(rng.uniform(3.2, 5.5))
    for _ in range(int(rng.choice((0, 1, 2, 3, 5), p=(0.2, 0.25, 0.25, 0.2, 0.1)))):
        _dish(builder, plan, z - float(rng.uniform(0.0, 0.28)) * plan.height_m, rng)
    _top(builder, plan, rng)


def _heading(angle: float) -> Vector:
    return np.array([math.cos(angle), math.sin(angle), 0.0])


def _sector_level(
    builder: MeshBuilder,
    plan: MastPlan,
    z: float,
    turn: float,
    sectors: int,
    platform: bool,
    rng: np.random.Generator,
) -> None:
    """Frames around the mast at height `z`, each with a row of panels."""
    reach = plan.reach_m(z)
    standoff = reach + float(rng.uniform(0.9, 1.6))
    boom = float(rng.uniform(2.0, 3.6))
    count = int(rng.integers(2, 5))
    tall = float(rng.uniform(1.4, 2.7))
    colour = bgr(PANEL[int(rng.integers(len(PANEL)))]).astype(np.float64)
    if platform:
        _platform(builder, z - 0.45 * tall, standoff, reach, rng)
    for sector in range(sectors):
        if rng.random() < 0.06:
            continue
        heading = _heading(turn + 2.0 * math.pi * sector / sectors)
        across = np.cross(UP, heading)
        middle = heading * standoff + UP * z
        for dz in (-0.3 * tall, 0.3 * tall):
            builder.rod(
                middle + across * (-boom / 2) + UP * dz,
                middle + across * (boom / 2) + UP * dz,
                0.045,
                GALVANISED,
            )
            for side in (-0.35, 0.35):
                builder.rod(
                    heading * reach * 0.7 + UP * (z + dz),
                    middle + across * (side * boom) + UP * dz,
                    0.04,
                    GALVANISED,
                )
        for place in np.linspace(-boom / 2, boom / 2, count):
            if rng.random() < 0.1:
                continue
            _panel(
                builder,
                middle + across * place,
                heading,
                across,
                tall * float(rng.uniform(0.8, 1.08)),
                colour,
                rng,
            )


def _panel(
    builder: MeshBuilder,
    foot: Vector,
    heading: Vector,
    across: Vector,
    tall: float,
    colour: Vector,
    rng: np.random.Generator,
) -> None:
    """A panel antenna on its pipe, tilted a little down, and sometimes a radio box behind it."""
    builder.rod(foot - UP * (tall * 0.62), foot + UP * (tall * 0.62), 0.05, GALVANISED)
    tilt = math.radians(float(rng.uniform(0.0, 7.0)))
    upward = UP * math.cos(tilt) + heading * math.sin(tilt)
    outward = np.cross(across, upward)
    outward = outward if outward @ heading > 0 else -outward
    wide = float(rng.uniform(0.28, 0.5))
    axes = np.stack([across, outward, upward])
    builder.box(foot + heading * 0.22, axes, (wide, 0.17, tall), colour * float(rng.uniform(0.95, 1.03)))
    if rng.random() < 0.55:
        low = foot - heading * 0.2 - UP * (tall * float(rng.uniform(-0.1, 0.3)))
        builder.box(
            low, np.stack([across, heading, UP]), (0.34, 0.2, 0.55), RADIO * float(rng.uniform(0.8, 1.1))
        )
        builder.rod(
            low - UP * 0.3, foot * np.array([0.5, 0.5, 1.0]) - UP * (tall * 0.9), 0.025, np.full(3, 0.08)
        )


def _platform(builder: MeshBuilder, z: float, outer: float, inner: float, rng: np.random.Generator) -> None:
    """A grating around the mast with a handrail."""
    sides = int(rng.choice((3, 6, 8)))
    angles = np.arange(sides + 1) * (2.0 * math.pi / sides) + float(rng.uniform(0.0, 6.3))
    rim = np.stack([np.cos(angles), np.sin(angles), np.zeros(sides + 1)], axis=1)
    rim *= outer * (1.15 if sides == 3 else 0.95)
    steel = GALVANISED * 0.9
    for k in range(sides):
        a, b = rim[k] + UP * z, rim[k + 1] + UP * z
        p, q = rim[k] * (0.6 * inner / outer) + UP * z, rim[k + 1] * (0.6 * inner / outer) + UP * z
        quad = np.stack([a, b, q, p])
        builder.facet(quad, steel * 0.75, UP)
        builder.facet(quad - UP * 0.02, steel * 0.55, -UP)
        builder.rod(a, b, 0.07, steel)
        for rail in (0.55, 1.1):
            builder.rod(a + UP * rail, b + UP * rail, 0.03, steel)
        for t in np.linspace(0.0, 1.0, 3 if sides == 3 else 2)[:-1]:
            post = a + (b - a) * t
            builder.rod(post, post + UP * 1.1, 0.03, steel)
        builder.rod(p - UP * 1.2, a, 0.05, steel)


def _dish(builder: MeshBuilder, plan: MastPlan, z: float, rng: np.random.Generator) -> None:
    """A microwave drum: a short wide tube with a flat radome, on an arm."""
    z = max(z, 0.3 * plan.height_m)
    radius = float(rng.choice((0.3, 0.45, 0.6, 0.9), p=(0.35, 0.3, 0.22, 0.13)))
    heading = _heading(float(rng.uniform(0.0, 2.0 * math.pi)))
    reach = plan.reach_m(z) * (1.0 if plan.kind == "monopole" else 0.85)
    centre = heading * (reach + 0.35 + 0.3 * radius) + UP * z
    colour = bgr(RADOME[int(rng.integers(len(RADOME)))]).astype(np.float64)
    back = centre - heading * 0.12 * (1 + radius)
    front = centre + heading * 0.42 * (0.5 + radius)
    builder.tube(back, front, (radius * 0.97, radius), colour, sides=20)
    builder.tube(back - heading * 0.3 * radius, back, (radius * 0.3, radius * 0.96), colour * 0.8, sides=14)
    builder.rod(heading * (reach * 0.8) + UP * z, back, 0.07, GALVANISED)
    pipe = heading * (reach + 0.1) + UP * z
    builder.rod(pipe - UP * (radius + 0.3), pipe + UP * (radius + 0.3), 0.057, GALVANISED)


def _top(builder: MeshBuilder, plan: MastPlan, rng: np.random.Generator) -> None:
    """Lightning rod, warning lamp and whip antennas above the last frame."""
    top = UP * plan.height_m
    reach = plan.reach_m(plan.height_m)
    length = float(rng.uniform(1.5, 4.0))
    builder.rod(top - UP * 0.5, top + UP * length, 0.05, GALVANISED, 0.02)
    lamp = top + np.array([reach * 0.5, 0.0, 0.25])
    builder.tube(
        lamp - UP * 0.2, lamp + UP * 0.2, (0.13, 0.13), bgr((190, 40, 34)).astype(np.float64), sides=8
    )
    for _ in range(int(rng.choice((0, 1, 2, 3), p=(0.35, 0.3, 0.2, 0.15)))):
        foot = top + _heading(float(rng.uniform(0.0, 6.3))) * (reach + float(rng.uniform(0.2, 0.8)))
        builder.rod(top, foot, 0.04, GALVANISED)
        builder.rod(
            foot, foot + UP * float(rng.uniform(2.0, 5.0)), 0.035, bgr((222, 222, 216)).astype(np.float64)
        )
