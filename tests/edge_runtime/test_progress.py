"""The progress of long work where there is no terminal: few plain lines, each said once."""

from __future__ import annotations

import logging

import pytest

from edge_runtime import progress


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock, moved by hand."""
    time_s = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: time_s[0])
    return time_s


def test_without_a_terminal_a_line_comes_now_and_then_and_the_last_one_once(
    now: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), progress.Progress("epoch 1/2", 4) as line:
        for seconds, values in ((5, "loss 4.0"), (20, "loss 3.0"), (5, "loss 2.0"), (20, "")):
            now[0] += seconds
            line.step(values)
    assert caplog.messages == ["epoch 1/2 2/4  0:25 < 0:25  loss 3.0", "epoch 1/2 4/4  0:50 < 0:00"]


def test_work_that_ends_in_an_error_does_not_claim_its_last_line(
    now: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), pytest.raises(OSError), progress.Progress("epoch 1/2", 4) as line:
        line.step()
        raise OSError
    assert caplog.messages == []


def test_a_process_that_is_not_to_speak_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), progress.Progress("epoch 1/2", 1, shown=False) as line:
        line.step()
    assert caplog.messages == []
