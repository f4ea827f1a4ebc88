"""Keeps one built engine beside its model, and hands it out only when every fact about it still holds.

EngineKey ──load──▶ bytes of the plan, or StaleReason      (TensorRT never sees a plan that fails a check)
EngineKey + plan ──store──▶ NAME.engine, then NAME.engine.json, each written aside and renamed
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SCHEMA = 1
LOCK_POLL_S = 0.2
ELF = b"\x7fELF"
HOST_MACHINES = (3, 40, 62, 183)  # e_machine of x86, Arm, x86-64, AArch64; the GPU's own code is 190


@dataclass(frozen=True)
class EngineKey:
    """Everything an engine depends on; any difference means another engine.

    Attributes:
        onnx_sha256: of the model file it is built from.
        tensorrt: name and version, e.g. "tensorrt 10.3.0".
        gpu: name of the GPU as CUDA gives it.
        compute_capability: e.g. "8.7".
        platform: L4T release of a Jetson, driver version elsewhere.
        precision: of the model file's contract.
        options: build options as text (`edge_runtime.engines.plan.EngineOptions.key_text`).
    """

    onnx_sha256: str
    tensorrt: str
    gpu: str
    compute_capability: str
    platform: str
    precision: str
    options: str


@dataclass(frozen=True)
class StaleReason:
    """Why a stored engine cannot be used, as the end of a sentence; `last_build_s` if that is known."""

    text: str
    last_build_s: float | None = None

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class SideFile:
    """What is kept about a plan: its key, size in bytes, sha256 and how long it took to build."""

    key: EngineKey
    size: int
    sha256: str
    build_s: float
    schema: int = SCHEMA

    def to_bytes(self) -> bytes:
        """The one way it is written: sorted, with a sha256 over the rest, so that any change shows."""
        facts = dataclasses.asdict(self)
        seal = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        return (json.dumps({**facts, "seal": seal}, sort_keys=True, indent=1) + "\n").encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> SideFile | None:
        """None unless `data` is, byte for byte, what `to_bytes` of this version writes."""
        try:
            facts = json.loads(data)
            del facts["seal"]
            side = cls(**{**facts, "key": EngineKey(**facts["key"])})
            typed = isinstance(side.size, int) and isinstance(side.build_s, (int, float))
            genuine = typed and side.schema == SCHEMA and side.to_bytes() == data
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        return side if genuine else None


class EngineCache:
    """The engine of one model in one directory.

    Args:
        directory: made by `store` when missing.
        name: file name without suffix, e.g. "tower-fp16" for `tower-fp16.engine`.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory
        self.plan_path = directory / f"{name}.engine"
        self.side_path = directory / f"{name}.engine.json"
        self._lock_path = directory / f".{name}.engine.lock"

    def load(self, key: EngineKey) -> bytes | StaleReason:
        """The stored plan when it is whole, was built for exactly `key` and carries no host code.

        Never raises for what lies in the directory.
        """
        try:
            side = SideFile.from_bytes(self.side_path.read_bytes())
        except FileNotFoundError:
            there = self.plan_path.exists()
            return StaleReason(f"{self.side_path.name} is missing" if there else "there is none yet")
        except OSError as error:
            return StaleReason(f"{self.side_path.name} cannot be read ({error.strerror})")
        if side is None:
            return StaleReason(f"{self.side_path.name} is damaged or of another version")
        changed = _changes(side.key, key)
        if changed:
            return StaleReason("; ".join(changed), side.build_s)
        return self._checked_plan(side)

    def store(self, key: EngineKey, plan: bytes, build_s: float) -> None:
        """Replace what is stored. A crash at any moment leaves the old pair, the new one, or a pair that
        `load` refuses.

        Raises:
            OSError: the directory cannot be made or written, or the disk is full; nothing is left behind.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        write_atomic(self.plan_path, plan)
        side = SideFile(key, len(plan), hashlib.sha256(plan).hexdigest(), round(build_s, 1))
        write_atomic(self.side_path, side.to_bytes())

    @contextlib.contextmanager
    def lock(self, waiting: Callable[[float], None] = lambda seconds: None) -> Iterator[bool]:
        """Keep other processes from building the same engine at the same time.

        Args:
            waiting: told now and then for how many seconds another process has held the lock.

        Yields:
            True with the lock; False where the directory takes none (read-only, a file system without).
        """
        file = self._open_lock()
        if file is None:
            yield False
            return
        try:
            locked = _acquire(file, waiting)
            if locked:
                self._remove_leftovers()
            yield locked
        finally:
            os.close(file)  # which also unlocks; the file stays, removing it would race

    def _open_lock(self) -> int | None:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            return os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError:
            return None

    def _remove_leftovers(self) -> None:
        """Part files of a process that was killed while writing; with the lock held they are nobody's."""
        for path in self.directory.glob(f".{self.plan_path.name}*.part"):
            with contextlib.suppress(OSError):
                path.unlink()

    def _checked_plan(self, side: SideFile) -> bytes | StaleReason:
        name, last = self.plan_path.name, side.build_s
        try:
            plan = self.plan_path.read_bytes()
        except OSError as error:
            return StaleReason(f"{name} cannot be read ({error.strerror})", last)
        if len(plan) != side.size:
            return StaleReason(f"{name} has {len(plan)} bytes, {side.size} were written", last)
        if hashlib.sha256(plan).hexdigest() != side.sha256:
            return StaleReason(f"{name} was changed since it was written (sha256 differs)", last)
        if carries_host_code(plan):
            return StaleReason(f"{name} carries code for the CPU, which we never load", last)
        return plan


def carries_host_code(plan: bytes) -> bool:
    """Whether a program for a CPU is inside, as in version-compatible plans with their lean runtime."""
    start = plan.find(ELF)
    while start >= 0:
        machine = int.from_bytes(plan[start + 18 : start + 20], "little")
        if machine in HOST_MACHINES:
            return True
        start = plan.find(ELF, start + 1)
    return False


def write_atomic(path: Path, data: bytes) -> None:
    """Write aside in the same directory, flush to the disk, rename. Raises OSError; leaves no part file."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def _changes(stored: EngineKey, key: EngineKey) -> list[str]:
    """One phrase per field that differs."""
    before, now = dataclasses.asdict(stored), dataclasses.asdict(key)
    return [
        f"{name.replace('_', ' ')} changed from {_short(str(before[name]))} to {_short(now[name])}"
        for name in now
        if before[name] != now[name]
    ]


def _short(text: str) -> str:
    return f"{text[:12]}…" if len(text) == 64 else text


def _acquire(file: int, waiting: Callable[[float], None]) -> bool:
    if sys.platform == "win32":
        return False
    import fcntl

    start = time.monotonic()
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            waiting(time.monotonic() - start)
            time.sleep(LOCK_POLL_S)
        except OSError:
            return False
