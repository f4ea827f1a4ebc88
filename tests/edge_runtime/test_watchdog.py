"""What does not happen is noticed in time; what is merely slow is not a fault."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from edge_runtime.live import Health
from edge_runtime.watchdog import DOWN_S, STUCK_S, Watchdog, stall_ms_for

MS = 1_000_000


def healthy() -> Health:
    health = Health()
    health.recover()
    return health


@pytest.mark.parametrize(
    ("fps", "expected_ms"),
    [
        pytest.param(None, 200, id="unknown"),
        pytest.param(60, 200, id="fast"),
        pytest.param(5, 600, id="slow"),
    ],
)
def test_the_default_stall_is_three_periods_and_at_least_200_ms(fps, expected_ms):
    assert stall_ms_for(fps) == expected_ms


@pytest.mark.parametrize(
    ("stall_ms", "silent_ms", "expected"),
    [
        pytest.param(200, 199, None, id="in time"),
        pytest.param(200, 201, "no frame for 200 ms", id="late"),
        pytest.param(None, 10_000, None, id="a file is never late"),
    ],
)
def test_a_frame_that_does_not_come_is_a_cause(stall_ms, silent_ms, expected):
    watchdog = Watchdog(healthy(), stall_ms=stall_ms)
    assert watchdog.cause(5 * MS) is None  # none was ever there: starting, not stalled
    watchdog.frame(10 * MS)
    assert watchdog.cause((10 + silent_ms) * MS) == expected


def test_after_the_last_frame_none_is_missed():
    watchdog = Watchdog(healthy(), stall_ms=200)
    watchdog.frame(0)
    watchdog.no_more_frames()
    assert watchdog.cause(5000 * MS) is None


@pytest.mark.parametrize(
    ("usual_ms", "takes_ms", "expected"),
    [
        pytest.param(30, 190, None, id="slow once"),
        pytest.param(30, 210, "no result for 200 ms", id="hangs"),
        pytest.param(300, 800, None, id="a slow network is not a fault"),
        pytest.param(300, 1000, "no result for 900 ms", id="three times as slow as usual is"),
    ],
)
def test_a_result_that_does_not_come_is_a_cause_against_how_long_they_usually_take(
    usual_ms, takes_ms, expected
):
    watchdog = Watchdog(healthy(), stall_ms=200)
    for start_ms in (0, 1000):
        watchdog.began(start_ms * MS)
        watchdog.done((start_ms + usual_ms) * MS)
    watchdog.began(2000 * MS)
    watchdog.frame((2000 + takes_ms) * MS)
    assert watchdog.cause((2000 + takes_ms) * MS) == expected


def test_a_gap_between_frames_is_a_fault_even_when_no_thread_could_look(caplog):
    health = healthy()
    watchdog = Watchdog(health, stall_ms=200)
    watchdog.frame(0)
    watchdog.frame(1000 * MS)  # the whole process stood still
    assert (health.healthy(), health.reason) == (False, "no frame for 1000 ms")
    assert watchdog.take_fault() == "no frame for 1000 ms"
    assert watchdog.take_fault() is None


def test_a_lasting_fault_is_said_once(caplog):
    health = healthy()
    watchdog = Watchdog(health, stall_ms=200)
    for _ in range(5):
        watchdog.fault("engine: gone")
    assert caplog.text.count("FAULT: engine: gone") == 1
    assert health.faults == 1


@pytest.mark.parametrize(
    ("busy_s", "down_s", "alive"),
    [
        pytest.param(0.5, 0.0, True, id="at work"),
        pytest.param(STUCK_S + 1, 0.0, False, id="inference hangs"),
        pytest.param(0.1, DOWN_S - 1, True, id="the engine is being loaded"),
        pytest.param(0.1, DOWN_S + 1, False, id="the engine does not come back"),
    ],
)
def test_systemd_is_to_start_a_new_process_only_where_that_helps(busy_s, down_s, alive):
    watchdog = Watchdog(healthy(), stall_ms=200, engine_down_s=lambda now_ns: down_s)
    watchdog.frame(0)
    watchdog.began(0)
    assert watchdog.alive(int(busy_s * 1e9)) == alive
    watchdog.done(int(busy_s * 1e9))
    assert watchdog.alive(int(1e12)) == (down_s < DOWN_S)  # a lost camera is no reason


def test_the_thread_notices_within_the_stall_and_a_little(caplog):
    caplog.set_level(logging.WARNING)
    health, polled = healthy(), []
    watchdog = Watchdog(health, stall_ms=100, every_poll=lambda now_ns, alive: polled.append(alive))
    thread = threading.Thread(target=watchdog.watch)
    thread.start()
    started = time.monotonic()
    watchdog.frame(time.monotonic_ns())
    while health.healthy() and time.monotonic() - started < 5:
        time.sleep(0.002)
    took_s = time.monotonic() - started
    watchdog.end()
    thread.join(5)
    assert not thread.is_alive()
    assert 0.1 <= took_s < 1.0  # 20 ms later on a machine that is not busy
    assert polled and all(polled)
