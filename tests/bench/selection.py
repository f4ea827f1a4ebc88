"""Does choosing the epoch without a box cost anything: `python -m tests.bench.selection RUN RUN RUN`.

Reads RUN/metrics.json. Boxes of val say how good each epoch is (`val_boxes`: mean over IoU .3/.5/.7 at the
best threshold). Per run: the epoch with the best boxes, and for each way to do without boxes the epoch it
would have taken and how many points that one lies below the best.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

import numpy as np

from train.selection import TIE

WAYS = ("separation", "agreement")  # `--select separation` and `--select proposals`


def chosen(history: Sequence[dict[str, float | None]]) -> dict[str, tuple[int, float]]:
    """Epoch (from 1) and points below the best, by "boxes", each of `WAYS` that the run knows, and "last".

    Raises:
        ValueError: val of the run had no boxes.
    """
    boxes = _column(history, "boxes")
    if boxes is None:
        raise ValueError("val had no boxes")
    columns = {way: _column(history, way) for way in ("boxes", *WAYS)}
    if columns["separation"] is not None and columns["agreement"] is not None:
        columns["separation"] = columns["separation"] + TIE * columns["agreement"]
    taken = {way: _latest_best(values) for way, values in columns.items() if values is not None}
    taken["last"] = len(boxes) - 1
    return {way: (epoch + 1, float(boxes.max() - boxes[epoch])) for way, epoch in taken.items()}


def _column(history: Sequence[dict[str, float | None]], name: str) -> NDArray[np.float64] | None:
    values = [v for v in (epoch[f"val_{name}"] for epoch in history) if v is not None]
    return np.array(values) if values and len(values) == len(history) else None


def _latest_best(values: NDArray[np.float64]) -> int:
    return len(values) - 1 - int(values[::-1].argmax())


def main(run_dirs: list[str]) -> None:
    """Print one row per run."""
    if not run_dirs:
        sys.exit("usage: python -m tests.bench.selection RUN [RUN ...]")
    print("| run | epoch by boxes | by separation, below | by proposals, below | last, below |")
    print("|---|---|---|---|---|")
    for run in run_dirs:
        history = json.loads((Path(run) / "metrics.json").read_text(encoding="utf-8"))["history"]
        try:
            found = chosen(history)
        except ValueError as error:
            sys.exit(f"{run}: {error}")
        cells = ["{} {:.1f}".format(*found[way]) if way in found else "-" for way in (*WAYS, "last")]
        print(f"| {Path(run).name} | {found['boxes'][0]} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main(sys.argv[1:])
