"""One process or many: shares of a batch, and what happens when another process is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
import torch.distributed as dist

import train.distributed
from edge_runtime.errors import TrainingError, UsageError
from train.distributed import World, join_world, wait_until_seen
from train.tensors import choose_device

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_shares_are_disjoint_and_together_the_whole_batch(size: int) -> None:
    batch = list(range(16))
    shares = [World(rank, size).share(batch) for rank in range(size)]
    assert sorted(i for share in shares for i in share) == batch
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_single_process_needs_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    world = join_world("cpu")
    model, value = torch.nn.Linear(1, 1), torch.tensor(3.0)
    assert world == World()
    assert world.main
    assert world.wrap(model) is model
    assert world.mean(value) is value
    with world.main_first():
        world.barrier()


def test_a_process_that_is_gone_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer\nmore")

    monkeypatch.setattr(dist, "barrier", gone)
    monkeypatch.setattr(dist, "all_reduce", gone)
    world = World(1, 2)
    for call in (world.barrier, lambda: world.mean(torch.ones(()))):
        with pytest.raises(TrainingError, match="another process of this run has stopped"):
            call()


def test_only_known_devices_are_chosen() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        pytest.param([3, 2], [1.2, 0.8], id="unequal shares"),
        pytest.param([4, 4], [1.0, 1.0], id="equal shares"),
        pytest.param([5, 0], [2.0, 0.0], id="nothing here"),
        pytest.param([0, 0], [0.0, 0.0], id="nothing anywhere"),
    ],
)
def test_means_of_unequal_shares_average_to_the_mean_of_all(
    counts: list[int], expected: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(World, "mean", lambda _, value: torch.tensor(sum(counts) / len(counts)))
    weights = [World(rank, 2).weight(count) for rank, count in enumerate(counts)]
    assert weights == pytest.approx(expected)
    items = [torch.arange(1.0, n + 1) for n in counts]
    if sum(counts):
        averaged = sum(w * float(x.mean()) for w, x in zip(weights, items, strict=True) if len(x)) / len(
            counts
        )
        assert averaged == pytest.approx(float(torch.cat(items).mean()))


def test_a_single_process_weighs_its_items_as_they_are() -> None:
    assert World().weight(3) == 1.0
    assert World().weight(0) == 1.0
    assert World().agree({"a": 1}) == {"a": 1}


def test_a_folder_that_only_rank_0_sees_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train.distributed, "SHOWS_UP_S", 0.0)
    (tmp_path / "here").touch()
    wait_until_seen(tmp_path / "here")
    with pytest.raises(UsageError, match="all machines need one shared folder"):
        wait_until_seen(tmp_path / "config.toml")
