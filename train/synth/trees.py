"""Trees as billboards: crowns made of leaf tufts with normals, so that any sun can light them.

species ──grow──▶ Sprite (normals, albedo, coverage) ──light──▶ premultiplied BGRA ──paste──▶ canvas
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from train.synth.weather import Rgb, bgr

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from train.synth.camera import Camera
    from train.synth.raster import Canvas
    from train.synth.weather import Weather

SPRITE_PX = 192
VARIANTS = 4  # sprites per species


@dataclass(frozen=True)
class Species:
    """Shape of a crown as shares of the sprite: half width, bottom and top of the crown; a cone tapers."""

    half_width: float
    bottom: float
    taper: float
    tufts: int
    colour: Rgb
    aspect: float  # width of the tree / its height


SPECIES = {
    "round": Species(0.46, 0.2, 0.15, 520, (74, 96, 44), 0.9),
    "tall": Species(0.44, 0.1, 0.45, 480, (82, 100, 50), 0.45),
    "conifer": Species(0.46, 0.06, 1.0, 560, (46, 68, 42), 0.42),
    "bush": Species(0.48, 0.0, 0.1, 420, (88, 102, 54), 1.5),
}


@dataclass(frozen=True)
class Sprite:
    """Unlit tree: `normals` (n, n, 3) x right, y up, z to the viewer; `albedo` (n, n, 3); `alpha` (n, n) in [0, 1]."""

    normals: NDArray[np.float32]
    albedo: NDArray[np.float32]
    alpha: NDArray[np.float32]


@dataclass(frozen=True)
class Tree:
    """One tree on the ground at (x, y) metres."""

    foot_m: NDArray[np.float64]
    height_m: float
    species: str
    variant: int
    tint: NDArray[np.float32]

    @property
    def radius_m(self) -> float:
        return 0.5 * self.height_m * SPECIES[self.species].aspect


@lru_cache(maxsize=32)
def grow(species: str, variant: int) -> Sprite:
    """Paint leaf tufts on a few spheres that fill the crown, far ones first."""
    shape = SPECIES[species]
    rng = np.random.default_rng([list(SPECIES).index(species), variant])
    size = SPRITE_PX
    normals = np.full((size, size, 3), 128, np.uint8)
    albedo = np.zeros((size, size, 3), np.uint8)
    alpha = np.zeros((size, size), np.uint8)
    if shape.bottom > 0:
        _trunk(normals, albedo, alpha, shape, rng)
    middle = (1.0 + shape.bottom) / 2 - 0.02
    half_height = (1.0 - shape.bottom) / 2 - 0.04
    count = 14 if shape.taper < 0.9 else 26
    t = rng.uniform(-0.8, 0.8, count)
    room = np.sqrt(1 - t**2) * (1.0 - shape.taper) + shape.taper * (1.0 - t) * 0.5
    spheres = np.stack([rng.uniform(-0.75, 0.75, count) * room * shape.half_width, middle + t * half_height], axis=1)
    radius = np.clip(0.62 * room * shape.half_width, 0.05, 0.21) * rng.uniform(0.75, 1.15, count)
    pick = rng.integers(count, size=shape.tufts)
    facing = rng.normal(0, 1, (shape.tufts, 3))
    facing /= np.linalg.norm(facing, axis=1, keepdims=True)
    facing[:, 2] = np.abs(facing[:, 2])
    place = spheres[pick] + facing[:, :2] * radius[pick, None]
    place[:, 0] = np.clip(place[:, 0], -0.47, 0.47)
    place[:, 1] = np.clip(place[:, 1], 0.03, 0.97)
    crown = np.stack([place[:, 0] / shape.half_width, (place[:, 1] - middle) / half_height, np.full(shape.tufts, 0.5)], 1)
    normal = facing + 0.7 * crown
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    for k in np.argsort(facing[:, 2] * radius[pick] + 0.15 * place[:, 1]):
        centre = (int((place[k, 0] + 0.5) * size * 16), int((1.0 - place[k, 1]) * size * 16))
        axes = (int(size * rng.uniform(0.012, 0.034) * 16), int(size * rng.uniform(0.01, 0.022) * 16))
        hollow = 0.55 + 0.45 * facing[k, 2] * np.clip(0.6 + 0.5 * crown[k, 1], 0.0, 1.0)
        tone = bgr(shape.colour) * hollow * rng.uniform(0.82, 1.2) * 255.0 * 1.25
        turn = float(rng.uniform(0, 180))
        for picture, value in (
            (normals, (normal[k] + 1.0) * 127.5),
            (albedo, np.clip(tone, 0, 255)),
            (alpha, np.array([255.0])),
        ):
            cv2.ellipse(picture, centre, axes, turn, 0, 360, value.tolist(), -1, cv2.LINE_8, 4)
    unit = normals.astype(np.float32) / 127.5 - 1.0
    return Sprite(unit, albedo.astype(np.float32) / 255.0, cv2.GaussianBlur(alpha, (0, 0), 0.6).astype(np.float32) / 255.0)


def _trunk(
    normals: NDArray[np.uint8],
    albedo: NDArray[np.uint8],
    alpha: NDArray[np.uint8],
    shape: Species,
    rng: np.random.Generator,
) -> None:
    size = SPRITE_PX
    thick = 0.022 / shape.aspect**0.5
    top = 0.75 - 0.15 * shape.taper
    lean = rng.uniform(-0.03, 0.03)
    outline = np.array([[-thick, 0.0], [thick, 0.0], [lean + thick * 0.4, top], [lean - thick * 0.4, top]])
    points = np.round(np.stack([outline[:, 0] + 0.5, 1.0 - outline[:, 1]], 1) * size).astype(np.int32)
    cv2.fillConvexPoly(normals, points, (128, 140, 230))
    cv2.fillConvexPoly(albedo, points, (58, 72, 86))
    cv2.fillConvexPoly(alpha, points, (255,))


class Grove:
    """All sprites lit for one picture: by the weather, from one viewing direction."""

    def __init__(self, camera: Camera, weather: Weather) -> None:
        self._camera, self._weather = camera, weather
        forward = camera.camera_from_world[2]
        ahead = np.array([forward[0], forward[1], 0.0]) / max(1e-6, float(np.hypot(*forward[:2])))
        right = np.array([ahead[1], -ahead[0], 0.0])
        to_sun = weather.to_sun
        self._sun = np.array([to_sun @ right, to_sun[2], -(to_sun @ ahead)], np.float32)
        self._down = float(np.clip(-forward[2], 0.0, 1.0))
        self._lit: dict[tuple[str, int], list[NDArray[np.float32]]] = {}

    def draw(self, canvas: Canvas, tree: Tree) -> None:
        """Paste `tree` as seen by the camera, hazed by its distance."""
        foot = np.array([*tree.foot_m, 0.0])
        pixels, depths = self._camera.project(np.stack([foot, foot + [0.0, 0.0, tree.height_m]]))
        if depths.min() < 3.0:
            return
        metre_px = self._camera.focal_px / float(depths.mean())
        width = 2.0 * tree.radius_m * metre_px
        tall = float(pixels[0, 1] - pixels[1, 1])
        tall = max(tall, 0.8 * width * self._down)  # from above one sees the crown's roof
        x, bottom = float(pixels[:, 0].mean()), float(pixels[0, 1]) + 0.25 * width * self._down
        w, h = max(2, round(width)), max(2, round(tall))
        x0, y0 = round(x - w / 2), round(bottom - h)
        if x0 > canvas.image.shape[1] or x0 + w < 0 or y0 > canvas.image.shape[0] or y0 + h < 0 or h > 3000:
            return
        pyramid = self._sprite(tree.species, tree.variant)
        level = 0
        while level + 1 < len(pyramid) and pyramid[level + 1].shape[0] >= 1.3 * max(w, h):
            level += 1
        layer = cv2.resize(pyramid[level], (w, h), interpolation=cv2.INTER_LINEAR)
        air = float(self._weather.haze(float(depths.mean())))
        layer[..., :3] = layer[..., :3] * (tree.tint * (1.0 - air)) + layer[..., 3:] * (self._weather.horizon * air)
        canvas.paste(np.asarray(layer, np.float32), x0, y0)

    def _sprite(self, species: str, variant: int) -> list[NDArray[np.float32]]:
        if (species, variant) not in self._lit:
            sprite = grow(species, variant)
            direct = np.clip(0.25 + 0.85 * (sprite.normals @ self._sun), 0.0, 1.2)[..., None]
            sky = (0.7 + 0.3 * sprite.normals[..., 1:2]) * self._weather.ambient
            colour = np.clip(sprite.albedo * (sky + direct * self._weather.sun), 0.0, 1.0) * 255.0
            alpha = sprite.alpha[..., None] * 255.0
            layer = np.concatenate([colour * sprite.alpha[..., None], alpha], axis=2).astype(np.float32)
            pyramid = [layer]
            while pyramid[-1].shape[0] > 12:
                half = pyramid[-1].shape[0] // 2
                pyramid.append(np.asarray(cv2.resize(pyramid[-1], (half, half), interpolation=cv2.INTER_AREA), np.float32))
            self._lit[species, variant] = pyramid
        return self._lit[species, variant]


def random_tree(rng: np.random.Generator, foot_m: NDArray[np.float64], mix: tuple[str, ...], tint: float) -> Tree:
    """A tree of a species out of `mix`, 1.5 to 20 m tall."""
    species = mix[int(rng.integers(len(mix)))]
    height = float(rng.uniform(1.2, 3.0) if species == "bush" else rng.uniform(6.0, 16.0))
    colour = np.array([1.0, 1.0, 1.0]) * tint * rng.uniform(0.8, 1.2) * (1.0 + rng.normal(0, 0.05, 3))
    return Tree(foot_m, height, species, int(rng.integers(VARIANTS)), colour.astype(np.float32))


def crown_outline(tree: Tree, to_sun: NDArray[np.float64]) -> NDArray[np.float64]:
    """The shadow of a tree on the ground as a polygon (n, 2) in metres."""
    slope = to_sun[:2] / max(float(to_sun[2]), 0.12)
    angles = np.linspace(0.0, 2.0 * math.pi, 10, endpoint=False)
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1) * tree.radius_m * 0.9
    low, high = 0.25 * tree.height_m, 0.9 * tree.height_m
    return np.concatenate([tree.foot_m + ring - slope * low, tree.foot_m + 0.5 * ring - slope * high])
