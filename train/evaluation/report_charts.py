"""Charts of the report as inline SVG: training curves, accuracy over thresholds, reliability."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

INK, FAINT, GRID = "#1f2933", "#7b8794", "#e4e7eb"
COLORS = ("#0b69a3", "#c65d21", "#2d8653", "#8a4baf", "#a61b3c", "#5f6c7b")
STYLE = {
    "font.size": 9,
    "font.family": "sans-serif",
    "svg.fonttype": "none",  # letters stay text, in the page's font
    "svg.hashsalt": "dips-edge",
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GRID,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "legend.frameon": False,
}
_VAL_LABELS = {
    "val_boxes": "boxes: mean of IoU .3/.5/.7",
    "val_steady": "boxes over a stretch of thresholds",
    "val_agreement": "agreement with proposals",
    "val_class_acc": "class accuracy",
}
_NO_LOSS = ("epoch", "lr")


def training_chart(history: Sequence[Mapping[str, Any]], best_epoch: int | None) -> str:
    """Losses, and what val said after each epoch; the chosen epoch is marked."""
    epochs = [row["epoch"] for row in history]
    losses = [k for k in history[0] if k not in _NO_LOSS and not k.startswith("val_")]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.8, 3.5), layout="constrained")
        left, right = figure.subplots(1, 2)
        _lines(left, epochs, {k: [row.get(k) for row in history] for k in losses})
        left.set_title("Training losses, mean over the epoch")
        shown = {label: [row.get(k) for row in history] for k, label in _VAL_LABELS.items()}
        _lines(right, epochs, {k: v for k, v in shown.items() if any(x is not None for x in v)})
        right.set_title("Val after each epoch, %")
        right.set_ylim(0, 103)
        for axes in (left, right):
            axes.set_xlabel("epoch")
            axes.set_xticks(epochs if len(epochs) <= 12 else epochs[:: len(epochs) // 10])
            if best_epoch is not None:
                axes.axvline(best_epoch, color=FAINT, linestyle=":", linewidth=1.5)
        if best_epoch is not None:
            right.text(best_epoch, 1, " chosen", color=FAINT, va="bottom", fontsize=8)
        return svg_text(figure)


def threshold_chart(parts: Mapping[str, Mapping[str, Any]], tau: float, decision: float) -> str:
    """Accuracy at IoU .5 over the protocol's relative threshold, and over the absolute one on val.

    Args:
        parts: figures of a split by its name, each with "curve" and maybe "decision_curve".
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.8, 3.5), layout="constrained")
        left, right = figure.subplots(1, 2)
        for (name, figures), color in zip(parts.items(), COLORS, strict=False):
            curve = figures["curve"]
            left.plot(np.arange(len(curve)) / len(curve), curve, color=color, label=name, linewidth=1.8)
            absolute = figures.get("decision_curve", [])
            if len(absolute) > 1:
                at, percent = zip(*absolute, strict=True)
                right.plot(at, percent, color=color, label=name, linewidth=1.8, marker="o", markersize=2.5)
        left.set_title("Box accuracy over the relative threshold, %")
        left.set_xlabel("threshold / maximum of the map")
        right.set_title("Box accuracy over the absolute threshold, %")
        right.set_xlabel("threshold on the map")
        for axes, chosen in ((left, tau), (right, decision)):
            axes.axvline(
                chosen, color=INK, linestyle=":", linewidth=1.5, label=f"chosen on val: {chosen:.3f}"
            )
            axes.set_xlim(0, 1)
            axes.set_ylim(0, 103)
            _legend(axes)
        return svg_text(figure)


def reliability_chart(splits: Mapping[str, Mapping[str, Sequence[tuple[float, float, int]]]]) -> str:
    """Share of photos with the asset over the probability said, one panel per split; right is the diagonal.

    Args:
        splits: by name of the split and of what was said, (said, happened, photos) per bin.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.9 * len(splits), 3.9), layout="constrained")
        panels = figure.subplots(1, len(splits), squeeze=False)[0]
        for axes, (split, curves) in zip(panels, splits.items(), strict=True):
            axes.plot([0, 1], [0, 1], color=FAINT, linestyle=":", linewidth=1.5, label="exactly right")
            for (name, curve), color in zip(curves.items(), COLORS, strict=False):
                said, happened, _ = zip(*curve, strict=True)
                axes.plot(said, happened, color=color, label=name, linewidth=1.8, marker="o", markersize=3.5)
            axes.set_title(f"Share with the asset: {split}")
            axes.set_xlabel("probability said, mean of the bin")
            axes.set_xlim(-0.02, 1.02)
            axes.set_ylim(-0.03, 1.03)
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2, columnspacing=1.2)
        return svg_text(figure)


def _lines(axes: Axes, x: Sequence[float], rows: Mapping[str, Sequence[float | None]]) -> None:
    for (name, values), color in zip(rows.items(), COLORS * 4, strict=False):
        y = [np.nan if v is None else v for v in values]
        axes.plot(x, y, color=color, label=name, linewidth=1.8, marker="o", markersize=3)
    if rows:
        _legend(axes)


def _legend(axes: Axes) -> None:
    """Below the axes, where it hides no curve."""
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3, columnspacing=1.2, handlelength=1.4)


def svg_text(figure: Figure) -> str:
    """The figure as an <svg> element, the same text for the same figure."""
    buffer = io.StringIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
