"""Speed of the int8 file for CPUs against the fp32 file beside it: single inferences, in turn, one process.

python -m tests.bench.bench_int8 MODEL_DIR
"""

from __future__ import annotations

import sys
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.backends.onnx_cpu import OnnxCpu
from edge_runtime.modelfile import find_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROUNDS = 80


def main() -> None:
    """Print least and median wall time of both, and their ratio, for one thread and two."""
    paths = find_model(sys.argv[1], "fp32"), find_model(sys.argv[1], "int8")
    print(" against ".join(path.name for path in paths))
    for threads in (1, 2):
        backends = [OnnxCpu(path, threads) for path in paths]
        contract = backends[0].contract
        size = (1, contract.input_height, contract.input_width, 3)
        frame = np.random.default_rng(0).integers(0, 256, size, np.uint8)
        times = np.array([[_once(backend, frame) for backend in backends] for _ in range(ROUNDS)]) * 1e3
        for name, (fp32, int8) in {"least": times.min(0), "median": np.median(times, axis=0)}.items():
            print(f"{threads} thread(s), {name}: {fp32:.1f} -> {int8:.1f} ms, {fp32 / int8:.2f} x")


def _once(backend: OnnxCpu, frame: NDArray[np.uint8]) -> float:
    start = perf_counter()
    backend.infer(frame)
    return perf_counter() - start


if __name__ == "__main__":
    main()
