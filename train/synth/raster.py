"""Draws meshes and sprites into a picture, far parts first, and tracks what stays visible of the subject."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from train.synth.camera import NEAR_M, Camera
from train.synth.mesh import Mesh, rod_light

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from train.synth.weather import Weather

SUBPIXEL = 4
THIN_PX = 1.3  # thinner rods are drawn as lines
FAR_PX = 8000.0  # drawing coordinates are kept within this


@dataclass
class Canvas:
    """A picture in the making: `image` (H, W, 3) uint8 and the subject's visible `share` (H, W) uint8."""

    image: NDArray[np.uint8]
    share: NDArray[np.uint8]

    def polygon(self, points: NDArray[np.int32], colour: tuple[float, float, float], cover: int = 0) -> None:
        """Fill a convex polygon given in 1/16 pixels; the subject's share under it becomes `cover`."""
        cv2.fillConvexPoly(self.image, points, colour, cv2.LINE_8, SUBPIXEL)
        cv2.fillConvexPoly(self.share, points, (cover,), cv2.LINE_8, SUBPIXEL)

    def paste(self, layer: NDArray[np.float32], x0: int, y0: int, subject: bool = False) -> None:
        """Lay premultiplied BGRA (h, w, 4) in [0, 255] over the picture at (x0, y0); may stick out."""
        left, top = max(0, -x0), max(0, -y0)
        right = min(layer.shape[1], self.image.shape[1] - x0)
        bottom = min(layer.shape[0], self.image.shape[0] - y0)
        if left >= right or top >= bottom:
            return
        part = layer[top:bottom, left:right]
        here = slice(y0 + top, y0 + bottom), slice(x0 + left, x0 + right)
        keep = 1.0 - part[..., 3:] * np.float32(1 / 255.0)
        self.image[here] = np.clip(self.image[here] * keep + part[..., :3] + 0.5, 0.0, 255.0).astype(np.uint8)
        alpha = part[..., 3] if subject else 0.0
        self.share[here] = (self.share[here] * keep[..., 0] + alpha + 0.5).astype(np.uint8)


def draw_mesh(canvas: Canvas, mesh: Mesh, camera: Camera, weather: Weather, *, cover: int = 0) -> None:
    """Paint rods and facets from far to near (painter's order by the distance of their middles)."""
    eye = camera.position_m
    facing = np.einsum("mc,mc->m", mesh.normals, eye - mesh.corners.mean(axis=1)) > 0
    corners = camera.to_camera(mesh.corners[facing])
    anchors = np.linalg.norm(mesh.anchors[facing] - eye, axis=1)
    middles = (mesh.starts + mesh.ends) / 2
    reach = np.linalg.norm(middles - eye, axis=1)
    starts, ends = camera.to_camera(mesh.starts), camera.to_camera(mesh.ends)
    facet_tone = _tone(mesh.facet_colours[facing] * weather.lit(mesh.normals[facing]), anchors, weather)
    direct = rod_light(mesh.starts, mesh.ends, eye, weather.to_sun)[:, None] * 1.25
    rod_tone = _tone(mesh.rod_colours * (0.7 * weather.ambient + direct * weather.sun), reach, weather)
    pixels = camera.to_pixels(corners)
    near_facets = corners[..., 2].min(axis=1) < NEAR_M
    depths = np.stack([starts[:, 2], ends[:, 2]], axis=1)
    drawable = np.asarray((depths > NEAR_M).all(axis=1))
    widths = 2.0 * mesh.radii * camera.focal_px / np.maximum(depths, NEAR_M)
    tips = np.stack([camera.to_pixels(starts), camera.to_pixels(ends)], axis=1)
    outlines = _fixed(_thicken(tips, widths))
    thin = np.asarray(widths.max(axis=1) < THIN_PX)
    quads = _fixed(pixels)
    for k in np.argsort(-np.concatenate([anchors, reach]), kind="stable"):
        n = k - len(anchors)
        if n < 0:
            outline = _fixed(clip_near(corners[k], camera)) if near_facets[k] else quads[k]
            if len(outline) >= 3:
                canvas.polygon(outline, _colour(facet_tone[k]), cover)
        elif not drawable[n]:
            continue
        elif thin[n]:
            _draw_thin(canvas, tips[n], float(widths[n].mean()), _colour(rod_tone[n]), cover)
        else:
            canvas.polygon(outlines[n], _colour(rod_tone[n]), cover)


def _thicken(tips: NDArray[np.float64], widths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quads (n, 4, 2) around segments (n, 2, 2) with a width (n, 2) at either end."""
    along = tips[:, 1] - tips[:, 0]
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    across /= np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-6)[:, None]
    # filled polygons include their border pixels: about one pixel wider than asked for
    half = across[:, None, :] * (np.maximum(widths - 1.0, 0.0) / 2)[..., None]
    return np.concatenate([tips - half, (tips + half)[:, ::-1]], axis=1)


def _draw_thin(
    canvas: Canvas, tips: NDArray[np.float64], width: float, colour: tuple[float, float, float], cover: int
) -> None:
    """A line thinner than a pixel: its colour and cover are mixed with what lies behind its middle."""
    height, breadth = canvas.share.shape
    x, y = (tips[0] + tips[1]) / 2
    amount = float(np.clip(width, 0.0, 1.0))
    level = float(cover)
    if 0 <= x < breadth and 0 <= y < height:
        behind = canvas.image[int(y), int(x)]
        b, g, r = (float(c) * amount + float(p) * (1.0 - amount) for c, p in zip(colour, behind, strict=True))
        colour = (b, g, r)
        level = cover * amount + float(canvas.share[int(y), int(x)]) * (1.0 - amount)
    start, end = (tuple(int(v) for v in tip[0]) for tip in _fixed(tips))
    cv2.line(canvas.image, start, end, colour, 1, cv2.LINE_8, SUBPIXEL)
    cv2.line(canvas.share, start, end, (level,), 1, cv2.LINE_8, SUBPIXEL)


def clip_near(corners_camera: NDArray[np.float64], camera: Camera) -> NDArray[np.float64]:
    """Pixels (k, 2) of the part of a polygon (n, 3) in camera axes that lies beyond the near plane."""
    kept: list[NDArray[np.float64]] = []
    for a, b in zip(corners_camera, np.roll(corners_camera, -1, axis=0), strict=True):
        if a[2] >= NEAR_M:
            kept.append(a)
        if (a[2] >= NEAR_M) != (b[2] >= NEAR_M):
            kept.append(a + (b - a) * ((NEAR_M - a[2]) / (b[2] - a[2])))
    return camera.to_pixels(np.array(kept).reshape(-1, 3))


def _tone(lit: NDArray[np.float64], distance: NDArray[np.float64], weather: Weather) -> NDArray[np.float64]:
    return np.clip(weather.through_air(lit, distance), 0.0, 1.0) * 255.0


def _colour(tone: NDArray[np.float64]) -> tuple[float, float, float]:
    return float(tone[0]), float(tone[1]), float(tone[2])


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    fixed = np.round(np.clip(points, -FAR_PX, FAR_PX) * (1 << SUBPIXEL))
    return np.asarray(fixed, np.int32)[..., None, :]
