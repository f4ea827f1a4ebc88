"""Laps: spans that follow one another without a gap, and nothing at all for nobody."""

from __future__ import annotations

import time

from edge_runtime.laps import Laps


class Heard(list):
    def span(self, *span):
        self.append(span)


def test_spans_follow_one_another_without_a_gap():
    heard = Heard()
    laps = Laps("inference", heard)
    began_ns = laps.begin(7)
    first_ns = laps.lap("pre")
    second_ns = laps.lap("infer")
    assert [span[:3] for span in heard] == [("pre", "inference", 7), ("infer", "inference", 7)]
    assert [(span[3], span[3] + span[4]) for span in heard] == [(began_ns, first_ns), (first_ns, second_ns)]


def test_cpu_time_is_that_of_work_and_not_of_waiting():
    heard = Heard()
    laps = Laps("inference", heard)
    laps.begin()
    time.sleep(0.05)
    laps.lap("asleep")
    until_ns = time.thread_time_ns() + 20_000_000
    while time.thread_time_ns() < until_ns:
        pass
    laps.lap("at work")
    asleep_ns, work_ns = (span[5] for span in heard)
    assert asleep_ns < 10_000_000
    assert 20_000_000 <= work_ns < 30_000_000


def test_a_frame_number_may_come_late_and_a_gap_belongs_to_no_thread():
    heard = Heard()
    laps = Laps("capture", heard)
    laps.begin()
    laps.lap("capture", frame=3)
    laps.between("wait", 100, 250)
    laps.between("wait", 250, 100)
    assert heard[0][2] == 3
    assert heard[1:] == [("wait", "", 3, 100, 150, None), ("wait", "", 3, 250, 0, None)]


def test_without_an_observer_only_the_clock_is_read():
    laps = Laps("inference")
    assert laps.begin(1) <= laps.lap("pre") <= time.monotonic_ns()
    laps.between("wait", 0, 1)
