"""Solid things as tapered rods and flat facets, and how the sun shades them.

Rods are round bars (lattice members, poles, cables); facets are quads (walls, panels, drums).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Mesh:
    """Arrays of rods and facets in world metres; colours are BGR in [0, 1].

    Rods: `starts`, `ends` (n, 3), `radii` (n, 2), `rod_colours` (n, 3).
    Facets: `corners` (m, 4, 3), `normals` (m, 3) outward, `anchors` (m, 3) point that decides the drawing
    order, `facet_colours` (m, 3).
    """

    starts: Vector
    ends: Vector
    radii: Vector
    rod_colours: Vector
    corners: Vector
    normals: Vector
    anchors: Vector
    facet_colours: Vector

    def points(self) -> Vector:
        """All vertices (k, 3)."""
        return np.concatenate([self.starts, self.ends, self.corners.reshape(-1, 3)])


@dataclass
class MeshBuilder:
    """Collects parts and hands out one `Mesh`."""

    rods: list[tuple[Vector, Vector, float, float, Vector]] = field(default_factory=list)
    facets: list[tuple[Vector, Vector, Vector, Vector]] = field(default_factory=list)  # (n, 4, 3) and (n, 3)s

    def rod(
        self, start: Vector, end: Vector, radius: float, colour: Vector, end_radius: float | None = None
    ) -> None:
        """A round bar from `start` to `end`."""
        self.rods.append((start, end, radius, radius if end_radius is None else end_radius, colour))

    def chain(self, points: Vector, radius: float, colour: Vector) -> None:
        """Bars through `points` (n, 3), one after the other."""
        for start, end in itertools.pairwise(points):
            self.rod(start, end, radius, colour)

    def facet(self, corners: Vector, colour: Vector, outward: Vector, anchor: Vector | None = None) -> None:
        """A quad (4, 3) whose normal is turned to the side of `outward`."""
        a, b = (corners[2] - corners[0]).tolist(), (corners[3] - corners[1]).tolist()  # diagonals
        normal = np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])
        normal /= max(float(np.sqrt(normal @ normal)), 1e-9)
        if normal @ outward < 0:
            normal = -normal
        middle = corners.sum(axis=0) / 4 if anchor is None else anchor
        self.facets.append((corners[None], normal[None], middle[None], colour[None]))

    def decals(self, corners: Vector, colour: Vector, normal: Vector, anchor: Vector) -> None:
        """Many quads (n, 4, 3) on one wall, drawn after it: same unit `normal`, same `anchor` as the wall."""
        normals, anchors, colours = (np.broadcast_to(v, (len(corners), 3)) for v in (normal, anchor, colour))
        self.facets.append((corners, normals, anchors, colours))

    def box(self, centre: Vector, axes: Vector, size: tuple[float, float, float], colour: Vector) -> None:
        """A cuboid with side lengths `size` along the unit rows of `axes` (3, 3)."""
        half = axes * (np.array(size)[:, None] / 2)
        for k in range(3):
            a, b = half[(k + 1) % 3], half[(k + 2) % 3]
            for side in (-1.0, 1.0):
                middle = centre + side * half[k]
                corners = np.stack([middle - a - b, middle + a - b, middle + a + b, middle - a + b])
                self.facet(corners, colour, side * half[k])

    def tube(
        self,
        start: Vector,
        end: Vector,
        radii: tuple[float, float],
        colour: Vector,
        *,
        sides: int = 12,
        caps: bool = True,
    ) -> None:
        """A tapered many-sided tube with closed ends."""
        axis = (end - start) / np.linalg.norm(end - start)
        side = np.cross(axis, [1.0, 0.0, 0.0] if abs(axis[0]) < 0.9 else [0.0, 1.0, 0.0])
        side /= np.linalg.norm(side)
        other = np.cross(axis, side)
        angles = np.arange(sides + 1) * (2.0 * math.pi / sides)
        ring = np.cos(angles)[:, None] * side + np.sin(angles)[:, None] * other
        low, high = start + ring * radii[0], end + ring * radii[1]
        for k in range(sides):
            self.facet(np.stack([low[k], low[k + 1], high[k + 1], high[k]]), colour, ring[k] + ring[k + 1])
        if caps:
            for centre, rim, outward in ((start, low, -axis), (end, high, axis)):
                for k in range(0, sides, 2):
                    self.facet(
                        np.stack([centre, rim[k], rim[k + 1], rim[(k + 2) % sides]]),
                        colour,
                        outward,
                        centre + outward * 0.02,
                    )

    def build(self) -> Mesh:
        """The arrays of everything added so far."""
        rods = self.rods
        empty = (np.zeros((0, 4, 3)), *(np.zeros((0, 3)) for _ in range(3)))
        corners, normals, anchors, colours = (
            np.concatenate(parts).astype(np.float64) for parts in zip(empty, *self.facets, strict=True)
        )
        return Mesh(
            starts=np.array([r[0] for r in rods], np.float64).reshape(-1, 3),
            ends=np.array([r[1] for r in rods], np.float64).reshape(-1, 3),
            radii=np.array([r[2:4] for r in rods], np.float64).reshape(-1, 2),
            rod_colours=np.array([r[4] for r in rods], np.float64).reshape(-1, 3),
            corners=corners,
            normals=normals,
            anchors=anchors,
            facet_colours=colours,
        )


def rod_light(starts: Vector, ends: Vector, eye: Vector, to_sun: Vector) -> Vector:
    """Mean sunlight (n,) in [0, 0.79] on the visible half of round bars: Lambert, averaged over the width."""
    axis = ends - starts
    axis = axis / np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-9)
    view = eye - (starts + ends) / 2
    sun_across = to_sun - (axis @ to_sun)[:, None] * axis
    view_across = view - np.einsum("nc,nc->n", view, axis)[:, None] * axis
    strength = np.linalg.norm(sun_across, axis=1)
    norm = np.maximum(strength * np.linalg.norm(view_across, axis=1), 1e-9)
    theta = np.arccos(np.clip(np.einsum("nc,nc->n", sun_across, view_across) / norm, -1.0, 1.0))
    light: Vector = strength / 4 * (np.sin(theta) + (math.pi - theta) * np.cos(theta))
    return light
