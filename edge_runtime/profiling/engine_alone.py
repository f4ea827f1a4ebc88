"""The network by itself: the same few pictures again and again, nothing else in between."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_runtime.laps import Laps

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from edge_runtime.backends.base import Backend
    from edge_runtime.profiling.meter import Meter

PICTURES = 8
PARTS = ("h2d", "compute", "d2h")
RUNS_IN_PARTS = 30
RUNS_OF_LAYERS = 30


def measure_engine(
    backend: Backend,
    meter: Meter,
    *,
    count: int | None,
    seconds: float | None,
    stop_wanted: Callable[[], bool],
) -> None:
    """Run until `count` inferences are measured or `seconds` are over; `meter` judges the stage `total`."""
    pictures = made_pictures(backend)
    laps = Laps("main", meter)
    infer = backend.infer
    deadline_s: float | None = None
    for number in itertools.count():
        picture = pictures[number % PICTURES]
        laps.begin(number)
        infer(picture)
        laps.lap("total")
        if count is not None and meter.frames >= count:
            break
        if seconds is not None and meter.begin_ns is not None:
            deadline_s = deadline_s or time.monotonic() + seconds
            if time.monotonic() >= deadline_s:
                break
        if stop_wanted():
            break
    meter.finish()
    parts_of = getattr(backend, "parts_ns", None)
    if parts_of is None or not meter.frames or stop_wanted():
        return
    for number in range(RUNS_IN_PARTS):
        started_ns = time.monotonic_ns()
        for name, duration_ns in parts_of(pictures[number % PICTURES]).items():
            meter.span(name, "main", number, started_ns, duration_ns, None)
            started_ns += duration_ns


def measure_layers(backend: Backend) -> dict[str, Any] | None:
    """`layers` of the report's schema; None where the backend cannot tell."""
    times_of = getattr(backend, "layer_times", None)
    if times_of is None:
        return None
    by, layers = times_of(made_pictures(backend)[0], RUNS_OF_LAYERS)
    total_ms = sum(layer.mean_ms for layer in layers)
    kinds: dict[str, list[float]] = {}
    for layer in layers:
        kinds.setdefault(layer.kind, []).append(layer.mean_ms)
    return {
        "by": by,
        "runs": RUNS_OF_LAYERS,
        "total_ms": round(total_ms, 5),
        "layers": [
            {**layer._asdict(), "mean_ms": round(layer.mean_ms, 6), "share": _share(layer.mean_ms, total_ms)}
            for layer in sorted(layers, key=lambda layer: -layer.mean_ms)
        ],
        "kinds": [
            {
                "kind": kind,
                "count": len(each),
                "mean_ms": round(sum(each), 6),
                "share": _share(sum(each), total_ms),
            }
            for kind, each in sorted(kinds.items(), key=lambda item: -sum(item[1]))
        ],
    }


def made_pictures(backend: Backend) -> NDArray[np.uint8]:
    """(PICTURES, batch, H, W, 3) uint8 noise at the network's input size; always the same."""
    contract = backend.contract
    shape = (PICTURES, contract.batch, contract.input_height, contract.input_width, 3)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def _share(part: float, total: float) -> float:
    return round(part / total, 6) if total else 0.0
