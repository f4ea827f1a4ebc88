"""What stands upright and is no cell tower: chimneys, silos, turbines, lamps, power lines; and cars."""

from __future__ import annotations

import itertools
import math

import numpy as np

from train.synth.buildings import GLASS, METAL, UP, frame_of, pick
from train.synth.mesh import Mesh, MeshBuilder, Vector
from train.synth.weather import bgr


def chimney(foot: Vector, rng: np.random.Generator) -> Mesh:
    """A factory chimney of brick or concrete, some with red and white bands."""
    tall, base = float(rng.uniform(22.0, 60.0)), float(rng.uniform(1.2, 2.2))
    colours = [pick(((150, 92, 72), (168, 160, 150), (186, 180, 172)), rng)]
    if rng.random() < 0.4:
        colours = [bgr((170, 60, 48)).astype(np.float64), bgr((220, 218, 212)).astype(np.float64)]
    builder = MeshBuilder()
    steps = np.linspace(0.0, tall, 8)
    for k, (low, high) in enumerate(itertools.pairwise(steps)):
        radii = (base * (1 - 0.45 * low / tall), base * (1 - 0.45 * high / tall))
        builder.tube(
            foot + UP * low, foot + UP * high, radii, colours[k % len(colours)], sides=18, caps=False
        )
    rim = base * 0.62
    builder.tube(foot + UP * (tall - 0.8), foot + UP * tall, (rim, rim), colours[0] * 0.7, sides=18)
    return builder.build()


def silo(foot: Vector, rng: np.random.Generator) -> Mesh:
    """One to three metal silos in a row."""
    builder = MeshBuilder()
    radius, tall = float(rng.uniform(2.0, 4.0)), float(rng.uniform(8.0, 18.0))
    colour = pick(METAL, rng)
    along = frame_of(float(rng.uniform(0, 6.3)))[0]
    for k in range(int(rng.integers(1, 4))):
        base = foot + along * (2.3 * radius * k)
        builder.tube(base, base + UP * tall, (radius, radius), colour, sides=18, caps=False)
        builder.tube(
            base + UP * tall, base + UP * (tall + radius * 0.6), (radius, 0.2), colour * 0.95, sides=18
        )
    return builder.build()


def turbine(foot: Vector, turn: float, rng: np.random.Generator) -> Mesh:
    """A wind turbine, 40 to 70 m to the hub."""
    builder = MeshBuilder()
    tall = float(rng.uniform(40.0, 70.0))
    white = bgr((228, 230, 230)).astype(np.float64)
    frame = frame_of(turn)
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
    frame = frame_of(turn)
    builder.tube(foot, foot + UP * tall, (0.32, 0.15), grey, sides=10)
    for row in (0.0, 0.9):
        builder.rod(
            foot + UP * (tall - row) - frame[1] * 1.8, foot + UP * (tall - row) + frame[1] * 1.8, 0.07, grey
        )
        for place in np.linspace(-1.6, 1.6, 4):
            centre = foot + UP * (tall - row) + frame[1] * place + frame[0] * 0.3
            builder.box(centre, frame, (0.25, 0.6, 0.5), grey * 0.8)
    return builder.build()


def pole(foot: Vector, turn: float, rng: np.random.Generator) -> Mesh:
    """A street lamp, a wooden pole or a flag pole, 6 to 14 m."""
    builder = MeshBuilder()
    tall = float(rng.uniform(6.0, 14.0))
    across = frame_of(turn)[0]
    if rng.random() < 0.5:
        grey = bgr((150, 152, 152)).astype(np.float64)
        builder.rod(foot, foot + UP * tall, 0.11, grey, 0.06)
        builder.rod(foot + UP * tall, foot + UP * (tall + 0.3) + across * 1.8, 0.05, grey)
        builder.box(foot + UP * (tall + 0.3) + across * 2.0, frame_of(turn), (0.8, 0.3, 0.12), grey * 0.9)
    else:
        _wood_pole(builder, foot, across, tall)
    return builder.build()


def power_line(start: Vector, turn: float, rng: np.random.Generator) -> list[Mesh]:
    """Wooden poles 40 to 60 m apart with sagging wires; one mesh per span and one per pole."""
    along, across = frame_of(turn)[0], frame_of(turn)[1]
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
    for a, b in itertools.pairwise(feet):
        builder = MeshBuilder()
        for side in (-0.95, 0.0, 0.95):
            curve = a + (b - a) * t + across * side + UP * (tall + 0.15 - 0.025 * span * 4.0 * t * (1 - t))
            builder.chain(curve, 0.012, dark)
        meshes.append(builder.build())
    return meshes


def car(foot: Vector, turn: float, rng: np.random.Generator) -> Mesh:
    """A passenger car: body and cabin."""
    builder = MeshBuilder()
    colour = pick(
        ((200, 200, 200), (60, 62, 66), (150, 32, 30), (40, 66, 120), (226, 226, 224), (110, 112, 112)), rng
    )
    frame = frame_of(turn)
    builder.box(foot + UP * 0.62, frame, (4.3, 1.75, 0.75), colour)
    builder.box(foot + UP * 1.2 - frame[0] * 0.15, frame, (2.2, 1.55, 0.5), GLASS * 0.8)
    builder.box(foot + UP * 1.47 - frame[0] * 0.15, frame, (1.9, 1.5, 0.08), colour)
    builder.box(foot + UP * 0.2, frame, (4.0, 1.6, 0.3), np.full(3, 0.08))
    return builder.build()


def _wood_pole(builder: MeshBuilder, foot: Vector, across: Vector, tall: float) -> None:
    wood = bgr((104, 86, 68)).astype(np.float64)
    builder.rod(foot, foot + UP * (tall + 0.4), 0.15, wood, 0.1)
    builder.rod(foot + UP * tall - across * 1.1, foot + UP * tall + across * 1.1, 0.07, wood)
    for side in (-0.95, 0.0, 0.95):
        builder.rod(
            foot + UP * tall + across * side, foot + UP * (tall + 0.2) + across * side, 0.05, wood * 1.3
        )
