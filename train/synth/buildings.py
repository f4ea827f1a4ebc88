"""Houses, halls, chimneys, poles and power lines: everything upright that is not a cell tower."""

from __future__ import annotations

import math

import numpy as np

from train.synth.mesh import Mesh, MeshBuilder, Vector
from train.synth.weather import Rgb, bgr

UP = np.array([0.0, 0.0, 1.0])
WALLS: tuple[Rgb, ...] = (
    (214, 206, 190), (196, 180, 160), (178, 120, 96), (222, 220, 214), (186, 186, 184), (160, 110, 88), (204, 196, 170),
)  # fmt: skip
ROOFS: tuple[Rgb, ...] = ((146, 76, 58), (112, 64, 52), (84, 84, 88), (120, 112, 104), (66, 66, 72), (150, 96, 72))
METAL: tuple[Rgb, ...] = ((168, 174, 178), (196, 198, 196), (120, 140, 158), (150, 150, 142), (176, 162, 140))
GLASS = np.array([0.24, 0.2, 0.17])


def house(foot: Vector, turn: float, rng: np.random.Generator) -> Mesh:
    """A dwelling with a gabled roof, one to three floors."""
    size = float(rng.uniform(8.0, 16.0)), float(rng.uniform(7.0, 10.0)), 2.9 * int(rng.integers(1, 4))
    wall = _pick(WALLS, rng)
    builder = MeshBuilder()
    frame = _frame(turn)
    _walls(builder, foot, frame, size, wall, floors=round(size[2] / 2.9), pitch_m=3.2, glass=(1.1, 1.3))
    ridge = float(rng.uniform(1.8, 3.4))
    _gable(builder, foot, frame, size, ridge, wall, _pick(ROOFS, rng))
    if rng.random() < 0.6:
        stack = foot + frame[0] * (size[0] * 0.2) + UP * (size[2] + ridge * 0.8)
        builder.box(stack, frame, (0.7, 0.7, 2.0), _pick(ROOFS, rng) * 0.9)
    return builder.build()


def hall(foot: Vector, turn: float, rng: np.random.Generator) -> Mesh:
    """A flat or low-pitched shed of metal or concrete."""
    size = float(rng.uniform(18.0, 55.0)), float(rng.uniform(12.0, 28.0)), float(rng.uniform(5.0, 11.0))
    builder = MeshBuilder()
    frame = _frame(turn)
    wall = _pick(METAL, rng)
    _walls(builder, foot, frame, size, wall, floors=1, pitch_m=6.0, glass=(3.0, 1.0))
    if rng.random() < 0.5:
        _gable(builder, foot, frame, size, size[1] * 0.1, wall, _pick(METAL, rng))
    else:
        _flat_roof(builder, foot, frame, size, rng)
    return builder.build()


def block(foot: Vector, turn: float, rng: np.random.Generator) -> Mesh:
    """An apartment or office block, four to nine floors."""
    floors = int(rng.integers(4, 10))
    size = float(rng.uniform(16.0, 42.0)), float(rng.uniform(11.0, 17.0)), 3.0 * floors
    builder = MeshBuilder()
    frame = _frame(turn)
    _walls(builder, foot, frame, size, _pick(WALLS, rng), floors=floors, pitch_m=3.4, glass=(1.6, 1.5))
    _flat_roof(builder, foot, frame, size, rng)
    return builder.build()


def chimney(foot: Vector, rng: np.random.Generator) -> Mesh:
    """A factory chimney of brick or concrete, some with red and white bands."""
    tall, base = float(rng.uniform(22.0, 60.0)), float(rng.uniform(1.2, 2.2))
    colours = [_pick(((150, 92, 72), (168, 160, 150), (186, 180, 172)), rng)]
    if rng.random() < 0.4:
        colours = [bgr((170, 60, 48)).astype(np.float64), bgr((220, 218, 212)).astype(np.float64)]
    builder = MeshBuilder()
    steps = np.linspace(0.0, tall, 8)
    for k, (low, high) in enumerate(zip(steps[:-1], steps[1:], strict=True)):
        radii = (base * (1 - 0.45 * low / tall), base * (1 - 0.45 * high / tall))
        builder.tube(foot + UP * low, foot + UP * high, radii, colours[k % len(colours)], sides=18, caps=False)
    rim = base * 0.62
    builder.tube(foot + UP * (tall - 0.8), foot + UP * tall, (rim, rim), colours[0] * 0.7, sides=18)
    return builder.build()


def silo(foot: Vector, rng: np.random.Generator) -> Mesh:
    """One to three metal silos in a row."""
    builder = MeshBuilder()
    radius, tall = float(rng.uniform(2.0, 4.0)), float(rng.uniform(8.0, 18.0))
    colour = _pick(METAL, rng)
    along = _frame(float(rng.uniform(0, 6.3)))[0]
    for k in range(int(rng.integers(1, 4))):
        base = foot + along * (2.3 * radius * k)
        builder.tube(base, base + UP * tall, (radius, radius), colour, sides=18, caps=False)
        builder.tube(base + UP * tall, base + UP * (tall + radius * 0.6), (radius, 0.2), colour * 0.95, sides=18)
    return builder.build()


def pole(foot: Vector, turn: float, rng: np.random.Generator) -> Mesh:
    """A street lamp, a wooden pole or a flag pole, 6 to 14 m."""
    builder = MeshBuilder()
    tall = float(rng.uniform(6.0, 14.0))
    across = _frame(turn)[0]
    if rng.random() < 0.5:
        grey = bgr((150, 152, 152)).astype(np.float64)
        builder.rod(foot, foot + UP * tall, 0.11, grey, 0.06)
        builder.rod(foot + UP * tall, foot + UP * (tall + 0.3) + across * 1.8, 0.05, grey)
        builder.box(foot + UP * (tall + 0.3) + across * 2.0, _frame(turn), (0.8, 0.3, 0.12), grey * 0.9)
    else:
        _wood_pole(builder, foot, across, tall)
    return builder.build()


def power_line(start: Vector, turn: float, rng: np.random.Generator) -> list[Mesh]:
    """Wooden poles 40 to 60 m apart with sagging wires; one mesh per span and one per pole."""
    along, across = _frame(turn)[0], _frame(turn)[1]
    span, tall = float(rng.uniform(40.0, 60.0)), float(rng.uniform(8.5, 13.0))
    count = int(rng.integers(6, 12))
    meshes: list[Mesh] = []
    feet = [start + along * (span * k) for k in range(-count, count + 1)]
    for foot in feet:
        builder = MeshBuilder()
        _wood_pole(builder, foot, across, tall)
        meshes.append(builder.build())
    dark = np.full(3, 0.13)
    t = np.linspace(0.0, 1.0, 9)[:, None]
    for a, b in zip(feet[:-1], feet[1:], strict=True):
        builder = MeshBuilder()
        for side in (-0.95, 0.0, 0.95):
            curve = a + (b - a) * t + across * side + UP * (tall + 0.15 - 0.025 * span * 4.0 * t * (1 - t))
            builder.chain(curve, 0.012, dark)
        meshes.append(builder.build())
    return meshes


def car(foot: Vector, turn: float, rng: np.random.Generator) -> Mesh:
    """A passenger car: body and cabin."""
    builder = MeshBuilder()
    colour = _pick(((200, 200, 200), (60, 62, 66), (150, 32, 30), (40, 66, 120), (226, 226, 224), (110, 112, 112)), rng)
    frame = _frame(turn)
    builder.box(foot + UP * 0.62, frame, (4.3, 1.75, 0.75), colour)
    builder.box(foot + UP * 1.2 - frame[0] * 0.15, frame, (2.2, 1.55, 0.5), GLASS * 0.8)
    builder.box(foot + UP * 1.47 - frame[0] * 0.15, frame, (1.9, 1.5, 0.08), colour)
    builder.box(foot + UP * 0.2, frame, (4.0, 1.6, 0.3), np.full(3, 0.08))
    return builder.build()


def compound(foot: Vector, turn: float, rng: np.random.Generator) -> Mesh:
    """Equipment cabinets and the fence around the foot of a mast; half width 5 to 8 m."""
    builder = MeshBuilder()
    frame = _frame(turn)
    half = float(rng.uniform(5.0, 8.0))
    for k in range(int(rng.integers(1, 4))):
        place = foot + frame[0] * (half * 0.6 - 2.2 * k) + frame[1] * (half * 0.65)
        tall = float(rng.uniform(1.6, 2.6))
        builder.box(place + UP * tall / 2, frame, (1.8, 1.2, tall), _pick(METAL, rng))
    corners = [foot + frame[0] * (half * i) + frame[1] * (half * j) for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    grey = np.full(3, 0.5)
    for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
        for t in np.linspace(0.0, 1.0, 6)[:-1]:
            post = a + (b - a) * t
            builder.rod(post, post + UP * 2.1, 0.035, grey)
            for z in (0.2, 0.8, 1.4, 2.0):
                builder.rod(post + UP * z, post + (b - a) / 5 + UP * z, 0.014, grey)
    return builder.build()


def turbine(foot: Vector, turn: float, rng: np.random.Generator) -> Mesh:
    """A wind turbine, 40 to 70 m to the hub."""
    builder = MeshBuilder()
    tall = float(rng.uniform(40.0, 70.0))
    white = bgr((228, 230, 230)).astype(np.float64)
    frame = _frame(turn)
    builder.tube(foot, foot + UP * tall, (1.9, 1.1), white, sides=18)
    hub = foot + UP * (tall + 1.2) + frame[0] * 3.0
    builder.box(hub - frame[0] * 3.0, frame, (8.0, 3.0, 3.0), white)
    start = float(rng.uniform(0.0, 2.0))
    for k in range(3):
        angle = start + k * 2.0 * math.pi / 3.0
        blade = frame[1] * math.cos(angle) + UP * math.sin(angle)
        builder.rod(hub + frame[0], hub + frame[0] + blade * (0.55 * tall), 0.8, white, 0.15)
    return builder.build()


def lamp_mast(foot: Vector, turn: float, rng: np.random.Generator) -> Mesh:
    """A floodlight mast, 18 to 32 m: a plain pole with a row of lamps."""
    builder = MeshBuilder()
    tall = float(rng.uniform(18.0, 32.0))
    grey = bgr((150, 152, 152)).astype(np.float64)
    frame = _frame(turn)
    builder.tube(foot, foot + UP * tall, (0.32, 0.15), grey, sides=10)
    for row in (0.0, 0.9):
        builder.rod(foot + UP * (tall - row) - frame[1] * 1.8, foot + UP * (tall - row) + frame[1] * 1.8, 0.07, grey)
        for place in np.linspace(-1.6, 1.6, 4):
            centre = foot + UP * (tall - row) + frame[1] * place + frame[0] * 0.3
            builder.box(centre, frame, (0.25, 0.6, 0.5), grey * 0.8)
    return builder.build()


def _frame(turn: float) -> Vector:
    c, s = math.cos(turn), math.sin(turn)
    return np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])


def _pick(colours: tuple[Rgb, ...], rng: np.random.Generator) -> Vector:
    colour = bgr(colours[int(rng.integers(len(colours)))]).astype(np.float64)
    varied: Vector = np.clip(colour * rng.uniform(0.85, 1.1) * (1 + rng.normal(0, 0.02, 3)), 0, 1)
    return varied


def _wood_pole(builder: MeshBuilder, foot: Vector, across: Vector, tall: float) -> None:
    wood = bgr((104, 86, 68)).astype(np.float64)
    builder.rod(foot, foot + UP * (tall + 0.4), 0.15, wood, 0.1)
    builder.rod(foot + UP * tall - across * 1.1, foot + UP * tall + across * 1.1, 0.07, wood)
    for side in (-0.95, 0.0, 0.95):
        builder.rod(foot + UP * tall + across * side, foot + UP * (tall + 0.2) + across * side, 0.05, wood * 1.3)


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
        builder.facet(np.stack([middle - side - rise, middle + side - rise, middle + side + rise, middle - side + rise]), colour, outward)
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
    builder: MeshBuilder, foot: Vector, frame: Vector, size: tuple[float, float, float], rng: np.random.Generator
) -> None:
    a, b = frame[0] * (size[0] / 2), frame[1] * (size[1] / 2)
    top = foot + UP * size[2]
    tone = np.full(3, float(rng.uniform(0.3, 0.62)))
    builder.facet(np.stack([top - a - b, top + a - b, top + a + b, top - a + b]), tone, UP)
    for _ in range(int(rng.integers(0, 5))):
        place = top + a * float(rng.uniform(-0.8, 0.8)) + b * float(rng.uniform(-0.7, 0.7))
        tall = float(rng.uniform(0.8, 2.4))
        builder.box(place + UP * tall / 2, frame, (float(rng.uniform(1, 4)), float(rng.uniform(1, 3)), tall), tone * 1.1)
