"""Watches a build from the calling thread: how far it is, how long it takes, and Ctrl-C.

builder's threads ──IProgressMonitor──▶ Watch ──▶ BuildStep ──▶ whoever reports
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

from edge_runtime.engines.plan import BuildStep

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

TICK_S = 0.5
STOP_S = 10.0  # how long a cancelled build may take to notice


class Watch:
    """What TensorRT says of its progress; `monitor` is for the builder config, None before TensorRT 10.

    Phases nest, and each counts its own steps.
    """

    def __init__(self, module: Any) -> None:
        self.monitor = _native_monitor(module, self) if hasattr(module, "IProgressMonitor") else None
        self.cancelled = False
        self._lock = threading.Lock()
        self._phases: dict[str, list[int]] = {}  # name: [steps done, steps], outermost first
        self._furthest = 0.0

    def start(self, phase: str, steps: int) -> None:
        """A phase inside those that are open."""
        with self._lock:
            self._phases[phase] = [0, max(1, steps)]

    def step(self, phase: str, number: int) -> bool:
        """Step `number` (from 0) of a phase is done; False asks the builder to stop."""
        with self._lock:
            if phase in self._phases:
                self._phases[phase][0] = number + 1
        return not self.cancelled

    def finish(self, phase: str) -> None:
        """A phase is over, whether or not all its steps were reported."""
        with self._lock:
            self._phases.pop(phase, None)

    def now(self, elapsed_s: float) -> BuildStep:
        """Where the build is; the fraction never falls."""
        with self._lock:
            if self.monitor is None or not self._phases:
                return BuildStep(elapsed_s)
            inner = 0.0
            for done, steps in reversed(self._phases.values()):
                inner = min(1.0, (done + inner) / steps)
            self._furthest = max(self._furthest, inner)
            return BuildStep(elapsed_s, next(reversed(self._phases)), self._furthest)


def run_watched(work: Callable[[], T], watch: Watch, tell: Callable[[BuildStep], None]) -> T:
    """Result of `work`, which runs in another thread, with `tell` called about every `TICK_S` seconds.

    What `work` raises is raised here. An interrupt here stops the build where TensorRT allows it, and
    leaves it behind where it does not (before 10).
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # handed to the calling thread below
            errors.append(error)

    start = time.monotonic()
    thread = threading.Thread(target=run, name="engine-build", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(TICK_S)
            tell(watch.now(time.monotonic() - start))
    except BaseException:
        watch.cancelled = True
        with contextlib.suppress(KeyboardInterrupt):  # a second one does not wait
            thread.join(STOP_S)
        raise
    if errors:
        raise errors[0]
    return results[0]


def _native_monitor(module: Any, watch: Watch) -> Any:
    class Monitor(module.IProgressMonitor):  # type: ignore[misc]  # the base class is known only here
        def __init__(self) -> None:
            module.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            watch.start(phase_name, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return watch.step(phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            watch.finish(phase_name)

    return Monitor()
