"""Own maps: when they are made, which photos they teach, and that a run that goes on finds the same ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from train.config import SelfTrainingConfig
from train.data.dataset import load_dataset
from train.distributed import World
from train.localizer import build_localizer
from train.selftrain import SIDE, OwnMaps

from .tiny import tiny_config, write_tiny_set

if TYPE_CHECKING:
    from pathlib import Path

    from train.data.types import Dataset

CONFIG = SelfTrainingConfig(from_epoch=3, every=2)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return load_dataset(write_tiny_set(tmp_path / "data"))


def _own(out: Path, dataset: Dataset, config: SelfTrainingConfig = CONFIG) -> OwnMaps:
    train = dataset.splits["train"]
    return OwnMaps(
        out, train, [i for i, image in enumerate(train) if image.label != dataset.negative], config
    )


@pytest.mark.parametrize(
    ("config", "rounds"),
    [
        (CONFIG, [-1, -1, 2, 2, 4, 4, 6]),
        (SelfTrainingConfig(from_epoch=1, every=1), [0, 1, 2, 3]),
        (SelfTrainingConfig(from_epoch=2, every=3), [-1, 1, 1, 1, 4]),
        (SelfTrainingConfig(from_epoch=0), [-1, -1, -1]),
    ],
)
def test_maps_are_renewed_every_few_epochs(
    tmp_path: Path, dataset: Dataset, config: SelfTrainingConfig, rounds: list[int]
) -> None:
    own = _own(tmp_path, dataset, config)
    assert [own.round_of(epoch) for epoch in range(len(rounds))] == rounds


def test_only_sure_maps_of_photos_with_an_object_teach(tmp_path: Path, dataset: Dataset) -> None:
    train = dataset.splits["train"]
    positive = [i for i, image in enumerate(train) if image.label != dataset.negative]
    maps = np.zeros((len(positive), SIDE, SIDE), np.float16)
    maps[0, 20:60, 20:60] = 0.9
    maps[1:, 20:60, 20:60] = 0.7
    maps.tofile(tmp_path / "own.f16")
    (tmp_path / "own.json").write_text(json.dumps({"epoch": 2, "inputs": [64]}))
    own = _own(tmp_path, dataset)
    model = build_localizer(tiny_config().localizer, 2)
    own.prepare(3, model, 64, 1, World())
    taught = [i for i in range(len(train)) if own.get(i) is not None]
    assert taught == positive[:1]
    found = own.get(positive[0])
    assert found is not None
    assert np.array_equal(found, maps[0].astype(np.float32))


def test_what_is_on_the_disk_from_this_round_is_used_and_from_another_made_anew(
    tmp_path: Path, dataset: Dataset
) -> None:
    model = build_localizer(tiny_config().localizer, 2).eval()
    own = _own(tmp_path, dataset)
    own.prepare(1, model, 64, 1, World())
    assert not (tmp_path / "own.f16").exists()
    own.prepare(2, model, 64, 1, World())
    first = (tmp_path / "own.f16").read_bytes()
    assert any(first)
    other = build_localizer(tiny_config().localizer, 2).eval()
    _own(tmp_path, dataset).prepare(3, other, 64, 1, World())  # went on within the round
    assert (tmp_path / "own.f16").read_bytes() == first
    _own(tmp_path, dataset).prepare(4, other, 64, 1, World())
    assert (tmp_path / "own.f16").read_bytes() != first
    assert json.loads((tmp_path / "own.json").read_text()) == {"epoch": 4, "inputs": [64]}
