"""What chooses the epoch, and when a run says that it found nothing."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from train.config import TrainConfig, preset_config
from train.data.dataset import load_dataset
from train.selection import CHOICES, FEWEST, LOST, choice_for, warn_if_lost
from train.validate import Glance

from .tiny import write_tiny_set

if TYPE_CHECKING:
    from pathlib import Path

SEEN = Glance(boxes=45.0, steady=40.0, agreement=30.0, class_acc=90.0, separation=0.8)


@pytest.mark.parametrize(
    ("select", "boxes", "val", "negative", "words", "score"),
    [
        pytest.param("auto", True, FEWEST, None, "val boxes", 40.0, id="boxes where there are any"),
        pytest.param(
            "auto", False, FEWEST, None, "separation of val photos", 0.8, id="no box, both kinds of photos"
        ),
        pytest.param("auto", False, FEWEST - 1, None, "none (last epoch)", None, id="too few of a kind"),
        pytest.param("auto", False, FEWEST, "none", "none (last epoch)", None, id="no negative class"),
        pytest.param(
            "protocol", True, FEWEST, None, "val boxes at their best threshold", 45.0, id="the bare maximum"
        ),
        pytest.param("separation", True, FEWEST, None, "separation of val photos", 0.8, id="as asked for"),
        pytest.param("proposals", True, FEWEST, None, "proposal agreement", 30.0, id="asked for proposals"),
    ],
)
def test_the_epoch_is_chosen_by_the_best_that_val_allows(
    tmp_path: Path, select: str, boxes: bool, val: int, negative: str | None, words: str, score: float | None
) -> None:
    root = write_tiny_set(tmp_path / "set", boxes=boxes, train=1, val=val)
    if negative is not None:
        for split in ("train", "val", "test"):
            (root / split / "background").rename(root / split / "grass")
    choice = choice_for(TrainConfig(select=select), load_dataset(root))
    assert choice.words == words
    assert choice.score(SEEN) == pytest.approx(score, abs=1e-4)


def test_the_papers_preset_judges_boxes_as_the_protocol_does(tmp_path: Path) -> None:
    dataset = load_dataset(write_tiny_set(tmp_path / "set", boxes=True, train=1, val=1))
    assert choice_for(preset_config("paper"), dataset) is CHOICES["protocol"]


def test_every_choice_can_be_without_an_answer() -> None:
    blank = Glance(boxes=None, steady=None, agreement=None, class_acc=50.0, separation=None)
    assert [choice.score(blank) for choice in CHOICES.values()] == [None] * 5


@pytest.mark.parametrize(
    ("val", "separation", "warned"),
    [
        pytest.param(FEWEST, LOST - 0.13, True, id="the map tells nothing apart"),
        pytest.param(FEWEST, LOST, False, id="it does"),
        pytest.param(FEWEST - 1, 0.5, False, id="too few photos to say so"),
        pytest.param(FEWEST, None, False, id="not known"),
    ],
)
def test_a_run_that_found_nothing_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, val: int, separation: float | None, warned: bool
) -> None:
    dataset = load_dataset(write_tiny_set(tmp_path / "set", boxes=False, train=1, val=val))
    with caplog.at_level(logging.WARNING, "train.selection"):
        warn_if_lost({"val_separation": separation}, dataset)
    assert [("77 % of pairs" in r.message, "background" in r.message) for r in caplog.records] == (
        [(True, True)] if warned else []
    )
