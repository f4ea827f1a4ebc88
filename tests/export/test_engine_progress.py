"""How far a build is, told from phases within phases; and what an interrupt does to it."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from edge_runtime.engines.plan import BuildStep
from export import engine_progress
from export.engine_progress import Watch, run_watched

if TYPE_CHECKING:
    from collections.abc import Callable

WITH_MONITOR = SimpleNamespace(IProgressMonitor=type("IProgressMonitor", (), {}))
WITHOUT = SimpleNamespace()


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_progress, "TICK_S", 0.01)


def drive(watch: Watch) -> Callable[..., BuildStep]:
    """Calls the monitor as TensorRT does; what is told then."""

    def call(name: str, *arguments: object) -> BuildStep:
        getattr(watch.monitor, name)(*arguments)
        return watch.now(1.0)

    return call


def test_phases_within_phases_make_one_fraction() -> None:
    call = drive(Watch(WITH_MONITOR))
    assert call("phase_start", "Build", None, 4) == BuildStep(1.0, "Build", 0.0)
    assert call("step_complete", "Build", 0) == BuildStep(1.0, "Build", 0.25)
    assert call("phase_start", "Time", "Build", 2) == BuildStep(1.0, "Time", 0.25)
    assert call("step_complete", "Time", 0) == BuildStep(1.0, "Time", 0.375)
    assert call("step_complete", "Time", 1) == BuildStep(1.0, "Time", 0.5)
    assert call("phase_finish", "Time") == BuildStep(1.0, "Build", 0.5)
    assert call("step_complete", "Build", 3) == BuildStep(1.0, "Build", 1.0)
    assert call("phase_finish", "Build") == BuildStep(1.0)


def test_a_phase_that_ends_early_or_never_counts_takes_nothing_back() -> None:
    call = drive(Watch(WITH_MONITOR))
    call("phase_start", "Build", None, 2)
    call("phase_start", "Time", "Build", 2)
    assert call("step_complete", "Time", 1).fraction == 0.5
    assert call("phase_finish", "Time").fraction == 0.5
    assert call("phase_start", "Empty", "Build", 0).fraction == 0.5
    assert call("step_complete", "Unheard of", 3).fraction == 0.5


def test_without_a_monitor_time_is_all_there_is() -> None:
    watch = Watch(WITHOUT)
    assert watch.monitor is None
    assert watch.now(7.0) == BuildStep(7.0)


def test_what_the_work_gives_or_raises_reaches_the_caller() -> None:
    watch = Watch(WITHOUT)
    told: list[BuildStep] = []
    release = threading.Event()

    def tell(step: BuildStep) -> None:
        told.append(step)
        release.set()

    assert run_watched(lambda: release.wait(10), watch, tell) is True
    assert told
    with pytest.raises(ZeroDivisionError):
        run_watched(lambda: 1 // 0, watch, tell)


def test_an_interrupt_asks_the_builder_to_stop_and_waits_for_it() -> None:
    watch = Watch(WITH_MONITOR)
    stopped = threading.Event()

    def work() -> None:
        while watch.monitor.step_complete("Build", 0):
            stopped.wait(0.005)
        stopped.set()

    def interrupt(step: BuildStep) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_watched(work, watch, interrupt)
    assert stopped.is_set()
