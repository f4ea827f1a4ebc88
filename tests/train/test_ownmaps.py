"""Own maps: made by all processes together, the same bits whatever their number, and made anew if lost."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

import train.ownmaps
import train.polish
import train.selftrain
from edge_runtime.errors import TrainingError
from train.data.dataset import load_dataset
from train.distributed import World
from train.localizer import build_localizer
from train.ownmaps import BLOCK, OwnMapFile
from train.validate import BATCH

from .tiny import tiny_config, write_tiny_set
from .together import run_together

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from train.data.types import Dataset
    from train.localizer import Localizer

SIDE = 96
POSITIVE = 2 * BLOCK + BATCH + 3  # three blocks, the last one short


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_dataset(write_tiny_set(tmp_path_factory.mktemp("set"), train=POSITIVE))


@pytest.fixture(scope="module")
def model() -> Localizer:
    torch.manual_seed(0)
    return build_localizer(tiny_config().localizer, 2).eval()


def _file(out: Path, dataset: Dataset) -> OwnMapFile:
    out.mkdir(exist_ok=True)
    train = dataset.splits["train"]
    indices = [i for i, image in enumerate(train) if image.label != dataset.negative]
    return OwnMapFile(out, "own", train, indices, SIDE)


def _make(
    out: Path, dataset: Dataset, model: Localizer, size: int = 1, epoch: int = 3
) -> list[BaseException]:
    models = [copy.deepcopy(model) for _ in range(size)]

    def work(world: World) -> None:
        assert _file(out, dataset).prepare(epoch, epoch, models[world.rank], (64, 128), 1, world)

    return run_together(size, work)


@pytest.mark.parametrize("size", [2, pytest.param(3, marks=pytest.mark.slow), 4])
def test_many_processes_leave_the_bits_of_one(
    tmp_path: Path, dataset: Dataset, model: Localizer, size: int
) -> None:
    assert _make(tmp_path / "one", dataset, model) == _make(tmp_path / "many", dataset, model, size) == []
    for name in ("own.f16", "own.json"):
        assert (tmp_path / "many" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    maps = np.fromfile(tmp_path / "one" / "own.f16", np.float16).reshape(POSITIVE, -1)
    assert len(np.unique(maps, axis=0)) == POSITIVE


def test_each_photo_is_looked_at_by_one_process_only(
    tmp_path: Path, dataset: Dataset, model: Localizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    predict = train.ownmaps.predict_maps

    def watch(model: Localizer, images: Sequence[object], side: int, workers: int) -> object:
        looked.extend(image.image_id for image in images)  # type: ignore[attr-defined]
        return predict(model, images, side, workers)  # type: ignore[arg-type]

    monkeypatch.setattr(train.ownmaps, "predict_maps", watch)
    assert _make(tmp_path / "many", dataset, model, 2) == []
    positive = [i.image_id for i in dataset.splits["train"] if i.label != dataset.negative]
    assert sorted(looked) == sorted(2 * positive)  # at two sizes


def test_a_photo_that_is_gone_has_no_map_and_is_named_once(
    tmp_path: Path, model: Localizer, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = load_dataset(write_tiny_set(tmp_path / "set", train=POSITIVE))
    assert _make(tmp_path / "run", dataset, model) == []
    positive = [i for i, image in enumerate(dataset.splits["train"]) if image.label != dataset.negative]
    dataset.splits["train"][positive[4]].path.write_bytes(b"no photo")
    assert _make(tmp_path / "run", dataset, model, 2, epoch=4) == []
    assert len([record for record in caplog.records if "skipped" in record.message]) == 1
    own = _file(tmp_path / "run", dataset)
    assert not own.prepare(4, 4, model, (64, 128), 1, World())
    assert [i for i in positive if own.get(i) is None] == [positive[4]]


@pytest.mark.parametrize("side", [train.polish.SIDE, train.selftrain.SIDE])
def test_what_processes_write_together_are_whole_pages(side: int) -> None:
    """Two machines that write into one page of a network folder lose each other's bytes."""
    assert BLOCK * side * side * 2 % (64 << 10) == 0


def test_maps_of_other_sizes_are_not_taken(tmp_path: Path, dataset: Dataset, model: Localizer) -> None:
    assert _make(tmp_path / "run", dataset, model) == []
    assert _file(tmp_path / "run", dataset).prepare(3, 3, model, (64, 96), 1, World())


def test_maps_that_are_gone_when_they_taught_already_are_made_anew_with_a_warning(
    tmp_path: Path, dataset: Dataset, model: Localizer, caplog: pytest.LogCaptureFixture
) -> None:
    own = _file(tmp_path / "run", dataset)
    assert own.prepare(3, 3, model, (64,), 1, World())
    assert not caplog.records
    (tmp_path / "run" / "own.json").unlink()
    assert own.prepare(3, 4, model, (64,), 1, World())
    assert [r.message for r in caplog.records] == [
        "own maps of epoch 4 are gone; made anew, by weights of later"
    ]


@pytest.mark.parametrize("lost", ["own.f16", "own.json"])
def test_what_is_lost_is_made_anew(tmp_path: Path, dataset: Dataset, model: Localizer, lost: str) -> None:
    assert _make(tmp_path / "run", dataset, model) == []
    whole = (tmp_path / "run" / "own.f16").read_bytes()
    assert not _file(tmp_path / "run", dataset).prepare(3, 3, model, (64, 128), 1, World())
    (tmp_path / "run" / lost).unlink()
    assert _file(tmp_path / "run", dataset).prepare(3, 3, model, (64, 128), 1, World())
    assert (tmp_path / "run" / "own.f16").read_bytes() == whole


def test_a_full_disk_is_told_when_the_space_is_taken(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(TrainingError, match=r"own\.f16: no room for its 1 MB .*--resume"):
        _file(tmp_path / "run", dataset).reserve()
    assert list((tmp_path / "run").iterdir()) == []
