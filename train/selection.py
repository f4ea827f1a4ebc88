"""What chooses the best epoch: boxes of val, or without any box what image labels say, or nothing.

Boxes are judged over a stretch of thresholds: a map that is right at one of them alone is worth little in
flight. "protocol" takes the bare maximum, as the evaluation protocol does (Choe et al., CVPR 2020). Agreement
with proposals is no default: of twelve runs that polish it chose epochs up to 15 points below the best, the
last was at most 3 below.

Dataset + `--select` ──▶ Choice: a score of each look at val. History ──▶ a warning where nothing was found.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from train.config import TrainConfig
    from train.data.types import Dataset
    from train.validate import Glance

FEWEST = 10  # val photos with and without an object from which on telling them apart says something
LOST = 0.9  # AUC; runs that ended below found at best 84 points of boxes, most above it 86 to 98
SLACK = 0.001  # of AUC: one pair in a thousand; between epochs so alike, the later has learned more
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """How epochs are compared. `words`: what `score` looks at, as metrics.json and the report say it.
    `score(glance)`: higher is better; None where val says nothing. The latest epoch within `slack` of the
    highest score is taken."""

    words: str
    score: Callable[[Glance], float | None]
    slack: float = 0.0


BY_BOXES = Choice("val boxes", lambda seen: seen.steady)
BY_PROTOCOL = Choice("val boxes at their best threshold", lambda seen: seen.boxes)
BY_SEPARATION = Choice("separation of val photos", lambda seen: seen.separation, SLACK)
BY_PROPOSALS = Choice("proposal agreement", lambda seen: seen.agreement)
LAST = Choice("none (last epoch)", lambda _: None)
CHOICES = {
    "boxes": BY_BOXES,
    "protocol": BY_PROTOCOL,
    "separation": BY_SEPARATION,
    "proposals": BY_PROPOSALS,
    "last": LAST,
}


def choice_for(config: TrainConfig, dataset: Dataset) -> Choice:
    """The choice that `config.select` names; "auto": the best that val of `dataset` allows."""
    if config.select != "auto":
        return CHOICES[config.select]
    if dataset.has_boxes("val"):
        return BY_PROTOCOL if config.preset == "paper" else BY_BOXES
    return BY_SEPARATION if can_separate(dataset) else LAST


def can_separate(dataset: Dataset) -> bool:
    """Whether val has photos enough with and without an object."""
    negative = [image.label == dataset.negative for image in dataset.splits["val"]]
    return min(sum(negative), len(negative) - sum(negative)) >= FEWEST


def warn_if_lost(best: Mapping[str, Any], dataset: Dataset) -> None:
    """Say so when the map of the chosen epoch does not even tell which photos have an object.

    Args:
        best: that epoch in the history of the run.
    """
    told = best.get("val_separation")
    if told is not None and told < LOST and dataset.negative is not None and can_separate(dataset):
        _log.warning(
            "the map tells val photos with an object from those without in only %.0f %% of pairs "
            "(50: chance; expected above %.0f): the boxes will be poor. More photos of %s that look like the "
            "others, more --epochs or another --seed may help",
            100 * told,
            100 * LOST,
            dataset.classes[dataset.negative],
        )
