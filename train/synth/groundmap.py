"""Paints the land from above: square maps of growing coarseness with fields, roads and shadows.

Land + shadows ──▶ maps of 0.12 to 8 m per texel ──ground.py──▶ the same ground in perspective
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from train.synth.land import Land, Parcel, Road

TEXEL_M = (0.12, 0.5, 2.0, 8.0)
NO_ROWS, PAVED = 128, 255  # in the map of crop rows
ROW_LEVELS = 400.0  # map levels per unit of row strength
SUBPIXEL = 4  # fractional bits of drawing coordinates


@dataclass(frozen=True)
class Shadow:
    """Where the sun is kept off: a polygon or thick line in metres; `depth` is the share of sun taken."""

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
    land: Land, shadows: Sequence[Shadow], centres_m: Sequence[tuple[float, float]], size: int
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
    length, along = road.length_m, road.along
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
    for k in np.flatnonzero(((low < far) & (high > np.array(origin))).all(axis=1)).tolist():
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


def _texels(points_m: NDArray[np.float64], origin: tuple[float, float], texel: float) -> NDArray[np.int32]:
    scaled = np.clip((points_m - np.array(origin)) / texel, -60_000, 60_000) * (1 << SUBPIXEL)
    return np.asarray(np.round(scaled), np.int32)[:, None, :]


def _reaches(points_m: NDArray[np.float64], centre: tuple[float, float], half: float) -> bool:
    low, high = points_m.min(axis=0), points_m.max(axis=0)
    return bool(
        low[0] < centre[0] + half + 10 and high[0] > centre[0] - half - 10
        and low[1] < centre[1] + half + 10 and high[1] > centre[1] - half - 10
    )  # fmt: skip


def _byte(colour: NDArray[np.float32]) -> tuple[float, float, float]:
    b, g, r = (float(v) for v in np.clip(colour * 255.0, 0.0, 255.0))
    return b, g, r
