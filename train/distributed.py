"""One process or many (torchrun): who am I, shares of a batch, and the few collective calls we need."""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")
PATIENCE = datetime.timedelta(hours=12)  # a harvest on rank 0 may take long while others wait


@dataclass(frozen=True)
class World:
    """This process among `size` (torchrun's RANK and WORLD_SIZE); `local_rank` picks the GPU."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def main(self) -> bool:
        """True in the one process that writes files and talks."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> list[T]:
        """Every size-th item, starting at this rank: disjoint shares that together are all items."""
        return list(items[self.rank :: self.size])

    def barrier(self) -> None:
        """Wait until every process has come here."""
        if self.size > 1:
            dist.barrier()

    def wrap(self, model: nn.Module) -> nn.Module:
        """Average gradients over processes."""
        return DistributedDataParallel(model) if self.size > 1 else model

    def mean(self, value: Tensor) -> Tensor:
        """Average of a scalar over processes."""
        if self.size == 1:
            return value
        total = value.detach().float().clone()
        dist.all_reduce(total)
        return total / self.size


def join_world(device_type: str) -> World:
    """Join torchrun's group when started by it; a single process otherwise."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return World()
    dist.init_process_group("nccl" if device_type == "cuda" else "gloo", timeout=PATIENCE)
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if device_type == "cuda":
        torch.cuda.set_device(local)
    return World(dist.get_rank(), dist.get_world_size(), local)


def leave_world(world: World) -> None:
    """Leave the group; harmless in a single process."""
    if world.size > 1 and dist.is_initialized():
        dist.destroy_process_group()
