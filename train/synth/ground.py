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
from train.synth.sky import FAR_LAND_M

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from train.synth.camera import Camera
    from train.synth.land import Land, Parcel, Road
    from train.synth.weather import Weather

TEXEL_M = (0.12, 0.5, 2.0, 8.0)
GRAIN = ((14.0, 1.4, 0.5, 0.35), (1.7, 1.2, 0.34, 0.2), (0.3, 0.7, 0.5, 0.05), (0.04, 0.7, 0.6, 0.0))
# (metres per texel, slope of the noise, strength, shift of hue)
NO_ROWS, PAVED = 128, 255  # in the map of crop rows
ROW_LEVELS = 400.0
SUBPIXEL = 4  # fractional bits of drawing coordinates


@dataclass(frozen=True)
class Shadow:
    """What keeps the sun off the ground: polygon or thick line, world x, y in metres; soft shadows let light by."""

    points_m: NDArray[np.float64]
    width_m: float = 0.0  # 0: the convex hull of the points
    depth: float = 1.0


@dataclass(frozen=True)
class GroundMap:
    """Square top-down picture whose texel (row 0, column 0) lies at `origin_m`.

    `pixels` (n, n, 4) uint8: BGR and shade. `rows` (n, n) uint8: strength of crop rows, above `NO_ROWS` along
    the first axis of the land, below along the second.
    """

    origin_m: tuple[float, float]
    texel_m: float
    pixels: NDArray[np.uint8]
    rows: NDArray[np.uint8]


def paint_maps(
    land: Land, weather: Weather, shadows: Sequence[Shadow], centres_m: Sequence[tuple[float, float]], size: int
) -> list[GroundMap]:
    """One map per `TEXEL_M`, each `size` texels square around its centre of `centres_m`."""
    return [
        _paint(land, shadows, centre, texel, size) for texel, centre in zip(TEXEL_M, centres_m, strict=True)
    ]


def _paint(
    land: Land, shadows: Sequence[Shadow], centre: tuple[float, float], texel: float, size: int
) -> GroundMap:
    half = 0.5 * texel * size
    origin = (centre[0] - half, centre[1] - half)
    picture = np.full((size, size, 3), _byte(land.verge), np.uint8)
    rows = np.full((size, size), NO_ROWS, np.uint8)
    for parcel in land.parcels:
        if not _reaches(parcel.corners_m, centre, half):
            continue
        corners = _texels(parcel.corners_m, origin, texel)
        cv2.fillConvexPoly(picture, corners, _byte(parcel.colour), cv2.LINE_8, SUBPIXEL)
        strength = round(parcel.rows * ROW_LEVELS) * (1 if parcel.along == 0 else -1)
        cv2.fillConvexPoly(rows, corners, (NO_ROWS + strength,), cv2.LINE_8, SUBPIXEL)
        if parcel.rows and texel < 0.6:
            _draw_tramlines(picture, parcel, origin, texel)
        if parcel.margin_m and texel < 2.5:
            thick = max(1, round(parcel.margin_m / texel))
            cv2.polylines(picture, [corners], True, _byte(land.verge), thick, cv2.LINE_AA, SUBPIXEL)
            cv2.polylines(rows, [corners], True, (NO_ROWS,), thick, cv2.LINE_8, SUBPIXEL)
    for road in land.roads:
        if _reaches(road.ends_m, centre, half):
            _draw_road(picture, rows, road, origin, texel)
    return GroundMap(origin, texel, np.dstack([picture, _shade(shadows, origin, texel, size)]), rows)


def _draw_tramlines(
    picture: NDArray[np.uint8], parcel: Parcel, origin: tuple[float, float], texel: float
) -> None:
    """Pairs of wheel tracks along the rows of a field, one pair every 18 m."""
    a, b, c, d = parcel.corners_m if parcel.along == 1 else np.roll(parcel.corners_m, -1, axis=0)
    width = float(np.linalg.norm(d - a))
    colour = _byte(parcel.colour * np.float32(0.72 if texel < 0.3 else 0.86))
    for offset in np.arange(9.0, width - 3.0, 18.0):
        for wheel in (0.0, 1.9):
            t = (offset + wheel) / width
            ends = _texels(np.stack([a + (d - a) * t, b + (c - b) * t]), origin, texel)
            start, end = (tuple(int(v) for v in p[0]) for p in ends)
            cv2.line(picture, start, end, colour, max(1, round(0.4 / texel)), cv2.LINE_AA, SUBPIXEL)


def _draw_road(
    picture: NDArray[np.uint8], rows: NDArray[np.uint8], road: Road, origin: tuple[float, float], texel: float
) -> None:
    length = max(1e-6, float(np.linalg.norm(road.ends_m[1] - road.ends_m[0])))
    along = (road.ends_m[1] - road.ends_m[0]) / length
    across = np.array([-along[1], along[0]])

    def stripe(offset: float, width: float, start: float, stop: float, colour: NDArray[np.float32]) -> None:
        a, b = (road.ends_m[0] + along * s + across * offset for s in (start, stop))
        half = across * max(width, 0.9 * texel) / 2
        outline = _texels(np.stack([a - half, b - half, b + half, a + half]), origin, texel)
        cv2.fillConvexPoly(picture, outline, _byte(colour), cv2.LINE_AA, SUBPIXEL)
        cv2.fillConvexPoly(rows, outline, (PAVED if road.marked else NO_ROWS,), cv2.LINE_8, SUBPIXEL)

    if texel < 2.5:
        stripe(0.0, road.width_m + 2.4, 0.0, length, road.colour * np.array([0.72, 0.92, 0.9], np.float32))
    stripe(0.0, road.width_m, 0.0, length, road.colour)
    if texel > 0.6:
        return
    if not road.marked:  # two wheel tracks
        for side in (-0.75, 0.75):
            stripe(side, 0.5, 0.0, length, road.colour * np.float32(1.15))
        return
    paint = np.array([0.78, 0.8, 0.8], np.float32) if texel < 0.3 else road.colour * np.float32(1.25)
    for side in (-1.0, 1.0):
        stripe(side * (road.width_m / 2 - 0.3), 0.15, 0.0, length, paint)
    middle = float((np.array(origin) - road.ends_m[0]) @ along)
    reach = 1.5 * texel * len(picture)
    for start in np.arange(max(0.0, middle - reach), min(length, middle + reach), 9.0):
        stripe(0.0, 0.15, float(start), float(start) + 4.0, paint)


def _shade(
    shadows: Sequence[Shadow], origin: tuple[float, float], texel: float, size: int
) -> NDArray[np.uint8]:
    """How much of the sun is kept off each texel (n, n), 255 for all of it; softened by 0.25 m."""
    dark = np.zeros((size, size), np.uint8)
    if texel > 4.0:
        return dark
    if not shadows:
        return dark
    far = np.array(origin) + texel * size
    low = np.array([shadow.points_m.min(axis=0) for shadow in shadows])
    high = np.array([shadow.points_m.max(axis=0) for shadow in shadows])
    for k in np.flatnonzero(((low < far) & (high > np.array(origin))).all(axis=1)):
        shadow = shadows[k]
        points = _texels(shadow.points_m, origin, texel)
        if shadow.width_m == 0.0:
            level = (int(255 * shadow.depth),)
            cv2.fillConvexPoly(dark, cv2.convexHull(points), level, cv2.LINE_AA, SUBPIXEL)
            continue
        thick = shadow.width_m / texel
        level = (int(255 * shadow.depth * min(1.0, thick)),)
        a, b = (tuple(int(v) for v in p[0]) for p in points)
        cv2.line(dark, a, b, level, max(1, round(thick)), cv2.LINE_AA, SUBPIXEL)
    return np.asarray(cv2.GaussianBlur(dark, (0, 0), max(0.6, 0.25 / texel)), np.uint8)


def look_down(
    land: Land, maps: Sequence[GroundMap], rays: NDArray[np.float32], camera: Camera, weather: Weather
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Ground seen along world directions `rays` (H, W, 3) of `camera`.

    Returns:
        Colours (H, W, 3) and the share of each pixel that is ground (H, W), both float32 in [0, 1].
    """
    eye, focal = camera.position_m, np.float32(camera.focal_px)
    height_m = np.float32(max(float(eye[2]), 0.5))
    length = np.sqrt(np.einsum("hwc,hwc->hw", rays, rays))
    sink = -rays[..., 2] / length
    seen = smoothstep(-0.7 / camera.focal_px, 0.7 / camera.focal_px, sink)
    distance = height_m / np.maximum(sink, np.float32(1e-4))
    reach = distance / length
    x = rays[..., 0] * reach + np.float32(eye[0])
    y = rays[..., 1] * reach + np.float32(eye[1])
    across = distance / focal  # metres of ground per pixel, across the view and along it
    along = across * np.minimum(distance / height_m, np.float32(400.0))
    footprint = np.sqrt(across * along)
    sample, rows = _through_maps(maps, x, y, footprint)
    rough = 1.0 - 0.65 * np.clip(rows * np.float32(1 / 15.0) - np.float32(7.0), 0.0, 1.0)  # pavement is smooth
    colour = sample[..., :3] * (1.0 + rough[..., None] * _grain(x, y, footprint, land.seed))
    if land.style.rows:
        colour *= _crop_rows(land, rows, x, y, along)[..., None]
    shade = sample[..., 3:] * np.float32(1 / 255.0)
    sun = weather.sun * np.float32(max(0.0, float(weather.to_sun[2])))
    # what keeps the sun off also hides part of the sky
    colour *= (weather.ambient * (1.0 - 0.35 * shade) + sun * (1.0 - shade)) * np.float32(1 / 255.0)
    colour += (weather.horizon * np.float32(0.97) - colour) * weather.haze(np.minimum(distance, np.float32(FAR_LAND_M)))[..., None]
    return np.asarray(colour, np.float32), seen


def _through_maps(
    maps: Sequence[GroundMap], x: NDArray[np.float32], y: NDArray[np.float32], footprint: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """BGR and shade (H, W, 4) in [0, 255] and rows (H, W) from the maps whose texels fit each pixel."""
    found, rows = np.zeros((*x.shape, 4), np.float32), np.zeros(x.shape, np.float32)
    octave = np.log2(np.maximum(footprint, np.float32(1e-3))) * np.float32(0.5)
    for k, here in enumerate(reversed(maps)):
        u = (x - np.float32(here.origin_m[0])) * np.float32(1 / here.texel_m)
        v = (y - np.float32(here.origin_m[1])) * np.float32(1 / here.texel_m)
        limit = np.float32(here.pixels.shape[0] - 1)
        border = np.minimum(np.minimum(u, limit - u), np.minimum(v, limit - v))
        # full weight where a pixel is finer than this map's texel, none where it is twice as coarse or more
        fits = np.clip(np.float32(math.log2(here.texel_m) * 0.5 + 1.0) - octave, 0.0, 1.0)
        weight = fits * np.clip(border * np.float32(1 / 40.0), 0.0, 1.0)
        if k and not weight.any():
            continue
        u, v = np.clip(u, 0, limit), np.clip(v, 0, limit)
        sample = cv2.remap(here.pixels, u, v, cv2.INTER_LINEAR).astype(np.float32)
        found += (sample - found) * (weight[..., None] if k else np.float32(1.0))
        if here.texel_m < 4.0:
            strength = cv2.remap(here.rows, u, v, cv2.INTER_NEAREST).astype(np.float32) - np.float32(NO_ROWS)
            rows += (strength - rows) * weight
    return found, rows


def _crop_rows(
    land: Land,
    rows: NDArray[np.float32],
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    along_m: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Factor (H, W) around 1: a wave across each field with rows, gone where a pixel holds half a period."""
    fade = np.clip(1.4 - along_m * np.float32(3.2 / land.row_period_m), 0.0, 1.0) * np.float32(1 / ROW_LEVELS)
    factor = np.ones(x.shape, np.float32)
    for k, strength in enumerate((np.where(rows < 100.0, np.maximum(rows, 0.0), np.float32(0.0)), np.maximum(-rows, 0.0))):
        if strength.any():
            offset = x * np.float32(land.axes[k, 0]) + y * np.float32(land.axes[k, 1])
            factor += np.sin(offset * np.float32(2.0 * math.pi / land.row_period_m)) * strength * fade
    return factor


def _grain(
    x: NDArray[np.float32], y: NDArray[np.float32], footprint: NDArray[np.float32], seed: int
) -> NDArray[np.float32]:
    """Changes (H, W, 3) around 0: patches of growth that turn towards yellow, tufts, blades."""
    shift = np.float32(seed % 997)
    change = np.zeros((*x.shape, 3), np.float32)
    for texel_m, texture, amount, hue in GRAIN:
        weight = np.clip(1.5 - footprint * np.float32(0.5 / texel_m), 0.0, 1.0)
        if not weight.any():
            continue
        wave = look_up(fractal(5, 512, texture), x / np.float32(texel_m) + shift, y / np.float32(texel_m) - shift)
        wave = (wave - 0.5) * weight
        change += wave[..., None] * np.array([amount * (1 - hue), amount, amount * (1 + hue)], np.float32)
    return change


def _texels(points_m: NDArray[np.float64], origin: tuple[float, float], texel: float) -> NDArray[np.int32]:
    scaled = np.clip((points_m - np.array(origin)) / texel, -60_000, 60_000) * (1 << SUBPIXEL)
    return np.round(scaled).astype(np.int32)[:, None, :]


def _reaches(points_m: NDArray[np.float64], centre: tuple[float, float], half: float) -> bool:
    low, high = points_m.min(axis=0), points_m.max(axis=0)
    return bool(
        low[0] < centre[0] + half + 10 and high[0] > centre[0] - half - 10
        and low[1] < centre[1] + half + 10 and high[1] > centre[1] - half - 10
    )  # fmt: skip


def _byte(colour: NDArray[np.float32]) -> tuple[float, float, float]:
    b, g, r = (float(v) for v in np.clip(colour * 255.0, 0.0, 255.0))
    return b, g, r
