"""What one tower is like: kind, size, taper, paint.

seed ──random_plan──▶ MastPlan ──train.synth.mast──▶ Mesh
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from train.synth.weather import bgr

if TYPE_CHECKING:
    from train.synth.mesh import Vector

STEEL = ((158, 162, 164), (140, 144, 146), (172, 174, 172), (126, 128, 126))
RED, WHITE = (176, 52, 40), (224, 224, 220)


@dataclass(frozen=True)
class MastPlan:
    """Shape of one tower: metres, radians. `waist` is the share of the height where the taper ends."""

    kind: str
    height_m: float
    base_m: float  # distance of the legs from the axis at the ground; radius of a monopole
    top_m: float
    waist: float
    turn_rad: float
    banded: bool
    steel: tuple[int, int, int]

    @property
    def legs(self) -> int:
        return 3 if self.kind == "three legs" else 4

    def reach_m(self, z: float) -> float:
        """Distance of the legs from the axis at height `z`."""
        t = min(1.0, z / (self.waist * self.height_m))
        return self.base_m + (self.top_m - self.base_m) * t

    def paint(self, z: float) -> Vector:
        """Colour at height `z`: bare steel, or seven red and white bands."""
        if not self.banded:
            return bgr(self.steel).astype(np.float64)
        band = int(np.clip(z / self.height_m * 7.0, 0, 6))
        return bgr(RED if band % 2 == 0 else WHITE).astype(np.float64)

    def corner(self, leg: int, z: float) -> Vector:
        """Where leg number `leg` is at height `z`."""
        angle = self.turn_rad + 2.0 * math.pi * leg / self.legs
        reach = self.reach_m(z)
        return np.array([reach * math.cos(angle), reach * math.sin(angle), z])


def random_plan(rng: np.random.Generator) -> MastPlan:
    """Two thirds lattice masts, one third monopoles; 24 to 75 m."""
    kind = ("four legs", "three legs", "monopole")[int(rng.choice(3, p=(0.5, 0.22, 0.28)))]
    turn = float(rng.uniform(0.0, 2.0 * math.pi))
    steel = STEEL[int(rng.integers(len(STEEL)))]
    banded = bool(rng.random() < (0.12 if kind == "monopole" else 0.3))
    if kind == "monopole":
        height = float(rng.uniform(22.0, 45.0))
        base = height * float(rng.uniform(0.014, 0.02))
        return MastPlan(kind, height, base, base * float(rng.uniform(0.35, 0.5)), 1.0, turn, banded, steel)
    height = float(rng.uniform(28.0, 75.0))
    base = height * float(rng.uniform(0.055, 0.095)) * (0.8 if kind == "three legs" else 1.0)
    top = float(rng.uniform(0.55, 1.1))
    return MastPlan(kind, height, base, top, float(rng.uniform(0.62, 0.95)), turn, banded, steel)
