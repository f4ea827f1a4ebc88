"""Why boxes are missed: what the map of a run shows where an annotated box is not found.

python -m tests.bench.missed_boxes RUN DATA --split val --checkpoint best
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from edge_runtime.boxes import find_candidates
from train.data.dataset import load_dataset
from train.evaluation.split_scores import box_ious, true_boxes
from train.evaluation.subject import open_subject

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOUND, DARK, MERGED, PART, MORE, ELSE = (
    "found (IoU >= .5)",
    "the map is below the threshold there (less than 20 % of the box is covered)",
    "one region covers several boxes",
    "the region is a part of the box",
    "the region reaches beyond the box",
    "none of these",
)


def reasons(boxes: NDArray[np.float64], truth: NDArray[np.float64]) -> list[str]:
    """Per annotated box (m, 4) what the regions' boxes (n, 4) make of it; fractions of the photo."""
    if not len(boxes):
        return [DARK] * len(truth)
    sides = np.minimum(boxes[:, None, 2:], truth[None, :, 2:]) - np.maximum(
        boxes[:, None, :2], truth[None, :, :2]
    )
    shared = np.clip(sides, 0, None).prod(-1)
    of_truth = shared / (truth[:, 2:] - truth[:, :2]).prod(-1)
    of_box = shared / (boxes[:, 2:] - boxes[:, :2]).prod(-1)[:, None]
    found = box_ious(boxes, truth).max(0) >= 0.5

    def reason(k: int) -> str:
        j = int(shared[:, k].argmax())
        if found[k]:
            return FOUND
        if of_truth[j, k] < 0.2:
            return DARK
        if (of_truth[j] > 0.5).sum() > 1:
            return MERGED
        if of_box[j, k] > 0.7:
            return PART
        return MORE if of_truth[j, k] > 0.7 else ELSE

    return [reason(k) for k in range(len(truth))]


@click.command(help=__doc__)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--split", default="val")
@click.option("--checkpoint", type=click.Choice(["best", "last"]), default="best")
def main(run: Path, data: Path, split: str, checkpoint: str) -> None:
    """Count the reasons at the threshold the network flies with."""
    subject, dataset = open_subject(run, checkpoint), load_dataset(data)
    images = [image for image in subject.relabel(dataset, split) if image.label != subject.negative]
    seen: Counter[str] = Counter()
    for image, score_map, _ in subject.predict(images, 1):
        boxes = [c.box_xyxy for c in find_candidates(score_map, subject.thresholds.decision)]
        seen.update(reasons(np.array(boxes).reshape(-1, 4), true_boxes(image)))
    for reason in (FOUND, DARK, MERGED, PART, MORE, ELSE):
        print(f"{seen[reason]:5d}  {reason}")


if __name__ == "__main__":
    main()
