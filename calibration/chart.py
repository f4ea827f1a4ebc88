"""Horizontal bar chart as an SVG file, written without any plotting package.

labels + values ──bar_chart──▶ SVG text (opens in any browser, scales without loss)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

ROW_PX, BAR_PX, FONT_PX, CHAR_PX = 20, 13, 12, 7.0  # CHAR_PX: width of a monospaced character
LEFT_PX, WIDTH_PX, VALUE_PX, HEAD_PX, FOOT_PX = 12, 460, 90, 64, 34
COLOURS = {True: "#c2410c", False: "#64748b"}  # marked, plain
INK, FAINT, PAPER = "#0f172a", "#e2e8f0", "#ffffff"


@dataclass(frozen=True)
class Bar:
    """One row: `value` >= 0, `note` stands behind its number, `marked` ones are drawn in another colour."""

    label: str
    value: float
    note: str = ""
    marked: bool = False


def bar_chart(title: str, subtitle: str, axis: str, bars: Sequence[Bar], most: int = 60) -> str:
    """SVG text with one row per bar, in the order given.

    Args:
        axis: what the values are, with their unit.
        most: rows drawn; how many more there are is said below them.
    """
    shown = bars[:most]
    labels = max((len(bar.label) for bar in shown), default=0) * CHAR_PX + LEFT_PX + 8
    top = _nice(max((bar.value for bar in shown), default=0.0))
    height = HEAD_PX + ROW_PX * len(shown) + FOOT_PX
    notes = max((len(bar.note) for bar in shown), default=0) * CHAR_PX
    width = max(labels + WIDTH_PX + VALUE_PX + notes, (max(len(title), len(subtitle)) + 4) * CHAR_PX)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" '
        f'viewBox="0 0 {width:.0f} {height}" font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" '
        f'font-size="{FONT_PX}" fill="{INK}">',
        f'<rect width="100%" height="100%" fill="{PAPER}"/>',
        _text(LEFT_PX, 20, title, weight="bold"),
        _text(LEFT_PX, 38, subtitle),
        *_grid(labels, top, HEAD_PX - 6, height - FOOT_PX),
        *(line for row, bar in enumerate(shown) for line in _row(bar, row, labels, top)),
        _text(labels, height - 12, axis + (f"; {len(bars) - most} more" if len(bars) > most else "")),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _row(bar: Bar, row: int, left: float, top: float) -> list[str]:
    y = HEAD_PX + ROW_PX * row
    length = WIDTH_PX * bar.value / top
    said = f"{bar.value:.3g}" + (f" · {bar.note}" if bar.note else "")
    return [
        _text(left - 8, y + BAR_PX - 2, bar.label, anchor="end"),
        f'<rect x="{left:.1f}" y="{y}" width="{max(length, 0.5):.1f}" height="{BAR_PX}" '
        f'fill="{COLOURS[bar.marked]}"/>',
        _text(left + length + 6, y + BAR_PX - 2, said),
    ]


def _grid(left: float, top: float, y0: float, y1: float) -> list[str]:
    lines = []
    for k in range(5):
        x = left + WIDTH_PX * k / 4
        lines.append(f'<line x1="{x:.1f}" y1="{y0}" x2="{x:.1f}" y2="{y1}" stroke="{FAINT}"/>')
        lines.append(_text(x, y0 - 3, f"{top * k / 4:.3g}", anchor="middle"))
    return lines


def _text(x: float, y: float, text: str, anchor: str = "start", weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>'
    )


def _nice(largest: float) -> float:
    """The smallest of 1, 2, 4, 6, 8, 10 times a power of ten that is not below `largest`; 1 for 0."""
    if largest <= 0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(largest))
    return next(step * unit for step in (1, 2, 4, 6, 8, 10, 20) if step * unit >= largest)
