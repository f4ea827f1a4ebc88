"""A run's samples, summary and notes; that they fit the report's schema, and what sampling costs."""

from __future__ import annotations

import gc
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import edge_runtime.profiling
from edge_runtime.board import BoardSampler, energy
from edge_runtime.board.sampler import MAX_SAMPLES
from edge_runtime.board.sensors import Sensors
from edge_runtime.board.summary import Range
from tests.edge_runtime.board.recordings import AGX_ORIN, BOARDS, ORIN_NANO, THOR, refuse, unfold

SCHEMA = json.loads((Path(edge_runtime.profiling.__file__).parent / "report.schema.json").read_text())
HWMON, THERMAL = "sys/class/hwmon", "sys/class/thermal"
# As if this were a kernel's file: written in place, so that a file that is open sees it.
GPU = "sys/devices/platform/bus@0/17000000.gpu/devfreq/17000000.gpu"


def check(board: dict[str, Any] | None, part: str = "board") -> None:
    jsonschema.validate(board, {**SCHEMA["properties"][part], "$defs": SCHEMA["$defs"]})


@pytest.fixture
def orin(tmp_path, monkeypatch):
    refuse(monkeypatch, unfold(ORIN_NANO, tmp_path))
    return tmp_path


def open_files() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


class Stepped(BoardSampler):
    """Reads when told, a second later each time, instead of in a thread."""

    def __init__(self, root: Path, **settings: Any) -> None:
        super().__init__(root, **settings)
        self.now_s = -1.0
        self._passed_s = self._step  # type: ignore[method-assign]

    def _step(self) -> float:
        self.now_s += 1.0
        return self.now_s

    def take(self, times: int = 1) -> None:
        for _ in range(times):
            self._take(keep=False)


def put(root: Path, **values: int) -> None:
    """Write values by the names of `PLACES`."""
    for name, value in values.items():
        (root / PLACES[name]).write_text(f"{value}\n")


PLACES = {
    "ma": f"{HWMON}/hwmon1/curr1_input",
    "oc1": f"{HWMON}/hwmon3/oc1_event_cnt",
    "oc3": f"{HWMON}/hwmon3/oc3_event_cnt",
    "alarm": f"{HWMON}/hwmon1/curr1_max_alarm",
    "tj": f"{THERMAL}/thermal_zone8/temp",
    "alert": f"{THERMAL}/cooling_device4/cur_state",
    "gpu_hz": f"{GPU}/cur_freq",
}


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_fits_the_schema(tmp_path, monkeypatch, name):
    refuse(monkeypatch, unfold(name, tmp_path))
    with BoardSampler(tmp_path, interval_s=0.01) as sampler:
        time.sleep(0.05)
    board = sampler.result()
    check(board)
    check(energy(board, 10, 2.0), "energy")


def test_the_summary_tells_first_last_lowest_mean_and_highest(orin):
    sampler = Stepped(orin)
    for ma, tj, gpu_hz in [(2000, 50_000, 1020000000), (1000, 70_000, 918000000), (3000, 60_000, 1020000000)]:
        put(orin, ma=ma, tj=tj, gpu_hz=gpu_hz)
        sampler.take()
    board = sampler.result()
    check(board)
    assert board is not None
    summary = board["summary"]
    assert summary["power_w"] == pytest.approx(
        {"start": 10.032, "end": 15.048, "min": 5.016, "mean": 10.032, "max": 15.048}
    )
    assert summary["temps_c"]["tj"] == {"start": 50, "end": 60, "min": 50, "mean": 60, "max": 70}
    assert summary["gpu_mhz"] == {"start": 1020, "end": 1020, "min": 918, "mean": 986, "max": 1020}
    assert summary["cpu_mhz"]["mean"] == pytest.approx((4 * 1728 + 2 * 1344) / 6)
    assert summary["emc_mhz"]["end"] == 3199
    assert (summary["oc_events"], summary["throttled_s"]) == (0, 0)
    assert [sample["t_s"] for sample in board["samples"]] == [0, 1, 2]
    assert board["samples"][1]["rails_w"]["VDD_IN"] == 5.016
    assert board["samples"][0]["cooling"] == {"pwm-fan": 1}


def test_a_hot_board_with_a_weak_supply_is_told_in_plain_words(orin):
    sampler = Stepped(orin)
    sampler.take()
    put(orin, tj=97_500, alert=1, oc1=2, oc3=31, alarm=1)
    sampler.take()
    put(orin, alarm=0, oc3=33)
    sampler.take()
    put(orin, alert=0)
    sampler.take()
    board = sampler.result()
    check(board)
    assert board is not None
    assert (board["summary"]["oc_events"], board["summary"]["throttled_s"]) == (8, 2)
    assert board["notes"][:5] == [
        "throttled: gpu-throttle-alert 2 s, over-current oc3 2 s, over-current oc1 1 s",
        "over-current events oc1: 2 (under-voltage)",
        "over-current events oc3: 6 (instantaneous over-current)",
        "rail VDD_IN warning current exceeded in 1 of 4 readings",
        "tj reached 97.5 degC; slows down from 99 degC on",
    ]
    assert [sample["cooling"].get("gpu-throttle-alert") for sample in board["samples"]] == [None, 1, 1, None]
    assert [sample["oc_events"] for sample in board["samples"]] == [27, 33, 35, 35]


def test_a_day_keeps_few_samples_and_counts_every_reading(orin):
    sampler = Stepped(orin, max_samples=10)
    for number in range(200):
        put(orin, alert=number % 2, ma=number * 10)
        sampler.take()
    board = sampler.result()
    assert board is not None
    times = [sample["t_s"] for sample in board["samples"]]
    assert times == [0, 32, 64, 96, 128, 160, 192]
    assert board["interval_s"] == 32
    assert board["summary"]["throttled_s"] == 100
    assert board["summary"]["power_w"]["mean"] == pytest.approx(5.016 * 0.995, abs=1e-3)


def test_sensors_that_vanish_meanwhile_are_left_out_and_noted(orin, monkeypatch):
    sampler = Stepped(orin)
    sampler.take(2)
    for name in ("ma", "tj", "gpu_hz"):
        (orin / PLACES[name]).write_text("")
    sampler.take(2)
    board = sampler.result()
    check(board)
    assert board is not None
    last = board["samples"][-1]
    assert "VDD_IN" not in last["rails_w"] and "tj" not in last["temps_c"] and last["gpu_mhz"] is None
    assert board["summary"]["power_w"]["mean"] == pytest.approx(9.55, abs=1e-3)
    assert "rail VDD_IN: 2 of 4 readings failed (holds no number but 'nothing')" in board["notes"]


@pytest.mark.parametrize(
    ("name", "rail", "mean_w"),
    [
        pytest.param(ORIN_NANO, "VDD_IN", 9.550, id="one rail"),
        pytest.param(AGX_ORIN, "VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0", 17.5, id="a sum of rails"),
        pytest.param(THOR, "VIN", 29.5, id="the carrier board's input"),
    ],
)
def test_energy_is_mean_power_times_time_per_frame(tmp_path, name, rail, mean_w):
    unfold(name, tmp_path)
    sampler = Stepped(tmp_path)
    sampler.take(3)
    told = energy(sampler.result(), 200, 10.0)
    check(told, "energy")
    assert told == {"rail": rail, "mean_w": mean_w, "mj_per_frame": pytest.approx(mean_w * 50, abs=0.05)}
    assert energy(sampler.result(), 0, 10.0) is None
    assert energy(None, 200, 10.0) is None


def test_rails_none_of_which_is_the_whole_give_no_energy(orin):
    (orin / HWMON / "hwmon1/in1_label").write_text("VDD_OTHER\n")
    sampler = Stepped(orin)
    sampler.take()
    board = sampler.result()
    assert board is not None
    assert (board["summary"]["power_w"], board["power_rail"], energy(board, 9, 1.0)) == (None, None, None)
    assert board["notes"][0] == (
        "power of the whole: none of the rails VDD_CPU_GPU_CV, VDD_OTHER, VDD_SOC is known to measure it"
    )


def test_the_thread_reads_at_its_interval_and_ends_with_a_last_reading(orin):
    before = threading.active_count()
    files = open_files()
    with BoardSampler(orin, interval_s=0.05) as sampler:
        time.sleep(0.33)
    sampler.stop()
    board = sampler.result()
    assert board is not None
    times = [sample["t_s"] for sample in board["samples"]]
    assert 3 <= len(times) <= times[-1] / 0.05 + 2  # a busy machine skips some
    assert times == sorted(times) and times[-1] - times[0] >= 0.33
    assert threading.active_count() == before
    assert open_files() == files


def test_an_error_of_ours_ends_the_sampling_and_not_the_run(orin, monkeypatch):
    sampler = BoardSampler(orin, interval_s=0.01)
    sampler.start()

    def breaks(_: Sensors) -> None:
        raise KeyError("never seen such a board")

    monkeypatch.setattr(Sensors, "read", breaks)
    sampler._thread.join(10)  # type: ignore[union-attr]
    sampler.stop()
    board = sampler.result()
    check(board)
    assert board is not None
    assert board["notes"][0] == "sampling ended early: KeyError: 'never seen such a board'"


def test_before_the_start_there_is_nothing_to_tell_or_to_stop(orin):
    sampler = BoardSampler(orin)
    sampler.stop()
    assert sampler.result() is None


def test_a_range_of_nothing_is_none():
    figures = Range()
    figures.add(None)
    assert figures.as_dict() is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_this_machine_tells_the_memory_of_this_process():
    with BoardSampler(interval_s=10) as sampler:
        pass
    board = sampler.result()
    check(board)
    assert board is not None
    assert 5e6 < board["summary"]["rss_bytes"]["end"] < 50e9
    assert board["samples"][0]["available_bytes"] > 1e6


def test_a_reading_takes_less_than_a_millisecond_of_a_core(orin):
    """0.1 % of a core at one a second; what a board's kernel does to answer comes on top."""
    sampler = Stepped(orin)
    sampler.take(20)
    spent_ms = []
    for _ in range(100):
        started_ns = time.thread_time_ns()
        sampler.take()
        spent_ms.append((time.thread_time_ns() - started_ns) * 1e-6)
    assert sorted(spent_ms)[50] < 1.0


def test_memory_is_bounded_by_the_number_of_samples(orin):
    sampler = Stepped(orin)
    sampler.take(MAX_SAMPLES * 4 + 1)
    board = sampler.result()
    assert board is not None
    assert MAX_SAMPLES // 2 <= len(board["samples"]) <= MAX_SAMPLES
    assert len(json.dumps(board)) < 500_000


@pytest.mark.parametrize("started", [True, False])
def test_no_file_stays_open_whether_it_was_started_or_not(orin, started):
    gc.collect()  # what tests before this one have left
    before = open_files()
    sampler = BoardSampler(orin)
    if started:
        sampler.start()
    sampler.stop()
    assert open_files() == before


def test_sensors_that_are_forgotten_leave_no_file_open(orin):
    gc.collect()
    before = open_files()
    sensors = Sensors(orin)
    sensors.read()
    assert len(open_files()) > len(before)
    del sensors
    gc.collect()
    assert open_files() == before
