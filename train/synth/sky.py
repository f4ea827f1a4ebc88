"""The sky and the far ridges: a colour for every pixel that looks above the ground plane."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from train.synth.noise import fractal, look_up, smoothstep
from train.synth.weather import Weather

CLOUD_TEXELS = 330.0  # texels per unit of the cloud dome


def paint_sky(rays: NDArray[np.float32], weather: Weather, relief: float) -> NDArray[np.float32]:
    """Sky colours (H, W, 3) float32 BGR for world directions `rays` (H, W, 3); ridges as tall as `relief` rad."""
    length = np.sqrt(np.einsum("hwc,hwc->hw", rays, rays))
    up = rays[..., 2] / length
    height = np.clip(up, 0.0, 1.0)
    mix = (1.0 - np.exp(-3.2 * height))[..., None] / (1.0 - np.exp(-3.2))
    sky = weather.horizon + (weather.zenith - weather.horizon) * mix
    toward_sun = np.clip((rays @ weather.to_sun.astype(np.float32)) / length, 0.0, 1.0)
    glow = 0.25 * toward_sun**6 + 0.5 * toward_sun**60 + 1.5 * toward_sun**1500
    if weather.cover > 0.02:
        sky = _with_clouds(sky, rays / length[..., None], weather)
    sky = sky + (glow * (0.35 + weather.sunlit))[..., None] * weather.sun
    if relief > 0.0:
        sky = _with_ridges(sky, rays, weather, relief)
    return np.asarray(sky, np.float32)


def _with_clouds(
    sky: NDArray[np.float32], directions: NDArray[np.float32], weather: Weather
) -> NDArray[np.float32]:
    rng = np.random.default_rng(weather.seed)
    texture = fractal(int(rng.integers(4)), 512, 1.75)
    shift = rng.uniform(0.0, 512.0, 2)
    stretch = rng.uniform(0.6, 1.5)
    dome = CLOUD_TEXELS * stretch / (np.clip(directions[..., 2], 0.0, 1.0) + 0.16)
    x = directions[..., 0] * dome * 0.5 + np.float32(shift[0])
    y = directions[..., 1] * dome * 0.5 + np.float32(shift[1])
    thick = look_up(texture, x, y)
    sunward = weather.to_sun[:2] / (np.linalg.norm(weather.to_sun[:2]) + 1e-6) * 9.0
    behind = look_up(texture, x + np.float32(sunward[0]), y + np.float32(sunward[1]))
    edge = 0.86 - 0.72 * weather.cover
    density = smoothstep(edge - 0.05, edge + (0.16 if weather.cover < 0.7 else 0.3), thick)
    density *= smoothstep(-0.01, 0.12, directions[..., 2]) * 0.95
    bright = weather.ambient.mean() * 1.05 + weather.sun * 0.9
    dark = 0.62 * weather.horizon + 0.2 * weather.zenith
    light = np.clip(0.55 + 2.2 * (thick - behind) + 0.5 * (0.75 - thick), 0.0, 1.0)[..., None]
    cloud = dark + (np.clip(bright, 0, 1) - dark) * light if weather.sunlit > 0.15 else (
        weather.horizon * (0.82 + 0.22 * light) - 0.1 * thick[..., None]
    )
    mixed: NDArray[np.float32] = sky + (cloud - sky) * density[..., None]
    return mixed


def _with_ridges(
    sky: NDArray[np.float32], rays: NDArray[np.float32], weather: Weather, relief: float
) -> NDArray[np.float32]:
    bearing = cv2.phase(rays[..., 1], rays[..., 0])
    run = cv2.magnitude(rays[..., 0], rays[..., 1])
    slope = rays[..., 2] / np.maximum(run, 1e-6)
    pixel = float(np.abs(np.diff(slope[:, slope.shape[1] // 2])).mean()) + 1e-6
    rng = np.random.default_rng(weather.seed + 1)
    texture = fractal(6, 512, 1.3)
    for k, distance in enumerate((0.85, 0.62)):
        row = np.full_like(bearing, rng.uniform(0, 512))
        profile = look_up(texture, bearing * np.float32(512 / (2 * np.pi) * (k + 1)), row)
        crest = relief * (1.0 - 0.45 * k) * profile * 1.2
        share = smoothstep(-pixel, pixel, crest - slope)[..., None]
        land = np.array([0.36, 0.42, 0.38], np.float32) * weather.ambient
        tone = land * (1.0 - distance) + weather.horizon * distance * 0.95
        sky = sky + (tone - sky) * share
    return sky
