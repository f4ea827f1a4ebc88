"""One process or many: shares of a batch, and what happens when another process is gone."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist

from edge_runtime.errors import TrainingError
from train.distributed import World, join_world
from train.tensors import choose_device


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
