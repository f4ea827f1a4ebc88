"""How large the values inside a network get: one histogram per tensor over all frames, in one pass.

fp32 ModelProto + tensor names + frames ──ONNX Runtime, tensors as extra outputs──▶ {tensor: Histogram}
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from calibration.graph import prepared
from edge_runtime.contract import INPUT_NAME
from edge_runtime.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from numpy.typing import NDArray
    from onnx import ModelProto

BINS = 4096
CHUNK = 1 << 16  # values binned at a time: what is computed on them stays in the cache
NARROWEST = 2.0**-100  # bin width to start from; a tensor of zeros keeps it


@dataclass(frozen=True)
class Histogram:
    """Magnitudes of all values of a tensor.

    Attributes:
        counts: (BINS,) int64; bin i counts values with i * width <= |x| < (i + 1) * width.
        width: a power of two, the smallest with which all values fit into BINS bins.
        low, high: smallest and largest value, signed.
    """

    counts: NDArray[np.int64]
    width: float
    low: float
    high: float

    @property
    def amax(self) -> float:
        """Largest magnitude, exact."""
        return max(-self.low, self.high)

    @property
    def total(self) -> int:
        """How many values were seen."""
        return int(self.counts.sum())


def collect(
    model: ModelProto,
    tensors: Collection[str],
    frames: Iterable[NDArray[np.uint8]],
    *,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Histogram]:
    """Run the fp32 model on all frames once and count the values of each tensor.

    Args:
        tensors: float tensors the graph computes, `Placement.tensors` for instance.
        frames: (1, H, W, 3) uint8 BGR each, at the network's input size; read one after the other.
        threads: of ONNX Runtime; None leaves the number to it.
        progress: called with (frames done, frames in all) after each frame; all is 0 where unknown.

    Raises:
        ModelError: a tensor the graph does not compute, a frame of another size, values that are not
            finite, or no frame at all.
    """
    names = list(dict.fromkeys(tensors))
    session = _observing_session(model, names, threads)
    growing = {name: GrowingHistogram() for name in names}
    total, done = operator.length_hint(frames), 0
    for batch, count in _batches(frames, session.get_inputs()[0].shape):
        for name, values in zip(names, session.run(names, {INPUT_NAME: batch}), strict=True):
            try:
                growing[name].add(values[:count])
            except FloatingPointError as error:
                raise ModelError(
                    f"tensor {name!r} takes the value {error} on frame {done}; the network is not usable, "
                    "train it again"
                ) from error
        done += count
        if progress is not None:
            progress(done, total)
    if done == 0:
        raise ModelError("calibration needs at least one frame, got none")
    return {name: histogram.frozen() for name, histogram in growing.items()}


class GrowingHistogram:
    """Counts magnitudes in bins that widen by powers of two, so that earlier counts merge without loss."""

    def __init__(self) -> None:
        self._counts = np.zeros(BINS, np.int64)
        self._width = NARROWEST
        self._low, self._high = np.inf, -np.inf

    def add(self, values: NDArray[np.float32]) -> None:
        """Count all values of an array of any shape.

        Raises:
            FloatingPointError: a value is infinite or not a number; its text is that value.
        """
        low, high = float(values.min()), float(values.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise FloatingPointError(low if not np.isfinite(low) else high)
        self._low, self._high = min(self._low, low), max(self._high, high)
        self._make_room(max(-low, high))
        per_width = np.float32(1 / self._width)
        flat = values.reshape(-1)
        buffer = np.empty(min(CHUNK, flat.size), np.float32)
        for start in range(0, flat.size, CHUNK):
            part = flat[start : start + CHUNK]
            scaled = np.abs(part, out=buffer[: part.size])
            scaled *= per_width  # exact: a power of two
            self._counts += np.bincount(scaled.astype(np.intp), minlength=BINS)

    def frozen(self) -> Histogram:
        return Histogram(self._counts.copy(), self._width, self._low, self._high)

    def _make_room(self, largest: float) -> None:
        while largest >= BINS * self._width:
            merged = self._counts.reshape(-1, 2).sum(axis=1)
            self._counts = np.concatenate([merged, np.zeros(BINS - merged.size, np.int64)])
            self._width *= 2


def _observing_session(model: ModelProto, names: list[str], threads: int | None) -> Any:
    observed = prepared(model)
    made = {name for node in observed.graph.node for name in node.output}
    unknown = [name for name in names if name not in made]
    if unknown or not names:
        missing = repr(unknown[0]) if unknown else "any of the tensors asked for"
        raise ModelError(f"the graph does not compute {missing}; calibrate this model anew")
    del observed.graph.output[:]
    for name in names:
        observed.graph.output.add().name = name
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads is not None:
        options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(
        observed.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _batches(
    frames: Iterable[NDArray[np.uint8]], shape: list[int]
) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Frames in the model's batch size, the last batch filled up; with how many of each are real."""
    waiting: list[NDArray[np.uint8]] = []
    for frame in frames:
        if frame.shape != (1, *shape[1:]) or frame.dtype != np.uint8:
            raise ModelError(
                f"calibration frame of shape {frame.shape} {frame.dtype}, expected {(1, *shape[1:])} uint8"
            )
        waiting.append(frame)
        if len(waiting) == shape[0]:
            yield np.concatenate(waiting), len(waiting)
            waiting = []
    if waiting:
        filled = [*waiting, *[waiting[-1]] * (shape[0] - len(waiting))]
        yield np.concatenate(filled), len(waiting)
