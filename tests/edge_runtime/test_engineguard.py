"""An engine that breaks is loaded again: at once, then ever more rarely; a file gives up in the end."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime import engineguard
from edge_runtime.engineguard import EngineGuard
from edge_runtime.errors import EngineError
from tests.edge_runtime.fakes import FakeBackend

IMAGE = np.zeros((64, 64, 3), np.uint8)
BROKEN = RuntimeError("an illegal memory access was encountered\nsecond line")


class Opener:
    """Opens what it is given, one after the other; raises what is an exception."""

    def __init__(self, *what: FakeBackend | Exception) -> None:
        self.left = list(what)

    def __call__(self) -> FakeBackend:
        one = self.left.pop(0)
        if isinstance(one, Exception):
            raise one
        return one


@pytest.fixture
def clock(monkeypatch) -> list[int]:
    """Time in ns that only the test moves."""
    now = [1_000_000_000]
    monkeypatch.setattr(engineguard, "monotonic_ns", lambda: now[0])
    return now


def test_a_working_engine_is_passed_through():
    maps, probs = EngineGuard(FakeBackend()).infer(IMAGE)
    assert maps.shape == (64, 64)
    assert probs.tolist() == pytest.approx([0.2, 0.8])


def test_a_broken_engine_is_closed_and_loaded_again_for_the_next_frame(clock, caplog):
    broken, fresh = FakeBackend(error=BROKEN, fails_at=1), FakeBackend()
    guard = EngineGuard(broken, Opener(fresh))
    assert guard.infer(IMAGE) is not None
    assert guard.infer(IMAGE) is None
    assert guard.reason == "RuntimeError: an illegal memory access was encountered"
    assert broken.closed
    clock[0] += 10
    assert guard.down_s(clock[0]) == pytest.approx(1e-8)
    assert guard.infer(IMAGE) is not None
    assert (guard.reason, guard.failures, guard.reloads, guard.down_s(clock[0])) == (None, 1, 1, 0.0)
    assert caplog.text.count("the engine failed and is loaded anew") == 1
    guard.close()
    assert fresh.closed


def test_the_pauses_between_tries_grow_and_no_try_comes_before_its_time(clock):
    still = [EngineError("no GPU")] * 8
    guard = EngineGuard(FakeBackend(error=BROKEN), Opener(*still, FakeBackend()))
    guard.infer(IMAGE)
    pauses_ms = []
    for _ in range(8):
        before, waited_ms = guard.failures, 0
        while guard.failures == before:
            assert guard.infer(IMAGE) is None
            if guard.failures == before:
                clock[0] += 50_000_000
                waited_ms += 50
        pauses_ms.append(waited_ms)
    assert pauses_ms == [0, 100, 200, 400, 800, 1600, 3200, 5000]
    clock[0] += 5_000_000_000
    assert guard.infer(IMAGE) is not None


def test_a_file_gives_up_after_a_few_failures_in_a_row():
    guard = EngineGuard(
        FakeBackend(error=BROKEN), Opener(FakeBackend(error=BROKEN), FakeBackend(error=BROKEN)), endless=False
    )
    assert [guard.infer(IMAGE), guard.infer(IMAGE)] == [None, None]
    with pytest.raises(RuntimeError, match="illegal memory"):
        guard.infer(IMAGE)


def test_failures_with_successes_between_them_are_not_in_a_row():
    flaky = [FakeBackend(error=BROKEN, fails_at=1) for _ in range(6)]
    guard = EngineGuard(flaky[0], Opener(*flaky[1:]), endless=False)
    results = [guard.infer(IMAGE) is not None for _ in range(11)]
    assert results == [True, False] * 5 + [True]
    assert guard.reloads == 5


def test_without_a_way_to_open_it_again_the_error_is_the_callers():
    with pytest.raises(RuntimeError, match="illegal memory"):
        EngineGuard(FakeBackend(error=BROKEN)).infer(IMAGE)


def test_a_broken_engine_that_cannot_even_be_closed_is_replaced(clock):
    class Stubborn(FakeBackend):
        def close(self) -> None:
            raise RuntimeError("context is destroyed")

    guard = EngineGuard(Stubborn(error=BROKEN), Opener(FakeBackend()))
    assert guard.infer(IMAGE) is None
    assert guard.infer(IMAGE) is not None
