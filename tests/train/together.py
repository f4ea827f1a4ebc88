"""Many processes as threads of one, and the tiny harvest that tests share with real processes.

`python -m tests.train.together RUN` is one process of that harvest.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from edge_runtime.errors import TrainingError
from train.classifier import Classifier
from train.config import ProposalConfig, SstConfig
from train.data.types import Image
from train.distributed import World, join_world, leave_world
from train.harvest import AttentionStore, harvest_attention, harvest_proposals
from train.sst import SelfSupervisedTransformer

from .photos import write_photo

if TYPE_CHECKING:
    from collections.abc import Callable

    from train.proposals import Proposal

T = TypeVar("T")
COUNT = 30
SHAPE, FEATURES = (3, 4, 4), 256
NEGATIVE = 0


@dataclass(frozen=True)
class ThreadWorld(World):
    """A `World` whose processes are threads that meet at one barrier."""

    meet: threading.Barrier = field(default_factory=lambda: threading.Barrier(1))
    box: list[Any] = field(default_factory=list)

    def barrier(self) -> None:
        try:
            self.meet.wait(60)
        except threading.BrokenBarrierError as error:
            raise TrainingError("another process of this run has stopped") from error

    def agree(self, value: T) -> T:
        if self.main:
            self.box[:] = [value]
        self.barrier()
        agreed: T = self.box[0]
        self.barrier()
        return agreed


def run_together(size: int, work: Callable[[World], None]) -> list[BaseException]:
    """`work` in `size` threads, each with its world; what they raised. One that fails stops all."""
    meet, box, raised = threading.Barrier(size), [None], []

    def one(rank: int) -> None:
        world = World() if size == 1 else ThreadWorld(rank, size, meet=meet, box=box)
        try:
            work(world)
        except BaseException as error:  # told to the test
            raised.append(error)
            meet.abort()

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def run_processes(size: int, *arguments: str) -> None:
    """`python ARGUMENTS` in `size` real processes, as torchrun starts them; each has to end well."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    world = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(size)}
    processes = [
        subprocess.Popen(
            [sys.executable, *arguments],
            env={**os.environ, **world, "LOCAL_WORLD_SIZE": str(size), "RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]
    for process in processes:
        _, complaint = process.communicate(timeout=120)
        assert process.returncode == 0, complaint


class Brightness(torch.nn.Module):
    """Class 1 is as probable as the photo is bright."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bright = x.mean((1, 2, 3))
        return torch.stack([-bright, bright], 1)


def brightness_classifier() -> Classifier:
    """A classifier without training."""
    classifier = Classifier(Brightness(), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 32)
    classifier.register_parameter("device_tag", torch.nn.Parameter(torch.zeros(1)))
    return classifier


def write_images(folder: Path, count: int = COUNT) -> list[Image]:
    """Photos of two classes in turn; those that are there are left as they are."""
    paths = [folder / f"{k:02}.png" for k in range(count)]
    for k, path in enumerate(paths):
        if not path.exists():
            write_photo(path, width=64, height=48, seed=k)
    return [Image(path, path.name, k % 2, 64, 48) for k, path in enumerate(paths)]


def tiny_sst() -> SelfSupervisedTransformer:
    """The same random transformer each time."""
    torch.manual_seed(0)
    return SelfSupervisedTransformer(SstConfig("test_vit", "none", 64), torch.device("cpu"))


def harvest(
    run_dir: Path, images: list[Image], world: World, sst: SelfSupervisedTransformer
) -> list[list[Proposal]]:
    """Attention, then proposals, as a run does it."""
    with world.main_first():
        store = AttentionStore(run_dir, images, SHAPE, FEATURES)
    harvest_attention(sst, store, images, world, 1)
    world.barrier()
    store = AttentionStore(run_dir, images, SHAPE, FEATURES)
    config = ProposalConfig(min_area=0.0)
    return harvest_proposals(run_dir, store, images, NEGATIVE, brightness_classifier(), config, world)


if __name__ == "__main__":
    torch.set_num_threads(1)
    here = join_world("cpu")
    try:
        harvest(Path(sys.argv[1]), write_images(Path(sys.argv[1]).parent / "photos"), here, tiny_sst())
    finally:
        leave_world(here)
