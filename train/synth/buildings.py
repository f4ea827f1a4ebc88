"""Houses, halls, apartment blocks, and the fenced cabinets at the foot of a mast, as meshes."""

from __future__ import annotations

import math

import numpy as np

from train.synth.mesh import Mesh, MeshBuilder, Vector
from train.synth.weather import Rgb, bgr

UP = np.array([0.0, 0.0, 1.0])
WALLS: tuple[Rgb, ...] = (
    (214, 206, 190),
    (196, 180, 160),
    (178, 120, 96),
    (222, 220, 214),
    (186, 186, 184),
    (160, 110, 88),
    (204, 196, 170),
)
ROOFS: tuple[Rgb, ...] = (
    (146, 76, 58),
    (112, 64, 52),
    (84, 84, 88),
    (120, 112, 104),
    (66, 66, 72),
    (150, 96, 72),
)
METAL: tuple[Rgb, ...] = ((168, 174, 178), (196, 198, 196), (120, 140, 158), (150, 150, 142), (176, 162, 140))
GLASS = np.array([0.24, 0.2, 0.17])


def house(foot: Vector, turn: float, rng: np.random.Generator) -> Mesh:
    """A dwelling with a gabled roof, one to three floors."""
    size = float(rng.uniform(8.0, 16.0)), float(rng.uniform(7.0, 10.0)), 2.9 * int(rng.integers(1, 4))
    wall = pick(WALLS, rng)
    builder = MeshBuilder()
    frame = frame_of(turn)
    _walls(builder, foot, frame, size, wall, floors=round(size[2] / 2.9), pitch_m=3.2, glass=(1.1, 1.3))
    ridge = float(rng.uniform(1.8, 3.4))
    _gable(builder, foot, frame, size, ridge, wall, pick(ROOFS, rng))
    if rng.random() < 0.6:
        stack = foot + frame[0] * (size[0] * 0.2) + UP * (size[2] + ridge * 0.8)
        builder.box(stack, frame, (0.7, 0.7, 2.0), pick(ROOFS, rng) * 0.9)
    return builder.build()


def hall(foot: Vector, turn: float, rng: np.random.Generator) -> Mesh:
    """A flat or low-pitched shed of metal or concrete."""
    size = float(rng.uniform(18.0, 55.0)), float(rng.uniform(12.0, 28.0)), float(rng.uniform(5.0, 11.0))
    builder = MeshBuilder()
    frame = frame_of(turn)
    wall = pick(METAL, rng)
    _walls(builder, foot, frame, size, wall, floors=1, pitch_m=6.0, glass=(3.0, 1.0))
    if rng.random() < 0.5:
        _gable(builder, foot, frame, size, size[1] * 0.1, wall, pick(METAL, rng))
    else:
        _flat_roof(builder, foot, frame, size, rng)
    return builder.build()


def block(foot: Vector, turn: float, rng: np.random.Generator) -> Mesh:
    """An apartment or office block, four to nine floors."""
    floors = int(rng.integers(4, 10))
    size = float(rng.uniform(16.0, 42.0)), float(rng.uniform(11.0, 17.0)), 3.0 * floors
    builder = MeshBuilder()
    frame = frame_of(turn)
    _walls(builder, foot, frame, size, pick(WALLS, rng), floors=floors, pitch_m=3.4, glass=(1.6, 1.5))
    _flat_roof(builder, foot, frame, size, rng)
    return builder.build()


def compound(foot: Vector, turn: float, rng: np.random.Generator) -> Mesh:
    """Equipment cabinets and the fence around the foot of a mast; half width 5 to 8 m."""
    builder = MeshBuilder()
    frame = frame_of(turn)
    half = float(rng.uniform(5.0, 8.0))
    for k in range(int(rng.integers(1, 4))):
        place = foot + frame[0] * (half * 0.6 - 2.2 * k) + frame[1] * (half * 0.65)
        tall = float(rng.uniform(1.6, 2.6))
        builder.box(place + UP * tall / 2, frame, (1.8, 1.2, tall), pick(METAL, rng))
    corners = [
        foot + frame[0] * (half * i) + frame[1] * (half * j) for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))
    ]
    grey = np.full(3, 0.5)
    for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
        for t in np.linspace(0.0, 1.0, 6)[:-1]:
            post = a + (b - a) * t
            builder.rod(post, post + UP * 2.1, 0.035, grey)
            for z in (0.2, 0.8, 1.4, 2.0):
                builder.rod(post + UP * z, post + (b - a) / 5 + UP * z, 0.014, grey)
    return builder.build()


def frame_of(turn: float) -> Vector:
    """Unit rows: along, across, up; `turn` radians from east."""
    c, s = math.cos(turn), math.sin(turn)
    return np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])


def pick(colours: tuple[Rgb, ...], rng: np.random.Generator) -> Vector:
    """One of `colours`, a little varied, as BGR in [0, 1]."""
    colour = bgr(colours[int(rng.integers(len(colours)))]).astype(np.float64)
    varied: Vector = np.clip(colour * rng.uniform(0.85, 1.1) * (1 + rng.normal(0, 0.02, 3)), 0, 1)
    return varied


def _walls(
    builder: MeshBuilder,
    foot: Vector,
    frame: Vector,
    size: tuple[float, float, float],
    colour: Vector,
    *,
    floors: int,
    pitch_m: float,
    glass: tuple[float, float],
) -> None:
    """Four walls with rows of windows; windows are drawn after their wall."""
    for k, (along, outward) in enumerate(
        ((frame[0], frame[1]), (frame[1], frame[0]), (frame[0], -frame[1]), (frame[1], -frame[0]))
    ):
        wide, deep = (size[0], size[1]) if k % 2 == 0 else (size[1], size[0])
        middle = foot + outward * (deep / 2) + UP * (size[2] / 2)
        side = along * (wide / 2)
        rise = UP * (size[2] / 2)
        builder.facet(
            np.stack(
                [middle - side - rise, middle + side - rise, middle + side + rise, middle - side + rise]
            ),
            colour,
            outward,
        )
        columns = ((np.arange(max(1, int(wide / pitch_m))) + 0.5) / max(1, int(wide / pitch_m)) - 0.5) * wide
        storeys = ((np.arange(floors) + 0.55) / floors - 0.5) * size[2]
        places = middle + (columns[:, None, None] * along + storeys[:, None] * UP).reshape(-1, 3)
        a, b = along * (glass[0] / 2), UP * (glass[1] / 2)
        panes = places[:, None, :] + np.stack([-a - b, a - b, a + b, -a + b]) + outward * 0.03
        builder.decals(panes, GLASS, outward, middle)


def _gable(
    builder: MeshBuilder,
    foot: Vector,
    frame: Vector,
    size: tuple[float, float, float],
    ridge_m: float,
    wall: Vector,
    roof: Vector,
) -> None:
    a, b = frame[0] * (size[0] / 2), frame[1] * (size[1] / 2)
    eaves, top = foot + UP * size[2], foot + UP * (size[2] + ridge_m)
    over = 1.06
    for side in (-1.0, 1.0):
        low = eaves + side * b * over - UP * 0.15
        quad = np.stack([low - a * over, low + a * over, top + a * over, top - a * over])
        builder.facet(quad, roof, side * b + UP * size[1], quad.mean(axis=0))
        end = eaves + side * a
        builder.facet(np.stack([end - b, end + b, top + side * a, top + side * a]), wall, side * a)


def _flat_roof(
    builder: MeshBuilder,
    foot: Vector,
    frame: Vector,
    size: tuple[float, float, float],
    rng: np.random.Generator,
) -> None:
    a, b = frame[0] * (size[0] / 2), frame[1] * (size[1] / 2)
    top = foot + UP * size[2]
    tone = np.full(3, float(rng.uniform(0.3, 0.62)))
    builder.facet(np.stack([top - a - b, top + a - b, top + a + b, top - a + b]), tone, UP)
    for _ in range(int(rng.integers(0, 5))):
        place = top + a * float(rng.uniform(-0.8, 0.8)) + b * float(rng.uniform(-0.7, 0.7))
        tall = float(rng.uniform(0.8, 2.4))
        builder.box(
            place + UP * tall / 2,
            frame,
            (float(rng.uniform(1, 4)), float(rng.uniform(1, 3)), tall),
            tone * 1.1,
        )
