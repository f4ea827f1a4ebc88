"""What one reading of a board's sensors costs in CPU time, files kept open and opened anew.

python -m tests.bench.bench_board

The trees are ordinary files: what a board's kernel does to answer comes on top (most of it is waiting for the
I2C bus and the firmware, in which no CPU is busy).
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from edge_runtime.board.sensors import Sensors
from edge_runtime.jetson import ROOT
from tests.edge_runtime.board.recordings import BOARDS, unfold

READINGS = 300


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        for name in BOARDS:
            unfold(name, Path(directory) / name)
            _tell(name, Path(directory) / name)
    _tell("this machine", ROOT)


def _tell(name: str, root: Path) -> None:
    started_ns = time.thread_time_ns()
    sensors = Sensors(root)
    found_ms = (time.thread_time_ns() - started_ns) * 1e-6
    kept, anew = _read_us(sensors, anew=False), _read_us(sensors, anew=True)
    share = kept * 1e-6 * 100  # of a second, in percent
    print(
        f"{name:24} found in {found_ms:4.1f} ms; a reading {kept:4.0f} us, {anew:4.0f} us with files opened",
        end="",
    )
    print(f" anew; one a second: {share:.3f} % of a core")


def _read_us(sensors: Sensors, *, anew: bool) -> float:
    """Median CPU time of this thread for one reading."""
    spent_us = []
    for _ in range(READINGS):
        if anew:
            sensors.close()
        started_ns = time.thread_time_ns()
        sensors.read()
        spent_us.append((time.thread_time_ns() - started_ns) * 1e-3)
    sensors.close()
    return statistics.median(spent_us)


if __name__ == "__main__":
    main()
