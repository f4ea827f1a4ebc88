"""Published latencies of Orin boards, and the work of the networks they were measured with.

`published_layers.csv` holds nothing but counts: per network and kind of layer its FLOPs, weights, values read
and written, and how many there are, as `layers.py` counts them in the ONNX files that ultralytics 8.3.51
exports (640 x 640, batch 1, random weights, shapes folded by onnxsim). `python -m tests.bench.bench_estimate
FILE.onnx` prints these rows of any file.
"""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.profiling.estimate.boards import Board, find_board
from edge_runtime.profiling.estimate.layers import Layer, Network

if TYPE_CHECKING:
    from collections.abc import Iterable

FILE = Path(__file__).parent / "published_layers.csv"
COLUMNS = ("network", "count", "op", "flops", "weights", "reads", "writes")
GFLOPS = {"yolo11n": 6.5, "yolo11s": 21.5, "yolo11m": 68.0, "yolo11l": 86.9, "yolo11x": 194.9, "yolov8n": 8.7}
MPARAMS = {"yolo11n": 2.6, "yolo11s": 9.4, "yolo11m": 20.1, "yolo11l": 25.3, "yolo11x": 56.9, "yolov8n": 3.2}

# ms of the network call, FP16 then INT8, YOLO11 n s m l x: ultralytics docs/en/guides/nvidia-jetson.md
# at 01007503 and 75231dff (Orin Nano Super: JetPack 6.1; Orin NX: 6.0, not Super).
_YOLO11 = {
    "orin-nano-8gb-super": "4.91 3.91  7.30 5.25  13.99 9.58  17.57 12.37  32.94 20.72",
    "orin-nx-16gb": "4.85 4.37  7.55 5.63  14.45 10.19  18.53 13.36  35.99 22.32",
    "agx-orin-64gb": "2.60 2.45  3.68 3.01  6.79 5.12  8.11 6.60  13.66 9.78",
}
# GPU time in MAXN_SUPER, L4T 36.4.7, TensorRT 10.3: hokwangchoi/jetson-orin-nano-benchmarks,
# yolov8_20260414_223810.json.
_YOLOV8N = {"fp32": 8.36, "fp16": 4.43, "int8": 3.49}


@dataclass(frozen=True)
class Case:
    """One published latency."""

    board: Board
    network: str
    precision: str
    ms: float


def cases() -> tuple[Case, ...]:
    """All 33, board by board."""
    found = []
    for key, line in _YOLO11.items():
        numbers = iter(line.split())
        found += [
            Case(find_board(key), f"yolo11{size}", precision, float(next(numbers)))
            for size in "nsmlx"
            for precision in ("fp16", "int8")
        ]
    nano = find_board("orin-nano-8gb-super")
    return (*found, *(Case(nano, "yolov8n", precision, ms) for precision, ms in _YOLOV8N.items()))


@lru_cache
def network(name: str) -> Network:
    """The layers of one network, equal ones beside each other; memory between layers is not recorded."""
    layers = []
    with FILE.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if row["network"] == name:
                work = (int(row[column]) for column in COLUMNS[3:])
                layers += [Layer(row["op"], row["op"], *work)] * int(row["count"])
    return Network(tuple(layers), peak_values=0)


def rows(name: str, layers: Iterable[Layer]) -> list[tuple[str | int, ...]]:
    """The rows of the file for one network, biggest first."""
    kinds = Counter((layer.op, layer.flops, layer.weights, layer.reads, layer.writes) for layer in layers)
    ordered = sorted(kinds.items(), key=lambda kind: (-kind[0][1], -kind[0][3], kind[0][0]))
    return [(name, count, *kind) for kind, count in ordered]
