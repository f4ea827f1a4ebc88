"""Does choosing the epoch without a box cost anything: `python -m tests.bench.selection RUN RUN RUN`.

Reads RUN/metrics.json. Boxes of val say how good each epoch is (`val_boxes`: mean over IoU .3/.5/.7 at the
best threshold); told are the epoch with the best boxes, the one that `--select proposals` would have taken,
and the last, with how many points the latter two lie below the best.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def chosen(history: list[dict[str, float | None]]) -> tuple[int, int, float, float]:
    """Epoch by boxes and by agreement (from 1), points lost by agreement and by the last.

    Raises:
        ValueError: val of the run had no boxes or no proposals.
    """
    boxes, agreement = ([epoch[f"val_{name}"] for epoch in history] for name in ("boxes", "agreement"))
    known, told = [v for v in boxes if v is not None], [v for v in agreement if v is not None]
    if not history or len(known) < len(history) or len(told) < len(history):
        raise ValueError("val had no boxes or no proposals")
    best, blind = known.index(max(known)), told.index(max(told))
    return best + 1, blind + 1, known[best] - known[blind], known[best] - known[-1]


def main(run_dirs: list[str]) -> None:
    """Print one row per run."""
    if not run_dirs:
        sys.exit("usage: python -m tests.bench.selection RUN [RUN ...]")
    print("| run | epoch by boxes | by proposals | points below | last | points below |")
    print("|---|---|---|---|---|---|")
    for run in run_dirs:
        history = json.loads((Path(run) / "metrics.json").read_text(encoding="utf-8"))["history"]
        try:
            best, blind, lost, lost_last = chosen(history)
        except ValueError as error:
            sys.exit(f"{run}: {error}")
        print(f"| {Path(run).name} | {best} | {blind} | {lost:.1f} | {len(history)} | {lost_last:.1f} |")


if __name__ == "__main__":
    main(sys.argv[1:])
