"""The ground plane in perspective: maps of growing coarseness, looked up by every pixel that sees ground.

Land + shadows ──paint──▶ top-down maps (0.12 to 8 m per texel) ──look up──▶ (H, W, 3)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from train.synth.noise import fractal, look_up, smoothstep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from train.synth.land import Land
    from train.synth.weather import Weather

TEXEL_M = (0.12, 0.5, 2.0, 8.0)
SUBPIXEL = 4  # fractional bits of drawing coordinates


@dataclass(frozen=True)
class Shadow:
    """What keeps the sun off the ground: polygon or thick line, world x, y in metres; soft shadows let light by."""

    points_m: NDArray[np.float64]
    width_m: float = 0.0  # 0: a filled convex polygon
    depth: float = 1.0


@dataclass(frozen=True)
class GroundMap:
    """Square top-down picture (n, n, 3) float32 BGR; texel (row 0, column 0) lies at `origin_m`."""

    origin_m: tuple[float, float]
    texel_m: float
    colours: NDArray[np.float32]


def paint_maps(
    land: Land, weather: Weather, shadows: Sequence[Shadow], centres_m: Sequence[tuple[float, float]], size: int
) -> list[GroundMap]:
    """One lit map per `TEXEL_M`, each `size` texels square around its centre of `centres_m`."""
    return [
        _paint(land, weather, shadows, centre, texel, size)
        for texel, centre in zip(TEXEL_M, centres_m, strict=True)
    ]


def _paint(
    land: Land,
    weather: Weather,
    shadows: Sequence[Shadow],
    centre: tuple[float, float],
    texel: float,
    size: int,
) -> GroundMap:
    half = 0.5 * texel * size
    origin = (centre[0] - half, centre[1] - half)
    picture = np.zeros((size, size, 3), np.uint8)
    rows = np.zeros((size, size, 2), np.uint8)
    for parcel in land.parcels:
        corners = _texels(parcel.corners_m, origin, texel)
        if not _reaches(parcel.corners_m, centre, half):
            continue
        cv2.fillConvexPoly(picture, corners, _byte(parcel.colour), cv2.LINE_8, SUBPIXEL)
        amount = (parcel.rows * 255.0, 0.0) if parcel.along == 0 else (0.0, parcel.rows * 255.0)
        cv2.fillConvexPoly(rows, corners, amount, cv2.LINE_8, SUBPIXEL)
    x, y = _grid(origin, texel, size)
    albedo = picture.astype(np.float32) / 255.0
    albedo *= _grain(land, rows, x, y, texel)[..., None]
    roads = np.zeros((size, size, 3), np.uint8)
    paved = np.zeros((size, size), np.uint8)
    for road in land.roads:
        if _reaches(road.ends_m, centre, half):
            _draw_road(roads, paved, road.ends_m, road.width_m, road.colour, road.marked, origin, texel)
    share = paved.astype(np.float32)[..., None] / 255.0
    wear = 0.92 + 0.16 * look_up(fractal(5, 512, 1.0), x * 2.0, y * 2.0)[..., None]
    albedo += (roads.astype(np.float32) / 255.0 * wear - albedo) * share
    return GroundMap(origin, texel, albedo * _light(weather, shadows, origin, texel, size))


def _grain(
    land: Land, rows: NDArray[np.uint8], x: NDArray[np.float32], y: NDArray[np.float32], texel: float
) -> NDArray[np.float32]:
    """Factor around 1: patches of growth, tufts, and the rows of each field."""
    shift = np.float32(land.seed % 997)
    factor = 0.72 + 0.28 * look_up(fractal(4, 512, 1.4), x / 1.1 + shift, y / 1.1)
    factor += 0.28 * look_up(fractal(5, 512, 1.0), x / 0.35 + shift, y / 0.35)
    if texel < 2.0:
        factor += 0.3 * (look_up(fractal(5, 512, 1.0), x / 0.06, y / 0.06 + shift) - 0.5)
    if texel < 0.6:
        fade = min(1.0, land.row_period_m / (3.0 * texel))
        for k in (0, 1):
            along = x * np.float32(land.axes[k, 0]) + y * np.float32(land.axes[k, 1])
            wave = np.sin(along * np.float32(2.0 * math.pi / land.row_period_m))
            factor *= 1.0 + wave * (rows[..., k].astype(np.float32) * np.float32(fade / 255.0))
    return factor


def _draw_road(
    picture: NDArray[np.uint8],
    paved: NDArray[np.uint8],
    ends_m: NDArray[np.float64],
    width_m: float,
    colour: NDArray[np.float32],
    marked: bool,
    origin: tuple[float, float],
    texel: float,
) -> None:
    along = (ends_m[1] - ends_m[0]) / max(1e-6, float(np.linalg.norm(ends_m[1] - ends_m[0])))
    across = np.array([-along[1], along[0]])

    def stripe(offset: float, width: float, start: float, stop: float) -> NDArray[np.int32]:
        a, b = ends_m[0] + along * start + across * offset, ends_m[0] + along * stop + across * offset
        half = across * max(width, 0.9 * texel) / 2
        return _texels(np.stack([a - half, b - half, b + half, a + half]), origin, texel)

    length = float(np.linalg.norm(ends_m[1] - ends_m[0]))
    body = stripe(0.0, width_m, 0.0, length)
    strength = 255 if width_m > texel else int(255 * width_m / texel)
    cv2.fillConvexPoly(picture, body, _byte(colour), cv2.LINE_8, SUBPIXEL)
    cv2.fillConvexPoly(paved, body, (strength,), cv2.LINE_AA, SUBPIXEL)
    if texel > 0.2 or not marked:
        return
    for side in (-1.0, 1.0):
        edge = stripe(side * (width_m / 2 - 0.3), 0.15, 0.0, length)
        cv2.fillConvexPoly(picture, edge, (200, 205, 205), cv2.LINE_AA, SUBPIXEL)
    middle = -float(ends_m[0] @ along) + float(np.array(origin) @ along)
    for start in np.arange(max(0.0, middle - 150.0), min(length, middle + 250.0), 9.0):
        dash = stripe(0.0, 0.15, float(start), float(start) + 4.0)
        cv2.fillConvexPoly(picture, dash, (215, 220, 220), cv2.LINE_AA, SUBPIXEL)


def _light(
    weather: Weather, shadows: Sequence[Shadow], origin: tuple[float, float], texel: float, size: int
) -> NDArray[np.float32]:
    """Light (n, n, 3) or (1, 1, 3) that reaches the ground."""
    up = np.array([0.0, 0.0, 1.0])
    ambient = weather.ambient.astype(np.float32)
    sun = weather.sun * np.float32(max(0.0, float(up @ weather.to_sun)))
    if not shadows or texel > 4.0:
        return np.reshape(ambient + sun, (1, 1, 3)).astype(np.float32)
    dark = np.zeros((size, size), np.uint8)
    for shadow in shadows:
        points = _texels(shadow.points_m, origin, texel)
        level = (int(255 * shadow.depth),)
        if shadow.width_m == 0.0:
            cv2.fillConvexPoly(dark, cv2.convexHull(points), level, cv2.LINE_AA, SUBPIXEL)
            continue
        thick = shadow.width_m / texel
        level = (int(255 * shadow.depth * min(1.0, thick)),)
        a, b = (tuple(int(v) for v in p[0]) for p in points)
        cv2.line(dark, a, b, level, max(1, round(thick)), cv2.LINE_AA, SUBPIXEL)
    soft = cv2.GaussianBlur(dark, (0, 0), max(0.6, 0.25 / texel)).astype(np.float32)[..., None] / 255.0
    contact = ambient * (1.0 - 0.35 * soft)  # what shades the sun also hides part of the sky
    return np.asarray(contact + sun * (1.0 - soft), np.float32)


def look_down(
    maps: Sequence[GroundMap],
    rays: NDArray[np.float32],
    eye_m: NDArray[np.float64],
    focal_px: float,
    weather: Weather,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Ground colours (H, W, 3) seen along world directions `rays`, and which pixels see ground (H, W) in [0, 1]."""
    height_m = max(float(eye_m[2]), 0.5)
    length = np.sqrt(np.einsum("hwc,hwc->hw", rays, rays))
    sink = -rays[..., 2] / length
    seen = smoothstep(-0.7 / focal_px, 0.7 / focal_px, sink)
    distance = height_m / np.maximum(sink, 1e-4)
    reach = distance / length
    x = rays[..., 0] * reach + np.float32(eye_m[0])
    y = rays[..., 1] * reach + np.float32(eye_m[1])
    footprint = distance / focal_px * np.sqrt(np.minimum(distance / height_m, 400.0))
    detail = np.log2(np.maximum(footprint, 1e-3)) * 0.5
    colour = None
    for k in reversed(range(len(maps))):
        here = maps[k]
        u = (x - np.float32(here.origin_m[0])) / here.texel_m
        v = (y - np.float32(here.origin_m[1])) / here.texel_m
        limit = np.float32(here.colours.shape[0] - 1)
        sample = cv2.remap(
            here.colours, np.clip(u, 0, limit), np.clip(v, 0, limit), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        if colour is None:
            colour = sample
            continue
        # full weight where a pixel is finer than the next map's texel, none where it is coarser
        border = np.minimum(np.minimum(u, limit - u), np.minimum(v, limit - v))
        weight = np.clip(math.log2(here.texel_m) * 0.5 + 1.0 - detail, 0.0, 1.0) * np.clip(border / 40.0, 0.0, 1.0)
        colour += (sample - colour) * weight[..., None]
    assert colour is not None
    fine = look_up(fractal(5, 512, 1.0), x * 40.0, y * 40.0)
    near = np.clip(0.03 / footprint, 0.0, 1.0)
    colour *= (1.0 + (fine - 0.5) * near)[..., None]
    air = weather.haze(distance)[..., None]
    return np.asarray(colour * (1.0 - air) + weather.horizon * 0.97 * air, np.float32), seen


def _texels(points_m: NDArray[np.float64], origin: tuple[float, float], texel: float) -> NDArray[np.int32]:
    scaled = np.clip((points_m - np.array(origin)) / texel, -60_000, 60_000) * (1 << SUBPIXEL)
    return np.round(scaled).astype(np.int32)[:, None, :]


def _reaches(points_m: NDArray[np.float64], centre: tuple[float, float], half: float) -> bool:
    low, high = points_m.min(axis=0), points_m.max(axis=0)
    return bool(
        low[0] < centre[0] + half + 10 and high[0] > centre[0] - half - 10
        and low[1] < centre[1] + half + 10 and high[1] > centre[1] - half - 10
    )  # fmt: skip


def _grid(origin: tuple[float, float], texel: float, size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    steps = np.arange(size, dtype=np.float32) * np.float32(texel)
    x, y = np.meshgrid(steps + np.float32(origin[0]), steps + np.float32(origin[1]))
    return x, y


def _byte(colour: NDArray[np.float32]) -> tuple[float, float, float]:
    b, g, r = (float(v) for v in np.clip(colour * 255.0, 0.0, 255.0))
    return b, g, r
