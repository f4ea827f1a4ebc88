"""The ground plane in perspective: every pixel that looks down finds its place on the maps of the land.

rays ──▶ (x, y) on the plane ──▶ map of fitting coarseness, grain, crop rows, light, haze ──▶ colours
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from train.synth.groundmap import NO_ROWS, ROW_LEVELS, GroundMap
from train.synth.noise import fractal, look_up, smoothstep
from train.synth.sky import FAR_LAND_M

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from train.synth.camera import Camera
    from train.synth.land import Land
    from train.synth.weather import Weather

# metres per texel, slope of the noise, strength, shift of hue
GRAIN = ((14.0, 1.4, 0.5, 0.35), (1.7, 1.2, 0.34, 0.2), (0.3, 0.7, 0.5, 0.05), (0.04, 0.7, 0.6, 0.0))


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
    rough = 1.0 - 0.65 * np.clip(
        rows * np.float32(1 / 15.0) - np.float32(7.0), 0.0, 1.0
    )  # pavement is smooth
    colour = sample[..., :3] * (1.0 + rough[..., None] * _grain(x, y, footprint, land.seed))
    if land.style.rows:
        colour *= _crop_rows(land, rows, x, y, along)[..., None]
    shade = sample[..., 3:] * np.float32(1 / 255.0)
    sun = weather.sun * np.float32(max(0.0, float(weather.to_sun[2])))
    # what keeps the sun off also hides part of the sky
    colour *= (weather.ambient * (1.0 - 0.35 * shade) + sun * (1.0 - shade)) * np.float32(1 / 255.0)
    colour += (weather.horizon * np.float32(0.97) - colour) * weather.haze(
        np.minimum(distance, np.float32(FAR_LAND_M))
    )[..., None]
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
    for k, strength in enumerate(
        (np.where(rows < 100.0, np.maximum(rows, 0.0), np.float32(0.0)), np.maximum(-rows, 0.0))
    ):
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
        wave = look_up(
            fractal(5, 512, texture), x / np.float32(texel_m) + shift, y / np.float32(texel_m) - shift
        )
        wave = (wave - 0.5) * weight
        change += wave[..., None] * np.array([amount * (1 - hue), amount, amount * (1 + hue)], np.float32)
    return change
