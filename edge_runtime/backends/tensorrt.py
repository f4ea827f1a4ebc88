"""TensorRT on an NVIDIA GPU: Jetson boards and cards; `tensorrt` 8.5 and newer, or `tensorrt_rtx`.

frames ─▶ page-locked input ─▶ (copy) ─▶ engine, one CUDA graph where it can be captured ─▶ outputs, copied

What is opened is closed in the opposite order: graph, execution context, engine, runtime, buffers, stream,
CUDA context. Any thread may call `infer` and `close`, one at a time: the CUDA context is current only inside.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from time import monotonic_ns
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.backends.cuda import PycudaGpu
from edge_runtime.backends.trtengine import TrtEngine
from edge_runtime.contract import CLASS_NAME, INPUT_NAME, MAP_NAME
from edge_runtime.engines import plan as engines
from edge_runtime.engines.trt import complaints, log_of
from edge_runtime.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_runtime.backends.base import LayerTime
    from edge_runtime.backends.gpu import Buffer, Gpu, Graph
    from edge_runtime.contract import ModelContract
    from edge_runtime.engines.trt import LogLine, TensorRT

log = logging.getLogger(__name__)

GRAPH_TOLERANCE = 1e-2  # a graph that differs by more from the plain run has captured something else


def open_tensorrt(
    path: Path,
    contract: ModelContract,
    trt: TensorRT,
    engine_dir: Path | None,
    dla_core: int | None = None,
) -> TensorRtBackend:
    """Open a model on the first GPU; its engine is built first when there is none that fits.

    Raises:
        EngineError: no GPU, no memory, or TensorRT cannot build, load or run the model.
        MissingExtra: pycuda is not installed.
    """
    gpu, options = PycudaGpu(), engines.EngineOptions(dla_core=dla_core)

    def plan(distrust: str | None) -> bytes:
        facts = engines.GpuFacts(
            name=gpu.info.name,
            compute_capability=gpu.info.compute_capability,
            platform=engines.platform_release(),
            free_bytes=gpu.free_bytes(),
        )
        return engines.plan_for(path, contract, engine_dir, facts, options, trt=trt, distrust=distrust)

    return TensorRtBackend(path, contract, trt, gpu, plan)


class TensorRtBackend:
    """A `Backend`. Opening it has checked the engine's inputs and outputs and run it."""

    def __init__(
        self,
        path: Path,
        contract: ModelContract,
        trt: TensorRT,
        gpu: Gpu,
        plan: Callable[[str | None], bytes],
    ) -> None:
        """`gpu` is closed with the backend, also when opening fails. `plan` gives the serialized engine; when
        TensorRT refuses that one, it is told so and gives another.
        """
        self._label = trt.label
        self.name = trt.label.replace(" ", "-")
        self.threads: int | None = None
        self.path, self.contract = path, contract
        self._gpu = gpu
        self._log = log_of(trt.module)
        self._busy = threading.Lock()
        self._closed = False
        self._parts: list[tuple[str, Callable[[], None]]] = []  # in the order of opening
        self._engine = TrtEngine(path, trt.module, self._log.native)
        self._graph: Graph | None = None
        try:
            with self._using("cannot be opened") as lines:
                self._open(plan, lines)
                self._try_once(lines)
        except BaseException:
            self.close()
            raise

    def infer(self, frames_u8: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `Backend.infer`; runs in chunks of the contract's batch, the last one padded."""
        count, batch = len(frames_u8), self.contract.batch
        maps = np.empty((count, self.contract.input_height, self.contract.input_width), np.float32)
        class_probs = np.empty((count, len(self.contract.classes)), np.float32)
        with self._using("inference failed") as lines:
            for start in range(0, count, batch):
                chunk = frames_u8[start : start + batch]
                self._fill(chunk)
                self._run(lines)
                maps[start : start + batch] = self._map.host[: len(chunk), 0]
                class_probs[start : start + batch] = self._probs.host[: len(chunk)]
        return maps, class_probs

    def parts_ns(self, frames_u8: NDArray[np.uint8]) -> dict[str, int]:
        """See `Inspectable.parts_ns`: without the graph, one batch of frames."""
        times: dict[str, int] = {}
        with self._using("inference failed") as lines:
            self._fill(frames_u8[: self.contract.batch])
            parts: dict[str, Callable[[], None]] = {
                "h2d": self._input.to_device,
                "compute": lambda: self._engine.enqueue(self._stream.handle, lines),
                "d2h": self._fetch,
            }
            for name, part in parts.items():
                started_ns = monotonic_ns()
                part()
                self._stream.synchronize()
                times[name] = monotonic_ns() - started_ns
        return times

    def layer_times(self, frames_u8: NDArray[np.uint8], runs: int) -> tuple[str, list[LayerTime]]:
        """See `Inspectable.layer_times`; one batch of frames."""
        with self._using("inference failed") as lines:
            self._fill(frames_u8[: self.contract.batch])
            self._input.to_device()
            times = self._engine.layer_times(self._buffers, self._stream, runs, lines)
        return self._label, times

    def close(self) -> None:
        """Release everything; once is enough, more does no harm.

        Raises:
            EngineError: another thread is inside `infer`; nothing was closed.
        """
        with self._alone():
            if self._closed:
                return
            self._closed = True
            with self._quietly("CUDA context"), self._gpu.current():
                for name, close in reversed(self._parts):
                    with self._quietly(name):
                        close()
            self._parts.clear()
            with self._quietly("CUDA context"):
                self._gpu.close()

    def _open(self, plan: Callable[[str | None], bytes], lines: list[LogLine]) -> None:
        contract = self.contract
        n, h, w = contract.batch, contract.input_height, contract.input_width
        self._stream = self._gpu.open_stream()
        self._parts.append(("stream", self._stream.close))
        self._input = self._buffer((n, h, w, 3), np.uint8)
        self._map = self._buffer((n, 1, h, w), np.float32)
        self._probs = self._buffer((n, len(contract.classes)), np.float32)
        self._buffers = {INPUT_NAME: self._input, MAP_NAME: self._map, CLASS_NAME: self._probs}
        self._parts.append(("engine", self._engine.close))
        self._engine.load(plan, lines)
        self._engine.check_ports(self._buffers)
        self._engine.connect(self._buffers, lines)

    def _buffer(self, shape: tuple[int, ...], dtype: type[np.generic]) -> Buffer:
        buffer = self._gpu.allocate(shape, dtype, self._stream)
        self._parts.append(("buffer", buffer.close))
        return buffer

    def _try_once(self, lines: list[LogLine]) -> None:
        """The first run allocates and can fail: better before a camera is opened than in flight."""
        noise = np.random.default_rng(0).integers(0, 256, self._input.host.shape, np.uint8)
        self._fill(noise)
        self._run(lines)
        first = self._map.host.copy(), self._probs.host.copy()
        if not all(np.isfinite(values).all() for values in first):
            raise EngineError(
                f"{self.path}: the engine gives values that are not finite; export with --precision fp32"
            )
        self._graph = self._capture(lines)
        if self._graph is None:
            return
        self._parts.append(("graph", self._graph.close))
        self._map.host[:], self._probs.host[:] = -1.0, -1.0
        self._run(lines)
        again = self._map.host, self._probs.host
        if not all(np.allclose(a, b, atol=GRAPH_TOLERANCE) for a, b in zip(first, again)):
            log.debug("%s: the CUDA graph gives something else than the plain run: not used", self.path)
            self._graph = None

    def _capture(self, lines: list[LogLine]) -> Graph | None:
        """The run as a graph; None where it cannot be captured, which costs some CPU time per frame."""
        failures: tuple[type[Exception], ...] = (*self._gpu.errors, EngineError)
        try:
            return self._stream.capture(lambda: self._enqueue(lines))
        except failures as error:
            log.debug("%s: runs without a CUDA graph: %s", self.path, error)
        # The CUDA runtime inside TensorRT may hold the error of the capture and report it once more.
        with contextlib.suppress(*failures):
            self._run(lines)
        self._run(lines)
        return None

    def _fill(self, frames_u8: NDArray[np.uint8]) -> None:
        np.copyto(self._input.host[: len(frames_u8)], frames_u8, casting="no")
        self._input.host[len(frames_u8) :] = frames_u8[-1]

    def _run(self, lines: list[LogLine]) -> None:
        if self._graph is None:
            self._enqueue(lines)
        else:
            self._graph.launch()
        self._stream.synchronize()

    def _enqueue(self, lines: list[LogLine]) -> None:
        self._input.to_device()
        self._engine.enqueue(self._stream.handle, lines)
        self._fetch()

    def _fetch(self) -> None:
        self._map.to_host()
        self._probs.to_host()

    @contextlib.contextmanager
    def _using(self, failure: str) -> Iterator[list[LogLine]]:
        """The CUDA context, and what TensorRT says meanwhile; an error of CUDA becomes an `EngineError`."""
        with self._alone(), self._log.collecting() as lines:
            try:
                with self._gpu.current():
                    yield lines
            except self._gpu.errors as error:
                where = f"{self.path}: {failure} on {self._gpu.info.name}"
                raise EngineError(f"{where}: {_first_line(error)}{complaints(lines)}") from error

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._busy.acquire(blocking=False):
            raise EngineError(f"{self.path}: another thread is using this backend; one at a time may")
        try:
            yield
        finally:
            self._busy.release()

    @contextlib.contextmanager
    def _quietly(self, name: str) -> Iterator[None]:
        """After an error in flight closing fails, too: that must not hide the error."""
        try:
            yield
        except self._gpu.errors as error:
            log.debug("%s: closing the %s: %s", self.path, name, error)


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
