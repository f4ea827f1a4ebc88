"""What this machine can do for `dips-edge run`, what is missing, and what to do about it.

Machine ──examine──▶ Rows, one per fact      Rows ──run_works──▶ can a model run here at all?

Each subject is a file with a function `rows(machine)`; all are asked at the same time, and none can crash or
hang the others: what may, runs in a process of its own with a time limit.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from edge_runtime.doctor import board, cameras, gpu, packages, resources, sensors
from edge_runtime.doctor.machine import Machine, Row

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Machine", "Row", "examine", "run_works"]

SUBJECTS: dict[str, Callable[[Machine], list[Row]]] = {
    "software": packages.rows,
    "GPU": gpu.rows,
    "board": board.rows,
    "sensors": sensors.rows,
    "cameras": cameras.rows,
    "resources": resources.rows,
    "extras": packages.extras,
}


def examine(machine: Machine) -> dict[str, list[Row]]:
    """All rows by subject, in a fixed order."""
    with ThreadPoolExecutor(len(SUBJECTS)) as pool:
        asked = {name: pool.submit(_ask, name, rows, machine) for name, rows in SUBJECTS.items()}
    return {name: future.result() for name, future in asked.items()}


def run_works(examined: dict[str, list[Row]]) -> bool:
    """Whether `run` can process a frame: OpenCV, and onnxruntime or all of TensorRT, pycuda and a GPU."""
    ok = {row.name for rows in examined.values() for row in rows if row.state == "ok"}
    tensorrt = bool(ok & {packages.TENSORRT, packages.TENSORRT_RTX}) and {packages.PYCUDA, gpu.GPU} <= ok
    return packages.OPENCV in ok and (packages.ONNXRUNTIME in ok or tensorrt)


def _ask(name: str, rows: Callable[[Machine], list[Row]], machine: Machine) -> list[Row]:
    try:
        return rows(machine)
    except Exception as error:  # a board we have never seen must not take the rest of the answers away
        return [Row(name, "problem", f"could not be examined: {type(error).__name__}: {error}")]
