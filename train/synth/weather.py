"""One weather per scene: where the sun stands, the colours of light and sky, how far one sees."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Rgb = tuple[int, int, int]


def bgr(rgb: Rgb) -> NDArray[np.float32]:
    """8-bit RGB as written in colour tables to (3,) float32 BGR in [0, 1]."""
    return np.array(rgb[::-1], np.float32) / 255.0


@dataclass(frozen=True)
class Preset:
    """A kind of sky. Sun height in degrees, strengths relative to a white wall, sight in metres."""

    share: float
    zenith: Rgb
    horizon: Rgb
    sun: float
    sun_colour: Rgb
    sun_height_deg: tuple[float, float]
    ambient: float
    cover: tuple[float, float]
    sight_m: tuple[float, float]


PRESETS = {
    "clear": Preset(
        0.22, (58, 106, 172), (186, 208, 226), 0.62, (255, 248, 232), (25, 65), 0.46, (0.0, 0.15), (5e3, 12e3)
    ),
    "cumulus": Preset(
        0.26, (72, 118, 180), (196, 212, 226), 0.56, (255, 248, 234), (22, 62), 0.5, (0.3, 0.6), (4e3, 10e3)
    ),
    "overcast": Preset(
        0.2, (164, 172, 182), (208, 212, 215), 0.06, (255, 255, 255), (30, 60), 0.82, (0.8, 1.0), (2e3, 6e3)
    ),
    "haze": Preset(
        0.12, (142, 168, 194), (218, 219, 216), 0.3, (255, 246, 228), (15, 50), 0.66, (0.0, 0.4), (6e2, 18e2)
    ),
    "golden": Preset(
        0.1, (92, 120, 166), (246, 205, 158), 0.6, (255, 206, 146), (5, 15), 0.42, (0.1, 0.5), (2e3, 7e3)
    ),
    "storm": Preset(
        0.1, (92, 101, 114), (156, 164, 170), 0.1, (250, 246, 240), (20, 50), 0.62, (0.7, 1.0), (2e3, 5e3)
    ),
}


@dataclass(frozen=True)
class Weather:
    """Light of one scene. Colours are (3,) float32 BGR in [0, 1], `to_sun` is a unit vector in world axes."""

    kind: str
    to_sun: NDArray[np.float64]
    sun: NDArray[np.float32]
    ambient: NDArray[np.float32]
    zenith: NDArray[np.float32]
    horizon: NDArray[np.float32]
    cover: float
    sight_m: float
    seed: int

    @property
    def sunlit(self) -> float:
        """0 under a closed sky, 1 in full sun: how hard shadows are."""
        return float(np.clip((self.sun.mean() - 0.08) / 0.4, 0.0, 1.0))

    def lit(self, normals: NDArray[np.float64]) -> NDArray[np.float64]:
        """Light (..., 3) on surfaces with unit `normals` (..., 3): sky and sun, without shadows."""
        sky = 0.68 + 0.32 * normals[..., 2:]
        direct = np.maximum(normals @ self.to_sun, 0.0)[..., None]
        light: NDArray[np.float64] = sky * self.ambient + direct * self.sun
        return light

    def haze(self, distance_m: NDArray[np.float32] | float) -> NDArray[np.float32]:
        """Share of the horizon colour in what is seen from `distance_m`, in [0, 1)."""
        return np.asarray(1.0 - np.exp(-np.asarray(distance_m, np.float32) / self.sight_m), np.float32)

    def through_air(
        self, colour: NDArray[np.float64], distance_m: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Colours (n, 3) as they look from distances (n,)."""
        share = self.haze(distance_m.astype(np.float32))[..., None]
        seen: NDArray[np.float64] = colour * (1.0 - share) + self.horizon * share
        return seen


def random_weather(rng: np.random.Generator) -> Weather:
    """Draw a preset by its share and vary it."""
    names = list(PRESETS)
    shares = np.array([PRESETS[name].share for name in names])
    kind = names[int(rng.choice(len(names), p=shares / shares.sum()))]
    preset = PRESETS[kind]
    height = math.radians(rng.uniform(*preset.sun_height_deg))
    azimuth = rng.uniform(0.0, 2.0 * math.pi)
    exposure = rng.uniform(0.86, 1.12)
    tint = 1.0 + rng.normal(0.0, 0.01, 3).astype(np.float32)
    sky_tint = (0.88 + 0.12 * bgr(preset.zenith) / bgr(preset.zenith).mean()).astype(np.float32)
    return Weather(
        kind=kind,
        to_sun=np.array(
            [math.sin(azimuth) * math.cos(height), math.cos(azimuth) * math.cos(height), math.sin(height)]
        ),
        sun=preset.sun * exposure * bgr(preset.sun_colour) * tint,
        ambient=preset.ambient * exposure * sky_tint * tint,
        zenith=np.clip(bgr(preset.zenith) * exposure * tint * rng.uniform(0.9, 1.1), 0, 1),
        horizon=np.clip(bgr(preset.horizon) * exposure * tint * rng.uniform(0.95, 1.04), 0, 1),
        cover=rng.uniform(*preset.cover),
        sight_m=float(np.exp(rng.uniform(*np.log(preset.sight_m)))),
        seed=int(rng.integers(1 << 30)),
    )
