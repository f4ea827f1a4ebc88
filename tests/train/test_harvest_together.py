"""One harvest by many processes: each photo once, the bits of one process, killed and gone on by others."""

from __future__ import annotations

import collections
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import train.attention_store
import train.harvest
from edge_runtime.errors import DatasetError, TrainingError
from train.attention_store import BATCH, AttentionStore
from train.data.imageio import read_image_bgr

from .together import (
    COUNT,
    FEATURES,
    SHAPE,
    ThreadWorld,
    harvest,
    run_processes,
    run_together,
    tiny_sst,
    write_images,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from train.data.types import Image
    from train.distributed import World

FILES = ("attention.f16", "features.f16", "attention.done", "proposals.jsonl")


class _Killed(BaseException):
    """Stands for SIGKILL: nothing may catch it."""


@pytest.fixture
def images(tmp_path: Path) -> list[Image]:
    return write_images(tmp_path / "photos")


@pytest.fixture
def alone(tmp_path: Path, images: list[Image]) -> Path:
    """A run directory as one process leaves it."""
    _session(tmp_path / "alone", images, 1)
    return tmp_path / "alone"


def _session(run_dir: Path, images: list[Image], size: int) -> list[BaseException]:
    run_dir.mkdir(exist_ok=True)
    networks = [tiny_sst() for _ in range(size)]

    def work(world: World) -> None:
        harvest(run_dir, images, world, networks[world.rank])

    return run_together(size, work)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Counts reads of each photo; the one after `left` more is killed."""
    state: dict[str, Any] = {"names": collections.Counter(), "left": None}
    lock = threading.Lock()

    def read(path: Path) -> Any:
        with lock:
            state["names"][path.name] += 1
            if state["left"] is not None:
                state["left"] -= 1
                if state["left"] < 0:
                    raise _Killed
        return read_image_bgr(path)

    monkeypatch.setattr(train.harvest, "read_image_bgr", read)
    yield state


def _differing(a: Path, b: Path) -> list[str]:
    return [name for name in FILES if (a / name).read_bytes() != (b / name).read_bytes()]


@pytest.mark.parametrize("size", [2, 3, 5])
def test_many_processes_read_each_photo_once_and_leave_the_same_bits(
    size: int, alone: Path, images: list[Image], tmp_path: Path, reads: dict[str, Any]
) -> None:
    assert _session(tmp_path / "many", images, size) == []
    scored = [image.path.name for image in images if image.label]  # read again, to be scored
    assert reads["names"] == collections.Counter([*(image.path.name for image in images), *scored])
    assert _differing(alone, tmp_path / "many") == []
    left = sorted(path.name for path in (tmp_path / "many").iterdir())
    assert left == sorted([*FILES, "attention.json", "photos.txt"])


@pytest.mark.parametrize(
    ("killed_after", "sizes"),
    [
        pytest.param(19, (2, 3), id="in attention, then more processes"),
        pytest.param(19, (3, 1), id="in attention, then one"),
        pytest.param(11, (1, 2), id="one in attention, then two"),
        pytest.param(COUNT + 6, (2, 1), id="in proposals, then one"),
        pytest.param(COUNT + 6, (1, 3), id="one in proposals, then three"),
        pytest.param(COUNT + 6, (3, 2), id="in proposals, then fewer"),
    ],
)
def test_a_killed_harvest_goes_on_with_another_number_of_processes(
    killed_after: int,
    sizes: tuple[int, int],
    alone: Path,
    images: list[Image],
    tmp_path: Path,
    reads: dict[str, Any],
) -> None:
    out = tmp_path / "killed"
    reads["left"] = killed_after
    raised = _session(out, images, sizes[0])
    assert any(isinstance(error, _Killed) for error in raised)
    assert all(isinstance(error, (_Killed, TrainingError)) for error in raised)
    reads["left"] = None
    assert _session(out, images, sizes[1]) == []
    assert _differing(alone, out) == []
    assert not list(out.glob("*.shard*"))
    assert not list(out.glob("*.part"))
    if killed_after > COUNT:  # attention was complete: only what was in flight is scored again
        assert sum(reads["names"].values()) <= COUNT + COUNT // 2 + 1 + sizes[0]


def test_shards_depend_on_the_photos_alone_and_are_few(
    images: list[Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = AttentionStore(tmp_path, images, SHAPE, FEATURES)
    assert store.unfinished() == [[[*range(i, min(i + BATCH, COUNT))]] for i in range(0, COUNT, BATCH)]
    monkeypatch.setattr(train.attention_store, "SHARDS", 2)
    assert store.unfinished() == [[[*range(8)], [*range(8, 16)]], [[*range(16, 24)], [*range(24, 30)]]]
    store.done[:9] = train.attention_store.DONE
    assert store.unfinished() == [[[*range(8, 16)]], [[*range(16, 24)], [*range(24, 30)]]]


def test_a_half_written_shard_is_not_taken_in(images: list[Image], tmp_path: Path) -> None:
    store = AttentionStore(tmp_path, images, SHAPE, FEATURES)
    (tmp_path / "attention.000000000.shard.part").write_bytes(b"half")
    store.absorb()
    assert not np.asarray(store.done).any()
    assert not list(tmp_path.glob("*.shard*"))


def test_a_photo_that_cannot_be_read_is_told_by_the_process_that_met_it(
    images: list[Image], tmp_path: Path
) -> None:
    images[9].path.write_bytes(b"\x89PNG no more")
    told: list[tuple[int, int]] = []
    networks = [tiny_sst(), tiny_sst()]

    def work(world: World) -> None:
        with world.main_first():
            store = AttentionStore(tmp_path, images, SHAPE, FEATURES)
        train.harvest.harvest_attention(
            networks[world.rank], store, images, world, 1, lambda i, _: told.append((world.rank, i))
        )

    assert run_together(2, work) == []
    assert told == [(1, 9)]  # the second batch of 8 goes to the second process
    done = AttentionStore(tmp_path, images, SHAPE, FEATURES).done
    assert np.flatnonzero(np.asarray(done) == train.attention_store.UNREADABLE).tolist() == [9]


def test_a_process_whose_share_cannot_be_read_takes_the_step_with_a_photo_of_the_batch() -> None:
    from train.data.loader import PhotoLoader

    def load(_epoch: int, index: int) -> int:
        if index % 2:
            raise DatasetError(f"{index}: broken")
        return index

    with PhotoLoader(load, 1) as loader:
        batches = [[0, 1], [2, 4]]
        assert list(loader(0, batches, ThreadWorld(1, 2))) == [[0], [4]]
        assert list(loader(0, batches, ThreadWorld(0, 2))) == [[0], [2]]
        with pytest.raises(TrainingError, match="not one photo of a whole batch"):
            list(loader(0, [[1, 3]], ThreadWorld(1, 2)))


@pytest.mark.slow
def test_two_real_processes_leave_the_bits_of_one(alone: Path, tmp_path: Path) -> None:
    """Over gloo, as torchrun starts them; both read the photos that the fixture wrote."""
    (tmp_path / "two").mkdir()
    run_processes(2, "-m", "tests.train.together", str(tmp_path / "two"))
    assert _differing(alone, tmp_path / "two") == []
