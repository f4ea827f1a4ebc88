"""Does choosing the epoch without a box cost anything: `python -m tests.bench.selection RUN RUN RUN`.

Reads RUN/metrics.json. Boxes of val say how good each epoch is (`val_steady`: mean over IoU .3/.5/.7 over a
stretch of thresholds). Per run: the epoch with the best boxes, and for each way to do without boxes the epoch
it would have taken and how many points that one lies below the best; likewise the protocol's choice.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from train.selection import CHOICES
from train.validate import Glance

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WAYS = ("protocol", "separation", "proposals", "last")


def chosen(history: Sequence[Mapping[str, Any]]) -> dict[str, tuple[int, float]]:
    """Epoch (from 1) and points of boxes below the best, by each `--select` that the run allows, and "last".

    Raises:
        ValueError: val of the run had no boxes.
    """
    looks = [Glance(**{k[4:]: v for k, v in epoch.items() if k.startswith("val_")}) for epoch in history]
    taken = {"last": len(looks) - 1}
    for name, choice in CHOICES.items():
        scores = [score for score in map(choice.score, looks) if score is not None]
        if scores and len(scores) == len(looks):
            taken[name] = max(e for e, score in enumerate(scores) if score >= max(scores) - choice.slack)
    if "boxes" not in taken:
        raise ValueError("val had no boxes")
    boxes = [look.steady or 0.0 for look in looks]
    return {name: (e + 1, boxes[taken["boxes"]] - boxes[e]) for name, e in taken.items()}


def main(run_dirs: list[str]) -> None:
    """Print one row per run."""
    if not run_dirs:
        sys.exit("usage: python -m tests.bench.selection RUN [RUN ...]")
    print(f"| run | epoch by boxes | {' | '.join(f'by {way}, below' for way in WAYS)} |")
    print("|---|---|---|---|---|---|")
    for run in run_dirs:
        history = json.loads((Path(run) / "metrics.json").read_text(encoding="utf-8"))["history"]
        try:
            found = chosen(history)
        except ValueError as error:
            sys.exit(f"{run}: {error}")
        cells = ["{} {:.1f}".format(*found[way]) if way in found else "-" for way in WAYS]
        print(f"| {Path(run).name} | {found['boxes'][0]} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main(sys.argv[1:])
