"""A plot as HTML: the curves in an SVG that stretches with the page, the labels as text that does not.

So the letters of a chart are as large on a phone as on a desk, without any script.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from edge_runtime.profiling.words import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WIDTH, HEIGHT = 1000, 200  # units of the SVG; CSS says how large it is
MOST_TICKS = 5


def esc(text: object, most: int = 200) -> str:
    """A name from outside as text of HTML, also within quotes."""
    return escape(plain(text, most))


class Axis(NamedTuple):
    """A linear axis."""

    low: float
    high: float

    def share(self, value: float) -> float:
        """Place of a value, 0 at the low end to 1 at the high one; never beyond."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    def x(self, value: float) -> str:
        """In units of the SVG, from the left."""
        return f"{WIDTH * self.share(value):.1f}"

    def y(self, value: float) -> str:
        """In units of the SVG, from the top."""
        return f"{HEIGHT * (1 - self.share(value)):.1f}"


class Mark(NamedTuple):
    """A line across the plot with a label: upright at an `x`, or level at a `y`."""

    value: float
    label: str
    style: str
    upright: bool
    row: int = 0


def axis(values: Iterable[float], *, zero: bool) -> Axis:
    """An axis that shows all values, its upper end a little above them; from 0 if `zero`."""
    known = [value for value in values if math.isfinite(value)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    if zero:
        low = min(0.0, low)
    room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return Axis(low if zero else low - room, high + room)


def ticks(along: Axis) -> list[float]:
    """At most five round values on an axis."""
    rough = (along.high - along.low) / MOST_TICKS
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10, 20) if unit * factor >= rough)
    first = math.ceil(along.low / step - 1e-9)
    last = math.floor(along.high / step + 1e-9)
    return [round(step * k, 12) + 0.0 for k in range(first, last + 1)]


def curve(points: Sequence[tuple[float, float]], x: Axis, y: Axis, style: str) -> str:
    """A line through the points; a short dash where there is one only."""
    if len(points) == 1:
        at, value = points[0]
        step = (x.high - x.low) / 50
        points = [(at - step, value), (at + step, value)]
    path = " ".join(f"{x.x(at)},{y.y(value)}" for at, value in points)
    return f'<polyline class="{style}" points="{path}"/>'


def band(points: Sequence[tuple[float, float, float]], x: Axis, y: Axis, style: str) -> str:
    """The area between two lines: (x, lower, upper)."""
    there = [f"{x.x(at)},{y.y(upper)}" for at, _, upper in points]
    back = [f"{x.x(at)},{y.y(lower)}" for at, lower, _ in reversed(points)]
    return f'<polygon class="{style}" points="{" ".join(there + back)}"/>'


def box(x0: float, x1: float, top: float, height: float, style: str, title: str = "") -> str:
    """A rectangle in units of the SVG; `title` is shown under a mouse."""
    said = f"<title>{esc(title, 400)}</title>" if title else ""
    return (
        f'<rect class="{style}" x="{x0:.1f}" y="{top:.1f}" width="{max(x1 - x0, 1.5):.1f}" '
        f'height="{height:.1f}">{said}</rect>'
    )


def plot(
    label: str,
    body: Iterable[str],
    x: Axis,
    y: Axis,
    *,
    x_unit: str,
    y_unit: str,
    marks: Sequence[Mark] = (),
    legend: Sequence[tuple[str, str]] = (),
    note: str = "",
) -> str:
    """The plot with its grid, labels and legend.

    Args:
        label: what is shown, for those who cannot see it.
        body: elements of the SVG.
        legend: (class of the curve, name) pairs.
        note: below it.
    """
    grid = [f'<path class="grid" d="M0 {y.y(at)}H{WIDTH}"/>' for at in ticks(y)]
    lines, labels = [], []
    for mark in marks:
        lines.append(
            f'<path class="{mark.style}" d="M{x.x(mark.value)} 0V{HEIGHT}"/>'
            if mark.upright
            else f'<path class="{mark.style}" d="M0 {y.y(mark.value)}H{WIDTH}"/>'
        )
        labels.append(_mark_label(mark, x, y))
    labels += [f'<span class="y" style="top:{100 - 100 * y.share(at):.1f}%">{at:g}</span>' for at in ticks(y)]
    for at in ticks(x):
        share = x.share(at)
        kind = "x end" if share > 0.9 else "x"
        labels.append(f'<span class="{kind}" style="left:{100 * share:.1f}%">{at:g}</span>')
    keys = "".join(f'<span><i class="key {style}"></i>{esc(name, 60)}</span>' for style, name in legend)
    below = (f'<p class="legend">{keys}</p>' if keys else "") + (
        f'<p class="quiet">{note}</p>' if note else ""
    )
    return (
        f'<figure><div class="plot" role="img" aria-label="{esc(label)}">'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" aria-hidden="true">'
        f"{''.join(grid)}{''.join(body)}{''.join(lines)}</svg>{''.join(labels)}"
        f'<span class="unit-y">{escape(y_unit)}</span><span class="unit-x">{escape(x_unit)}</span></div>'
        f"{below}</figure>"
    )


def _mark_label(mark: Mark, x: Axis, y: Axis) -> str:
    if mark.upright:
        share = x.share(mark.value)
        side = " before" if share > 0.6 else ""
        place = f"left:{100 * share:.1f}%;top:{1.25 * mark.row:.2f}em"
        return f'<span class="mark{side} of-{mark.style}" style="{place}">{esc(mark.label)}</span>'
    share = y.share(mark.value)
    side = " below" if share > 0.85 else ""
    place = f"right:4px;top:{100 - 100 * share:.1f}%"
    return f'<span class="mark level{side} of-{mark.style}" style="{place}">{esc(mark.label)}</span>'
