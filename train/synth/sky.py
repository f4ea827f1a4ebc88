"""The sky and the far land: a colour for every pixel that looks above the ground plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from train.synth.noise import fractal, look_up, smoothstep

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from train.synth.weather import Weather

CLOUD_TEXELS = 150.0  # texels per unit of the cloud dome
FAR_LAND_M = 5000.0  # where the tree belt ends the plain
BELT = np.array([0.22, 0.31, 0.25], np.float32)  # far trees, BGR
HILLS = np.array([0.36, 0.42, 0.38], np.float32)


def paint_sky(rays: NDArray[np.float32], weather: Weather, relief: float) -> NDArray[np.float32]:
    """Sky colours (H, W, 3) float32 BGR for world directions `rays` (H, W, 3).

    `relief`: height of the far ridges in radians, 0 for none; a belt of far trees stands everywhere.
    """
    height, width = rays.shape[:2]
    coarse = np.asarray(
        cv2.resize(rays, (width // 2 + 1, height // 2 + 1), interpolation=cv2.INTER_AREA), np.float32
    )
    sky = cv2.resize(_air(coarse, weather), (width, height), interpolation=cv2.INTER_LINEAR)
    rows = np.flatnonzero((rays[..., 2] < 0.4).any(axis=1))
    if len(rows):
        start = int(rows[0])
        sky[start:] = _with_far_land(np.asarray(sky[start:], np.float32), rays[start:], weather, relief)
    return np.asarray(sky, np.float32)


def _air(rays: NDArray[np.float32], weather: Weather) -> NDArray[np.float32]:
    """Gradient, glow around the sun, clouds."""
    directions = rays / np.sqrt(np.einsum("hwc,hwc->hw", rays, rays))[..., None]
    mix = (1.0 - np.exp(-3.2 * np.clip(directions[..., 2:], 0.0, 1.0))) / (1.0 - np.exp(-3.2))
    sky = weather.horizon + (weather.zenith - weather.horizon) * mix
    toward_sun = np.clip(directions @ weather.to_sun.astype(np.float32), 0.0, 1.0)
    glow = 0.16 * toward_sun**6 + 0.35 * toward_sun**60 + 1.5 * toward_sun**1800
    if weather.cover > 0.02:
        sky = _with_clouds(sky, directions, weather)
    lit: NDArray[np.float32] = sky + (glow * (0.25 + weather.sunlit))[..., None] * weather.sun
    return lit


def _with_clouds(
    sky: NDArray[np.float32], directions: NDArray[np.float32], weather: Weather
) -> NDArray[np.float32]:
    """Clouds on a dome: large shapes from soft noise, edges from rough noise, lit from the sun's side."""
    rng = np.random.default_rng(weather.seed)
    shift = rng.uniform(0.0, 512.0, 2)
    dome = np.float32(CLOUD_TEXELS * rng.uniform(0.7, 1.6)) / (
        np.clip(directions[..., 2], 0.0, 1.0) + np.float32(0.14)
    )
    x = directions[..., 0] * dome + np.float32(shift[0])
    y = directions[..., 1] * dome + np.float32(shift[1])
    shape, detail = fractal(int(rng.integers(4)), 512, 2.0), fractal(7, 512, 1.3)
    ripple = look_up(detail, x * 3.0, y * 3.0) - 0.5
    thick = look_up(shape, x, y) + 0.22 * ripple
    sunward = weather.to_sun[:2] / (np.linalg.norm(weather.to_sun[:2]) + 1e-6) * 7.0
    behind = look_up(shape, x + np.float32(sunward[0]), y + np.float32(sunward[1]))
    edge = 0.84 - 0.72 * weather.cover
    soft = 0.1 if weather.cover < 0.7 else 0.3
    density = smoothstep(edge - 0.04, edge + soft, thick)
    density *= smoothstep(-0.01, 0.1, directions[..., 2]) * 0.96
    light = np.clip(0.6 + 2.0 * (thick - behind) - 0.9 * (thick - edge), 0.0, 1.0)[..., None]
    if weather.sunlit > 0.15:
        dark = 0.7 * weather.horizon + 0.12 * weather.zenith
        bright = np.clip(weather.ambient.mean() + weather.sun * 0.8, 0.0, 1.0)
        cloud = dark + (bright - dark) * light
    else:
        cloud = weather.horizon * (0.8 + 0.24 * light) - 0.12 * (thick[..., None] - 0.5)
    mixed: NDArray[np.float32] = sky + (cloud - sky) * density[..., None]
    return mixed


def _with_far_land(
    sky: NDArray[np.float32], rays: NDArray[np.float32], weather: Weather, relief: float
) -> NDArray[np.float32]:
    """Ridges and the tree belt: silhouettes over the compass bearing, paler the farther."""
    bearing = np.asarray(cv2.phase(rays[..., 1], rays[..., 0]), np.float32)
    slope = rays[..., 2] / np.maximum(cv2.magnitude(rays[..., 0], rays[..., 1]), np.float32(1e-6))
    pixel = float(np.abs(np.diff(slope[:, slope.shape[1] // 2])).mean()) + 1e-6 if len(slope) > 1 else 1e-3
    rng = np.random.default_rng(weather.seed + 1)
    layers = [(HILLS, 30e3, relief, 1.2, 1.3), (HILLS, 15e3, 0.55 * relief, 2.4, 1.3)] if relief > 0.0 else []
    layers.append((BELT, FAR_LAND_M, float(rng.uniform(0.002, 0.011)), 9.0, 0.8))
    for colour, distance, tall, frequency, rough in layers:
        row = np.full_like(bearing, rng.uniform(0.0, 512.0))
        profile = look_up(fractal(6, 512, rough), bearing * np.float32(512 / (2 * np.pi) * frequency), row)
        air = min(0.93, float(weather.haze(distance)))
        tone = colour * (weather.ambient + 0.4 * weather.sun) * (1.0 - air) + weather.horizon * air * 0.97
        sky = (
            sky
            + (tone - sky) * smoothstep(-pixel, pixel, np.float32(tall * 1.3) * profile - slope)[..., None]
        )
    return sky
