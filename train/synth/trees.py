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
    "round": Species(0.46, 0.2, 0.15, 1300, (74, 96, 44), 0.9),
    "tall": Species(0.44, 0.1, 0.45, 1100, (82, 100, 50), 0.45),
    "conifer": Species(0.46, 0.06, 1.0, 1200, (46, 68, 42), 0.42),
    "bush": Species(0.48, 0.0, 0.1, 1100, (88, 102, 54), 1.5),
}


@dataclass(frozen=True)
class Sprite:
    """Unlit tree: `normals` (n, n, 3), x right, y up, z to the viewer; `albedo` (n, n, 3), `alpha` (n, n)."""

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
def grow(species: str, variant: int) -> tuple[Sprite, ...]:
    """Paint leaf tufts on a few spheres that fill the crown, far ones first; in falling sizes."""
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
    count = 30
    t = rng.uniform(-0.85, 0.85, count)
    room = np.sqrt(1 - t**2) * (1.0 - shape.taper) + shape.taper * (1.0 - t) * 0.5
    spheres = np.stack(
        [rng.uniform(-0.75, 0.75, count) * room * shape.half_width, middle + t * half_height], axis=1
    )
    radius = np.clip(0.42 * room * shape.half_width, 0.045, 0.15) * rng.uniform(0.75, 1.15, count)
    for sphere, r in zip(spheres, radius, strict=True):  # the dark inside
        inner = (int((sphere[0] + 0.5) * size * 16), int((1.0 - sphere[1]) * size * 16))
        tone = (bgr(shape.colour) * 255.0 * 0.55).tolist()
        for picture, value in ((normals, [128.0, 128.0, 200.0]), (albedo, tone), (alpha, [255.0])):
            cv2.circle(picture, inner, int(r * 0.93 * size * 16), value, -1, cv2.LINE_8, 4)
    pick = rng.integers(count, size=shape.tufts)
    facing = rng.normal(0, 1, (shape.tufts, 3))
    facing /= np.linalg.norm(facing, axis=1, keepdims=True)
    facing[:, 2] = np.abs(facing[:, 2])
    place = spheres[pick] + facing[:, :2] * radius[pick, None] * rng.uniform(0.75, 1.05, (shape.tufts, 1))
    place[:, 0] = np.clip(place[:, 0], -0.47, 0.47)
    place[:, 1] = np.clip(place[:, 1], 0.02, 0.98)
    crown = np.stack(
        [place[:, 0] / shape.half_width, (place[:, 1] - middle) / half_height, np.full(shape.tufts, 0.5)], 1
    )
    normal = facing + 0.8 * crown
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    for k in np.argsort(facing[:, 2] * radius[pick] + 0.12 * place[:, 1]):
        centre = (int((place[k, 0] + 0.5) * size * 16), int((1.0 - place[k, 1]) * size * 16))
        axes = (int(size * rng.uniform(0.008, 0.02) * 16), int(size * rng.uniform(0.006, 0.014) * 16))
        hollow = 0.6 + 0.4 * facing[k, 2] * np.clip(0.6 + 0.5 * crown[k, 1], 0.0, 1.0)
        tone = np.clip(bgr(shape.colour) * hollow * rng.uniform(0.85, 1.18) * 255.0 * 1.3, 0, 255).tolist()
        turn = float(rng.uniform(0, 180))
        for picture, value in (
            (normals, ((normal[k] + 1.0) * 127.5).tolist()),
            (albedo, tone),
            (alpha, [255.0]),
        ):
            cv2.ellipse(picture, centre, axes, turn, 0, 360, value, -1, cv2.LINE_8, 4)
    return _pyramid(normals, albedo, np.asarray(cv2.GaussianBlur(alpha, (0, 0), 0.6), np.uint8))


def _pyramid(
    normals: NDArray[np.uint8], albedo: NDArray[np.uint8], alpha: NDArray[np.uint8]
) -> tuple[Sprite, ...]:
    """The sprite in full size and halved again and again down to 12 pixels."""
    found = []
    while True:
        unit = normals.astype(np.float32) / 127.5 - 1.0
        found.append(Sprite(unit, albedo.astype(np.float32) / 255.0, alpha.astype(np.float32) / 255.0))
        half = normals.shape[0] // 2
        if half < 12:
            return tuple(found)
        weight = cv2.resize(alpha, (half, half), interpolation=cv2.INTER_AREA).astype(np.float32)[..., None]
        share = np.maximum(weight, 1.0)
        masked = (picture.astype(np.float32) * (alpha[..., None] / 255.0) for picture in (normals, albedo))
        normals, albedo = (
            np.clip(cv2.resize(m, (half, half), interpolation=cv2.INTER_AREA) * 255.0 / share, 0, 255).astype(
                np.uint8
            )
            for m in masked
        )
        alpha = weight[..., 0].astype(np.uint8)


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
        self._layers: dict[tuple[str, int, int], NDArray[np.float32]] = {}

    def draw(self, canvas: Canvas, tree: Tree) -> None:
        """Paste `tree` as seen by the camera, hazed by its distance."""
        foot = np.array([*tree.foot_m, 0.0])
        pixels, depths = self._camera.project(np.stack([foot, foot + np.array([0.0, 0.0, tree.height_m])]))
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
        sizes = [sprite.alpha.shape[0] for sprite in grow(tree.species, tree.variant)]
        level = max([k for k, side in enumerate(sizes) if side >= 1.3 * max(w, h)], default=0)
        layer = cv2.resize(
            self._lit(tree.species, tree.variant, level), (w, h), interpolation=cv2.INTER_LINEAR
        )
        air = float(self._weather.haze(float(depths.mean())))
        layer[..., :3] = layer[..., :3] * (tree.tint * (1.0 - air)) + layer[..., 3:] * (
            self._weather.horizon * air
        )
        canvas.paste(np.asarray(layer, np.float32), x0, y0)

    def _lit(self, species: str, variant: int, level: int) -> NDArray[np.float32]:
        key = (species, variant, level)
        if key not in self._layers:
            sprite = grow(species, variant)[level]
            direct = np.clip(0.25 + 0.85 * (sprite.normals @ self._sun), 0.0, 1.2)[..., None]
            sky = (0.75 + 0.25 * sprite.normals[..., 1:2]) * self._weather.ambient
            colour = np.clip(sprite.albedo * (sky + direct * self._weather.sun), 0.0, 1.0)
            layer = np.dstack([colour, np.ones_like(sprite.alpha)]) * (sprite.alpha * 255.0)[..., None]
            self._layers[key] = layer.astype(np.float32)
        return self._layers[key]


def random_tree(
    rng: np.random.Generator, foot_m: NDArray[np.float64], mix: tuple[str, ...], tint: float
) -> Tree:
    """A tree of a species out of `mix`, 1.5 to 20 m tall."""
    species = mix[int(rng.integers(len(mix)))]
    height = float(rng.uniform(1.2, 3.0) if species == "bush" else rng.uniform(6.0, 16.0))
    colour = np.array([1.0, 1.0, 1.0]) * tint * rng.uniform(0.8, 1.2) * (1.0 + rng.normal(0, 0.05, 3))
    return Tree(foot_m, height, species, int(rng.integers(VARIANTS)), colour.astype(np.float32))


def crown_outline(tree: Tree, to_sun: NDArray[np.float64]) -> NDArray[np.float64]:
    """The shadow of a tree on the ground as a polygon (n, 2) in metres: an ellipse, a triangle for a cone."""
    shape = SPECIES[tree.species]
    slope = to_sun[:2] / max(float(to_sun[2]), 0.12)
    angles = np.linspace(0.0, 2.0 * math.pi, 18, endpoint=False)
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1) * tree.radius_m * 0.9
    ring *= (1.0 + 0.12 * np.sin(5.0 * angles + tree.variant))[:, None]
    if shape.taper > 0.9:
        return np.concatenate([tree.foot_m + ring * 0.9, tree.foot_m[None] - slope * tree.height_m])
    half = 0.5 * (0.95 - shape.bottom) * tree.height_m
    stretch = ring @ slope / max(float(np.hypot(*slope)), 1e-6) / tree.radius_m
    shifted: NDArray[np.float64] = tree.foot_m + ring - slope * (0.5 * (0.95 + shape.bottom) * tree.height_m)
    return shifted + stretch[:, None] * slope * half
