"""UTC is given only while it can be trusted."""

import time

import pytest

from edge_runtime import clock


@pytest.mark.parametrize("synchronised", [True, False])
def test_utc_stands_beside_monotonic_time_only_while_the_clock_is_synchronised(monkeypatch, synchronised):
    monkeypatch.setattr(clock, "utc_is_synchronised", lambda: synchronised)
    a_second_ago_ns = time.monotonic_ns() - 1_000_000_000
    utc_ns = clock.UtcClock().from_monotonic_ns(a_second_ago_ns)
    if synchronised:
        assert utc_ns == pytest.approx(time.time_ns() - 1_000_000_000, abs=50_000_000)
    else:
        assert utc_ns is None


def test_the_kernel_is_asked_again_only_after_a_while(monkeypatch):
    asked = []
    monkeypatch.setattr(clock, "utc_is_synchronised", lambda: bool(asked.append(1)))
    utc = clock.UtcClock()
    for _ in range(100):
        utc.from_monotonic_ns(0)
    assert len(asked) == 1


def test_this_machine_can_be_asked():
    assert clock.utc_is_synchronised() in (True, False)
