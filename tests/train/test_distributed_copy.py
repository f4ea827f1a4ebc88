"""Weights and running statistics of rank 0 in every process, over gloo."""

from __future__ import annotations

from .together import run_processes

PROGRAM = """
import torch
from train.distributed import join_world, leave_world

world = join_world("cpu")
network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
network.to(memory_format=torch.channels_last)
for value in network.state_dict().values():
    value.fill_(world.rank + 1)
world.copy_from_main(network)
assert len(network.state_dict()) == 7
for name, value in network.state_dict().items():
    assert (value == 1).all(), (world.rank, name, value)
assert network[0].weight.is_contiguous(memory_format=torch.channels_last)
leave_world(world)
"""


def test_every_process_gets_the_weights_and_statistics_of_rank_0() -> None:
    run_processes(2, "-c", PROGRAM)
