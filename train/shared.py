"""What the stages of a run share: its folder, settings, photos, device, and the time each part took."""

from __future__ import annotations

import json
import logging
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar

import torch

from edge_runtime.errors import TrainingError, UsageError
from train.checkpoint import write_text
from train.data.quarantine import Quarantine
from train.settings import to_toml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _typeshed import DataclassInstance

    from train.data.types import Dataset
    from train.distributed import World

_log = logging.getLogger(__name__)
SECONDS_FILE = "seconds.json"


class Seeded(Protocol):
    """Any configuration: it has a seed."""

    @property
    def seed(self) -> int:
        """Decides every random draw."""


C = TypeVar("C", bound=Seeded)


@dataclass
class Run(Generic[C]):
    """What the stages share; `C` is the kind of configuration.

    `seconds`: by stage, and by part of the localizer's steps (`localizer/...`). `facts`: what stages
    found out and metrics.json keeps. `quarantine`: photos that cannot be read, by the stage that met them.
    """

    out: Path
    config: C
    dataset: Dataset
    device: torch.device
    world: World
    workers: int
    seconds: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    quarantine: Quarantine = field(init=False)

    def __post_init__(self) -> None:
        self.quarantine = Quarantine(self.out, self.world.rank)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Say a stage, seed torch for it, and add up its time over resumed sessions."""
        if self.world.main:
            _log.info("%s ...", name)
        torch.manual_seed(self.config.seed)
        self.quarantine.stage = name
        start = time.monotonic()
        yield
        self.world.barrier()
        if self.world.main:
            self.quarantine.gather()
        self.world.barrier()  # only then may the next stage add to what is gathered
        self.spent({name: time.monotonic() - start})

    def spent(self, seconds: dict[str, float]) -> None:
        """Add to the times and keep them in RUN/seconds.json."""
        for name, value in seconds.items():
            self.seconds[name] = round(self.seconds.get(name, 0.0) + value, 1)
        if self.world.main:
            write_text(self.out / SECONDS_FILE, json.dumps(self.seconds))


class Timer:
    """Context manager; adds the seconds spent inside to `seconds[name]`."""

    def __init__(self, seconds: dict[str, float], name: str) -> None:
        self._seconds, self._name = seconds, name

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        spent = time.perf_counter() - self._start
        self._seconds[self._name] = self._seconds.get(self._name, 0.0) + spent


def check_new(out: Path) -> None:
    """Raise UsageError when there is something in `out` that a new run would overwrite."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is not empty; choose another --out, or go on with --resume")


def start_run(out: Path, config: DataclassInstance) -> None:
    """Make the run directory with its settings and a fresh id. Raises TrainingError when it cannot be."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"{out}: cannot be made ({error.strerror}); choose another --out") from error
    write_text(out / "run_id", uuid.uuid4().hex)
    write_text(out / "config.toml", to_toml(config))


AnyRun: TypeAlias = "Run[Any]"


def read_seconds(out: Path) -> dict[str, float]:
    """Times of earlier sessions of the run in `out`; empty when there are none or they are damaged."""
    path = out / SECONDS_FILE
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
    except ValueError:  # only times: not worth losing a run
        return {}
