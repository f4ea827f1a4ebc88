"""Batches of an epoch and the threads that decode them: order, skipped photos, failures."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from edge_runtime.errors import DatasetError, TrainingError
from train.data.loader import PhotoLoader, epoch_batches

LABELS = [0] * 12 + [1] * 8


def test_an_epoch_shows_every_photo_once_in_whole_batches() -> None:
    batches = epoch_batches(LABELS, None, 1.0, 5, seed=0, epoch=0)
    assert [len(b) for b in batches] == [5, 5, 5, 5]
    assert sorted(i for b in batches for i in b) == list(range(20))


def test_a_last_incomplete_batch_is_dropped_unless_it_is_the_only_one() -> None:
    assert [len(b) for b in epoch_batches(LABELS, None, 1.0, 8, 0, 0)] == [8, 8]
    assert [len(b) for b in epoch_batches(LABELS, None, 1.0, 64, 0, 0)] == [20]


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    def draw(seed: int, epoch: int) -> list[list[int]]:
        return epoch_batches(LABELS, 0, 0.5, 4, seed, epoch)

    assert draw(0, 0) == draw(0, 0)
    assert len({str(draw(s, e)) for s in range(3) for e in range(3)}) == 9


def test_negatives_are_subsampled_anew_each_epoch() -> None:
    shown: Counter[int] = Counter()
    for epoch in range(30):
        batch = epoch_batches(LABELS, 0, 0.25, 100, 0, epoch)[0]
        assert sum(LABELS[i] == 0 for i in batch) == 3
        assert sum(LABELS[i] == 1 for i in batch) == 8
        shown.update(i for i in batch if LABELS[i] == 0)
    assert len(shown) == 12  # all of them have their turn


def _load(epoch: int, index: int) -> str:
    if index in (3, 4):
        raise DatasetError(f"photo {index}.jpg: not a readable image")
    time.sleep(0.001 * (index % 3))
    return f"{epoch}/{index}"


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_batches_come_in_order_whatever_the_number_of_threads(workers: int) -> None:
    with PhotoLoader(_load, workers) as loader:
        got = list(loader(7, [[0, 1], [2, 5], [6], [9, 8, 7]]))
    assert got == [["7/0", "7/1"], ["7/2", "7/5"], ["7/6"], ["7/9", "7/8", "7/7"]]


def test_a_photo_that_cannot_be_read_is_left_out_named_once_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with PhotoLoader(_load, 2) as loader:
        assert list(loader(0, [[1, 3], [4, 5]])) == [["0/1"], ["0/5"]]
        assert list(loader(1, [[3, 1]])) == [["1/1"]]
    assert list(loader.skipped) == [3, 4]
    assert [r.getMessage() for r in caplog.records] == [
        "skipped: photo 3.jpg: not a readable image (1 so far)",
        "skipped: photo 4.jpg: not a readable image (2 so far)",
    ]


def test_a_whole_batch_that_cannot_be_read_stops_with_the_last_name() -> None:
    with PhotoLoader(_load, 1) as loader, pytest.raises(TrainingError, match=r"photo 4\.jpg"):
        list(loader(0, [[3, 4]]))


def test_an_empty_batch_stops_with_a_reason() -> None:
    with PhotoLoader(_load, 1) as loader, pytest.raises(TrainingError, match="it has no photos"):
        list(loader(0, [[]]))


def test_the_tolerant_walk_gives_empty_batches() -> None:
    with PhotoLoader(_load, 1) as loader:
        assert list(loader.tolerant(0, [[3, 4], [1]])) == [[], ["0/1"]]


def test_other_errors_are_not_hidden() -> None:
    def broken(_epoch: int, _index: int) -> str:
        raise ZeroDivisionError

    with PhotoLoader(broken, 1) as loader, pytest.raises(ZeroDivisionError):
        list(loader(0, [[1]]))


def test_only_a_few_batches_are_decoded_ahead() -> None:
    begun: list[int] = []

    def load(_epoch: int, index: int) -> int:
        begun.append(index)
        return index

    with PhotoLoader(load, 1) as loader:
        walk = loader(0, [[k] for k in range(50)])
        next(walk)
        time.sleep(0.05)
        assert len(begun) <= 4
