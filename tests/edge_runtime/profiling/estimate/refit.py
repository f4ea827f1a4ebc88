"""Where the constants of `roofline.FITTED` come from: least squares of log(predicted / published)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.profiling.estimate.roofline import FITTED, Efficiency, predict
from tests.edge_runtime.profiling.estimate.published import network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tests.edge_runtime.profiling.estimate.published import Case

NAMES = ("fp32", "fp16", "int8", "bandwidth", "launch_cycles", "int8_value_bytes")
START = Efficiency(0.5, 0.5, 0.5, 0.5, 10000.0, 1.5)


def errors(efficiency: Efficiency, cases: Sequence[Case]) -> NDArray[np.float64]:
    """log(predicted / published) of each case."""
    found = []
    for case in cases:
        prediction = predict(network(case.network), case.board, case.precision, efficiency)
        assert prediction is not None
        found.append(np.log(prediction.expected_ms / case.ms))
    return np.array(found)


def refit(cases: Sequence[Case], start: Efficiency = START, steps: int = 30) -> Efficiency:
    """Gauss-Newton on the logarithms of the constants, damped; those no case speaks of keep their start."""
    values = np.log([getattr(start, name) for name in NAMES])
    damping = 1e-2
    now = errors(_made(values), cases)
    for _ in range(steps):
        slopes = np.stack(
            [(errors(_made(values + step), cases) - now) / 1e-4 for step in np.eye(6) * 1e-4], 1
        )
        change = np.linalg.solve(slopes.T @ slopes + damping * np.eye(6), -slopes.T @ now)
        then = errors(_made(values + change), cases)
        if then @ then < now @ now:
            values, now, damping = values + change, then, damping / 5
        else:
            damping *= 5
        if np.abs(change).max() < 1e-4:
            break
    return _made(values)


def left_out(cases: Sequence[Case]) -> dict[str, NDArray[np.float64]]:
    """Per board: predicted / published of its cases by constants fitted to the other boards alone.

    fp32 has one case only and keeps its fitted constant throughout.
    """
    found = {}
    for board in dict.fromkeys(case.board for case in cases):
        others = [case for case in cases if case.board != board]
        start = Efficiency(FITTED.fp32, *(getattr(START, name) for name in NAMES[1:]))
        mine = [case for case in cases if case.board == board and case.precision != "fp32"]
        found[board.name] = np.exp(errors(refit(others, start), mine))
    return found


def _made(logarithms: NDArray[np.float64]) -> Efficiency:
    return Efficiency(*(float(value) for value in np.exp(logarithms)))
