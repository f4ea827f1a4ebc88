"""Accuracy over the threshold, one line per method: the paper's Figure 5 on the user's own photos."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from train.evaluation.report_charts import COLORS, STYLE, svg_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from train.compare.results import Row

DASHES = ("-", "--", ":")  # every color once with each


def threshold_curves(rows: Sequence[Row], split: str) -> str:
    """Box accuracy at IoU .5 over the relative threshold as inline SVG; "" where no method has boxes.

    Best checkpoints; the mean over seeds, their range shaded. A wide plateau needs no lucky threshold.
    """
    curves = {}
    for row in rows:
        found = [run["best"].get(split, {}).get("curve") for run in row.runs.values()]
        known = [curve for curve in found if curve is not None]
        if known:
            curves[row.method] = np.array(known)  # (seeds, thresholds)
    if not curves:
        return ""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.2, 4.2), layout="constrained")
        axes = figure.subplots()
        for number, (method, curve) in enumerate(curves.items()):
            color, dash = COLORS[number % len(COLORS)], DASHES[number // len(COLORS) % len(DASHES)]
            taus = np.arange(curve.shape[1]) / curve.shape[1]
            axes.plot(taus, curve.mean(0), color=color, linestyle=dash, label=method, linewidth=1.8)
            if len(curve) > 1:
                axes.fill_between(taus, curve.min(0), curve.max(0), color=color, alpha=0.12, linewidth=0)
        axes.set_title(f"Box accuracy at IoU .5 over the threshold, {split}, %")
        axes.set_xlabel("threshold / maximum of the map")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 103)
        figure.legend(loc="outside right upper")
        return svg_text(figure)
