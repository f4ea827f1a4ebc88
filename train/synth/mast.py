"""Cell towers: tapered lattice masts on three or four legs and monopoles, with everything bolted to them.

seed ──▶ MastPlan (kind, size, paint) ──▶ Mesh in world metres, foot at the origin
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from train.synth import antennas
from train.synth.mesh import Mesh, MeshBuilder, Vector
from train.synth.weather import bgr

if TYPE_CHECKING:
    from train.synth.mastplan import MastPlan


def build_tower(plan: MastPlan, rng: np.random.Generator) -> Mesh:
    """The whole tower: mast, ladder and cables, platforms, antennas, dishes, rod on top."""
    builder = MeshBuilder()
    if plan.kind == "monopole":
        _monopole(builder, plan)
    else:
        _lattice(builder, plan, rng)
        _ladder(builder, plan, rng)
    antennas.equip(builder, plan, rng)
    return builder.build()


def _monopole(builder: MeshBuilder, plan: MastPlan) -> None:
    steps = np.linspace(0.0, plan.height_m, 8 if plan.banded else 6)
    for low, high in itertools.pairwise(steps):
        colour = plan.paint((low + high) / 2)
        start, end = np.array([0.0, 0.0, low]), np.array([0.0, 0.0, high])
        builder.tube(start, end, (plan.reach_m(low), plan.reach_m(high)), colour, sides=16, caps=False)
        flange = plan.reach_m(low) * 1.18
        builder.tube(start, start + np.array([0.0, 0.0, 0.12]), (flange, flange), colour * 0.9, sides=12)


def _levels(plan: MastPlan, rng: np.random.Generator) -> list[float]:
    """Heights of the horizontal frames: bays about as tall as wide, lower ones taller."""
    stretch = float(rng.uniform(0.85, 1.3))
    levels = [0.0]
    while levels[-1] < plan.height_m - 1.0:
        width = plan.reach_m(levels[-1]) * (1.41 if plan.legs == 4 else 1.73)
        levels.append(levels[-1] + max(1.3, stretch * width))
    scale = plan.height_m / levels[-1]
    return [z * scale for z in levels]


def _lattice(builder: MeshBuilder, plan: MastPlan, rng: np.random.Generator) -> None:
    levels = _levels(plan, rng)
    pattern = ("cross", "kay", "zigzag")[int(rng.choice(3, p=(0.6, 0.25, 0.15)))]
    stout = plan.height_m / 50.0
    for bay, (low, high) in enumerate(itertools.pairwise(levels)):
        rise = 1.0 - low / plan.height_m
        leg_radius = (0.055 + 0.085 * rise) * (0.6 + 0.4 * stout)
        brace_radius = (0.032 + 0.03 * rise) * (0.65 + 0.35 * stout)
        colour = plan.paint((low + high) / 2)
        for leg in range(plan.legs):
            after = (leg + 1) % plan.legs
            a, b = plan.corner(leg, low), plan.corner(after, low)
            c, d = plan.corner(leg, high), plan.corner(after, high)
            worn = colour * rng.uniform(0.92, 1.06)
            builder.rod(a, c, leg_radius, worn)
            builder.rod(c, d, brace_radius, worn * rng.uniform(0.9, 1.05))
            _brace(
                builder, (a, b, c, d), pattern, bay, brace_radius, worn * rng.uniform(0.88, 1.05), high - low
            )


def _brace(
    builder: MeshBuilder,
    face: tuple[Vector, Vector, Vector, Vector],
    pattern: str,
    bay: int,
    radius: float,
    colour: Vector,
    height_m: float,
) -> None:
    """Fill one face (low left, low right, high left, high right) with bars; tall bays get secondary ones."""
    a, b, c, d = face
    if pattern == "cross":
        halves = [(a, d), (b, c)]
        crossing = (a + d) / 2 * 0.5 + (b + c) / 2 * 0.5
        for start, end in halves:
            builder.rod(start, crossing, radius, colour)
            builder.rod(crossing, end, radius, colour)
        if height_m > 5.0:
            builder.rod((a + c) / 2, crossing, radius * 0.7, colour)
            builder.rod(crossing, (b + d) / 2, radius * 0.7, colour)
    elif pattern == "kay":
        top = (c + d) / 2
        builder.rod(a, top, radius, colour)
        builder.rod(b, top, radius, colour)
        if height_m > 4.0:
            builder.rod((a + c) / 2, (a + top) / 2, radius * 0.7, colour)
            builder.rod((b + d) / 2, (b + top) / 2, radius * 0.7, colour)
    elif bay % 2:
        builder.rod(a, d, radius, colour)
    else:
        builder.rod(b, c, radius, colour)


def _ladder(builder: MeshBuilder, plan: MastPlan, rng: np.random.Generator) -> None:
    """A ladder and a bundle of feeder cables that climb inside one face."""
    top = plan.height_m * float(rng.uniform(0.9, 0.97))
    heights = np.linspace(0.5, top, max(8, int(plan.height_m / 2.5)))
    middle = np.array([0.5 * (plan.corner(0, z) + plan.corner(1, z)) for z in heights])
    inward = middle * np.array([0.86, 0.86, 1.0])
    along = plan.corner(1, 0.0) - plan.corner(0, 0.0)
    along = along / np.linalg.norm(along)
    steel = bgr(plan.steel).astype(np.float64) * 0.8
    cable = np.full(3, float(rng.uniform(0.08, 0.2)))
    for side in (-0.22, 0.22):
        builder.chain(inward + along * side, 0.03, steel)
    for k in range(int(rng.integers(1, 4))):
        offset = 0.4 + 0.07 * k
        reach = np.minimum(offset, 0.8 * np.linalg.norm(middle[:, :2], axis=1))[:, None]
        builder.chain(inward + along * reach, 0.03, cable)
