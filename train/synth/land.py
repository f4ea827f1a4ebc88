"""What lies on the ground plane of a scene, as a map: fields with crop rows, tracks and roads.

seed ──▶ Land (parcels and roads as rectangles in a turned frame) ──ground.py──▶ pixels
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from train.synth.weather import Rgb, bgr

if TYPE_CHECKING:
    from numpy.typing import NDArray

REACH_M = 4000.0  # the map ends here; haze and ridges take over
CLEAR_M = 16.0  # no road nearer to the mast than this


@dataclass(frozen=True)
class Style:
    """Colours and habits of a countryside; `rows` is the chance of crop rows, sizes in metres."""

    share: float
    colours: tuple[Rgb, ...]
    field_m: tuple[float, float]
    rows: float
    road: float
    houses: int
    trees: int
    woods: int


GREENS: tuple[Rgb, ...] = ((100, 114, 70), (112, 126, 76), (92, 104, 64), (126, 136, 88), (108, 116, 78))
STYLES = {
    "farmland": Style(
        0.3,
        (*GREENS, (160, 146, 88), (186, 168, 112), (122, 98, 70), (142, 116, 86), (128, 140, 70)),
        (60.0, 180.0), 0.8, 0.4, 8, 110, 2,
    ),
    "meadow": Style(0.2, GREENS, (90.0, 260.0), 0.15, 0.35, 7, 170, 4),
    "suburb": Style(
        0.2, (*GREENS, (128, 126, 112), (112, 118, 84), (138, 130, 108)), (40.0, 90.0), 0.05, 0.7, 60, 190, 1
    ),
    "industry": Style(
        0.12, ((128, 126, 122), (106, 106, 106), (142, 136, 124), (104, 116, 72), (150, 146, 138)),
        (50.0, 120.0), 0.0, 0.6, 32, 60, 1,
    ),
    "dry": Style(
        0.1, ((164, 142, 108), (148, 128, 98), (176, 156, 122), (132, 122, 90), (156, 138, 112)),
        (90.0, 260.0), 0.2, 0.3, 6, 80, 1,
    ),
    "forest": Style(0.08, ((70, 84, 46), (84, 98, 56), (96, 104, 64)), (90.0, 220.0), 0.05, 0.25, 3, 160, 10),
}  # fmt: skip


@dataclass(frozen=True)
class Parcel:
    """One field: corners (4, 2), BGR colour, strength and axis (0 or 1) of its rows, width of its edge."""

    corners_m: NDArray[np.float64]
    colour: NDArray[np.float32]
    rows: float
    along: int
    margin_m: float = 0.0


@dataclass(frozen=True)
class Road:
    """A straight piece of road: ends (2, 2) in metres, BGR colour; `marked` has a painted centre line."""

    ends_m: NDArray[np.float64]
    width_m: float
    colour: NDArray[np.float32]
    marked: bool

    @property
    def length_m(self) -> float:
        return float(np.linalg.norm(self.ends_m[1] - self.ends_m[0]))

    @property
    def along(self) -> NDArray[np.float64]:
        """Unit vector (2,) from the first end to the second."""
        direction: NDArray[np.float64] = (self.ends_m[1] - self.ends_m[0]) / max(1e-6, self.length_m)
        return direction


@dataclass(frozen=True)
class Land:
    """A whole countryside around the origin; `axes` (2, 2) rows are the directions of its field borders."""

    kind: str
    style: Style
    axes: NDArray[np.float64]
    parcels: tuple[Parcel, ...]
    roads: tuple[Road, ...]
    verge: NDArray[np.float32]
    row_period_m: float
    seed: int

    @property
    def turn_rad(self) -> float:
        """Direction of the first axis, from east."""
        return math.atan2(self.axes[0, 1], self.axes[0, 0])


def random_land(rng: np.random.Generator, *, pad: bool) -> Land:
    """Cut the plane into ever smaller rectangles, some cuts become roads; `pad` puts gravel at the origin."""
    names = list(STYLES)
    shares = np.array([STYLES[name].share for name in names])
    kind = names[int(rng.choice(len(names), p=shares / shares.sum()))]
    style = STYLES[kind]
    angle = rng.uniform(0.0, math.pi)
    axes = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    parcels: list[Parcel] = []
    roads: list[Road] = []
    dry = rng.uniform(0.97, 1.03, 3).astype(np.float32)
    todo = [((-REACH_M, -REACH_M, REACH_M, REACH_M), 0)]
    while todo:
        rect, depth = todo.pop()
        x0, y0, x1, y1 = rect
        near = max(0.0, max(x0, -x1, y0, -y1))
        target = float(rng.uniform(*style.field_m)) * (1.0 + near / 350.0)
        across = int((y1 - y0) > (x1 - x0) * rng.uniform(0.8, 1.25))
        side = (x1 - x0, y1 - y0)[across]
        if side < 1.7 * target:
            parcels.append(_parcel(rect, axes, style, dry, rng))
            continue
        low, high = (x0, y0)[across], (x1, y1)[across]
        cut = low + (high - low) * rng.uniform(0.35, 0.65)
        if abs(cut) < CLEAR_M:
            cut = math.copysign(CLEAR_M + rng.uniform(0.0, 25.0), cut)
        ends = (x0, cut, x1, cut) if across else (cut, y0, cut, y1)
        if depth < 14 and rng.random() < style.road * (1.0 if depth < 7 else 0.5) and near < 2500.0:
            roads.append(_road(np.reshape(ends, (2, 2)) @ axes, depth, kind, rng))
        halves = ((x0, y0, x1, cut), (x0, cut, x1, y1)) if across else ((x0, y0, cut, y1), (cut, y0, x1, y1))
        todo += [(half, depth + 1) for half in halves]
    if pad:
        half = float(rng.uniform(6.0, 9.0))
        gravel = bgr((166, 158, 146)) * np.float32(rng.uniform(0.75, 1.1))
        square = np.array([[-half, -half], [half, -half], [half, half], [-half, half]]) @ axes
        parcels.append(Parcel(square, gravel, 0.0, 0))
        way = (
            np.array([[half * 0.9, 0.0], [float(rng.uniform(40.0, 160.0)), 0.0]])
            @ axes
            * rng.choice((-1.0, 1.0))
        )
        roads.append(Road(way, 3.0, gravel, False))
    verge = bgr(GREENS[int(rng.integers(len(GREENS)))]) * dry * np.float32(0.92)
    return Land(
        kind,
        style,
        axes,
        tuple(parcels),
        tuple(roads),
        verge,
        float(rng.uniform(1.2, 3.5)),
        int(rng.integers(1 << 30)),
    )


def _parcel(
    rect: tuple[float, float, float, float],
    axes: NDArray[np.float64],
    style: Style,
    dry: NDArray[np.float32],
    rng: np.random.Generator,
) -> Parcel:
    x0, y0, x1, y1 = rect
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]) @ axes
    colour = bgr(style.colours[int(rng.integers(len(style.colours)))]) * dry * rng.uniform(0.88, 1.12)
    rows = float(rng.uniform(0.05, 0.22)) if rng.random() < style.rows else 0.0
    margin = float(rng.uniform(0.8, 2.5)) if rng.random() < 0.6 else 0.0
    return Parcel(corners, colour.astype(np.float32), rows, int(rng.integers(2)), margin)


def _road(ends: NDArray[np.float64], depth: int, kind: str, rng: np.random.Generator) -> Road:
    paved = depth < 9 or kind in ("suburb", "industry")
    if paved:
        grey = rng.uniform(0.34, 0.52)
        return Road(ends, float(rng.uniform(5.5, 9.0)), np.full(3, grey, np.float32), True)
    return Road(
        ends, float(rng.uniform(2.5, 4.0)), bgr((172, 156, 126)) * np.float32(rng.uniform(0.8, 1.1)), False
    )
