"""The board's sensors over a run: read every second by a thread of its own, kept in bounded memory.

Sensors ──thread, every interval──▶ running figures (every reading) + samples (up to 600) ──result──▶ `board`

Where there would be too many, every second sample is dropped and from then on every second reading kept: a
soak of a day needs no more memory than one of ten minutes. Every reading counts in the summary.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from edge_runtime.board.sensors import Sensors
from edge_runtime.board.summary import Summary
from edge_runtime.jetson import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from edge_runtime.board.sensors import Reading

INTERVAL_S = 1.0
MAX_SAMPLES = 600


class BoardSampler:
    """Made once per measurement: `start`, run, `stop`, `result`; also a context manager.

    Making it looks for the sensors, some 10 ms. `start` and `stop` take a reading each, so two is the least.
    """

    def __init__(
        self, root: Path = ROOT, *, interval_s: float = INTERVAL_S, max_samples: int = MAX_SAMPLES
    ) -> None:
        """`interval_s`: from reading to reading. `max_samples`: how many are kept at most, at least 2."""
        self._sensors = Sensors(root)
        self._interval_s = interval_s
        self._max_samples = max(2, max_samples)
        self._keep_every = 1
        self._taken = 0
        self._samples: list[dict[str, Any]] = []
        self._summary = Summary(self._sensors)
        self._error = ""
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._start_ns = 0

    def start(self) -> None:
        """Take the first reading and go on in a thread. Its time is 0 of `t_s`."""
        self._start_ns = time.monotonic_ns()
        self._take(keep=True)
        self._thread = threading.Thread(target=self._run, name="board sensors", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, take a last reading, close the files. May be called again, or without `start`."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stopping.set()
            thread.join()
            if not self._error:
                self._take(keep=True)
        self._sensors.close()

    def __enter__(self) -> BoardSampler:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def result(self) -> dict[str, Any] | None:
        """`board` of a profile so far (profiling/report.schema.json); None while not one value was read.

        One key more than the schema asks for: `power_rail`, the rails whose sum is `power_w`, or None.
        """
        with self._lock:
            if not any(_has_value(sample) for sample in self._samples):
                return None
            notes = [*self._summary.notes(), *self._sensors.notes()]
            return {
                "interval_s": self._interval_s * self._keep_every,
                "samples": list(self._samples),
                "summary": self._summary.as_dict(),
                "notes": [*([self._error] if self._error else []), *notes],
                "power_rail": " + ".join(self._summary.total) or None,
            }

    def _run(self) -> None:
        try:
            due = 1
            while not self._stopping.wait(max(0.0, due * self._interval_s - self._passed_s())):
                self._take(keep=False)
                due = max(due + 1, int(self._passed_s() / self._interval_s) + 1)  # late: some are skipped
        except Exception as error:  # a board we have never seen must not end the measurement
            with self._lock:
                self._error = f"sampling ended early: {type(error).__name__}: {error}"

    def _passed_s(self) -> float:
        return (time.monotonic_ns() - self._start_ns) * 1e-9

    def _take(self, *, keep: bool) -> None:
        t_s = self._passed_s()
        reading = self._sensors.read()
        with self._lock:
            self._summary.add(t_s, reading)
            if keep or self._taken % self._keep_every == 0:
                self._samples.append(_as_sample(t_s, reading))
            self._taken += 1
            if len(self._samples) >= self._max_samples and not self._stopping.is_set():
                self._samples = self._samples[::2]
                self._keep_every *= 2


def energy(board: dict[str, Any] | None, frames: int, seconds: float) -> dict[str, Any] | None:
    """`energy` of a profile: mean power times the measured `seconds`, per frame; None where power is unknown.

    Includes what the board takes at rest.
    """
    if board is None or board.get("power_rail") is None or frames <= 0:
        return None
    power_w = board["summary"]["power_w"]
    if power_w is None:
        return None
    mj_per_frame = 1e3 * power_w["mean"] * seconds / frames
    return {"rail": board["power_rail"], "mean_w": power_w["mean"], "mj_per_frame": round(mj_per_frame, 3)}


def _as_sample(t_s: float, reading: Reading) -> dict[str, Any]:
    return {
        "t_s": round(t_s, 3),
        "rails_w": {name: round(power_w, 3) for name, power_w in reading.rails_w.items()},
        "temps_c": {name: round(temp_c, 2) for name, temp_c in reading.temps_c.items()},
        "gpu_mhz": _rounded(reading.gpu_mhz, 1),
        "gpu_load": _rounded(reading.gpu_load, 3),
        "emc_mhz": _rounded(reading.emc_mhz, 1),
        "cpu_mhz": [round(mhz, 1) for mhz in reading.cpu_mhz],
        "cooling": reading.cooling,
        "oc_events": sum(reading.counters.values()) if reading.counters else None,
        "rss_bytes": reading.memory.rss,
        "available_bytes": reading.memory.available,
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _has_value(sample: dict[str, Any]) -> bool:
    return any(value not in (None, {}, []) for name, value in sample.items() if name != "t_s")
