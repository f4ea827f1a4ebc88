"""Answers of nearest neighbours, and views that find each other."""

from __future__ import annotations

import pytest
import torch

from train.pretrain.knn import knn_labels, twins_found

BANK = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9], [0.2, 0.8]])
LABELS = torch.tensor([0, 0, 1, 1, 1])


@pytest.mark.parametrize(
    ("asked", "neighbours", "expected"),
    [
        pytest.param([2.0, 0.1], 1, 0, id="the nearest, whatever the length"),
        pytest.param([0.1, 5.0], 3, 1, id="three of a kind"),
        pytest.param([1.0, 0.0], 5, 0, id="two very near outweigh three far away"),
        pytest.param([1.0, 0.0], 99, 0, id="more neighbours than there are"),
    ],
)
def test_the_vote_of_the_neighbours(asked: list[float], neighbours: int, expected: int) -> None:
    assert knn_labels(BANK, LABELS, torch.tensor([asked]), neighbours).tolist() == [expected]


def test_who_asks_himself_may_not_answer_for_himself() -> None:
    alone = torch.cat([BANK, torch.tensor([[0.05, 0.95]])])  # of class 0, among those of class 1
    labels = torch.tensor([*LABELS.tolist(), 0])
    assert knn_labels(alone, labels, alone, 1).tolist() == labels.tolist()
    assert knn_labels(alone, labels, alone, 1, own=True).tolist()[-1] == 1


@pytest.mark.parametrize(
    ("second", "percent"),
    [
        pytest.param(BANK * 3, 100.0, id="every view finds its twin"),
        pytest.param(BANK.roll(1, 0), 0.0, id="none does"),
        pytest.param(torch.ones(5, 2), 20.0, id="all alike: chance"),
    ],
)
def test_the_share_of_views_that_find_their_twin(second: torch.Tensor, percent: float) -> None:
    assert twins_found(BANK, second) == pytest.approx(percent)
