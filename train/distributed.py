"""One process or many (torchrun): who am I, shares of a batch, and the few collective calls we need."""

from __future__ import annotations

import datetime
import os
import platform
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from edge_runtime.errors import TrainingError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

T = TypeVar("T")
SHOWS_UP_S = 70.0  # longer than NFS keeps what it knows of a folder
PATIENCE = datetime.timedelta(hours=12)  # a harvest on rank 0 may take long while others wait


@dataclass(frozen=True)
class World:
    """This process among `size` (torchrun's RANK and WORLD_SIZE).

    `local_rank` picks the GPU; `local_size` processes share this machine's cores.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    device: str = "cpu"  # of the tensors in collective calls

    @property
    def main(self) -> bool:
        """True in the one process that writes files and talks."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> list[T]:
        """Every size-th item, starting at this rank: disjoint shares that together are all items."""
        return list(items[self.rank :: self.size])

    def barrier(self) -> None:
        """Wait until every process has come here. Raises TrainingError when one of them has ended."""
        if self.size > 1:
            with _peers_needed():
                dist.barrier()

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Rank 0 does the block before all others do: what it writes there, they find."""
        if not self.main:
            self.barrier()
        yield
        if self.main:
            self.barrier()

    def agree(self, value: T) -> T:
        """Rank 0's `value` in every process; what the others pass is not looked at."""
        if self.size == 1:
            return value
        box = [value]
        with _peers_needed():
            dist.broadcast_object_list(box, src=0)
        return box[0]

    def weight(self, count: int) -> float:
        """How much a mean over `count` items here weighs in the mean of all processes' items.

        Gradients are averaged over processes as if all had as many items; times this they are as if
        one process had them all. 1 in a single process, and 0 where nobody has an item.
        """
        if self.size == 1:
            return 1.0
        mean = float(self.mean(torch.tensor(float(count), device=self.device)))
        return count / mean if mean else 0.0

    def copy_from_main(self, module: nn.Module) -> None:
        """Rank 0's weights in every process, and its running statistics: each keeps those of its photos."""
        for value in module.state_dict().values() if self.size > 1 else ():
            sent = value.contiguous()
            with _peers_needed():
                dist.broadcast(sent, src=0)
            value.copy_(sent)

    def wrap(self, model: nn.Module) -> nn.Module:
        """Average gradients over processes."""
        return DistributedDataParallel(model) if self.size > 1 else model

    def mean(self, value: Tensor) -> Tensor:
        """Average of a scalar over processes."""
        if self.size == 1:
            return value
        total = value.detach().float().clone()
        with _peers_needed():
            dist.all_reduce(total)
        return total / self.size


@contextmanager
def _peers_needed() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # gloo and NCCL raise it when the other side is gone
        raise TrainingError("another process of this run has stopped; its own message says why") from error


def join_world(device_type: str) -> World:
    """Join torchrun's group when started by it; a single process otherwise.

    Raises:
        UsageError: more processes on this machine than it has GPUs.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return World()
    local, local_size = (int(os.environ.get(name, "0")) for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE"))
    device = None
    if device_type == "cuda":
        if local >= torch.cuda.device_count():
            raise UsageError(f"{local_size} processes but {torch.cuda.device_count()} GPUs here; start fewer")
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    dist.init_process_group("gloo" if device is None else "nccl", timeout=PATIENCE, device_id=device)
    where = "cpu" if device is None else str(device)
    return World(dist.get_rank(), dist.get_world_size(), local, max(1, local_size), where)


def leave_world(world: World) -> None:
    """Leave the group; harmless in a single process."""
    if world.size > 1 and dist.is_initialized():
        dist.destroy_process_group()


def wait_until_seen(path: Path) -> None:
    """Wait until a file that rank 0 has written shows up here; a network folder may be a little late.

    Raises:
        UsageError: it does not, so the machines do not share the folder.
    """
    deadline = time.monotonic() + SHOWS_UP_S
    while not path.exists():
        if time.monotonic() > deadline:
            raise UsageError(
                f"{path}: written by rank 0, but not to be seen on this machine ({platform.node()}); "
                "all machines need one shared folder for --out and one for DATA"
            )
        time.sleep(0.5)
