"""A recorder in the place of CUDA and TensorRT: no GPU, no kernels, only the calls in their order.

It is honest about the few rules our code relies on, and fails where real CUDA would: calls without a current
context, freed memory, one stream capture at a time, addresses TensorRT was never given. Its "network" is the
brightness of the frame, computed on the host when the recorded work runs. It proves order, sizes and error
paths, nothing about speed or real devices.
"""

from __future__ import annotations

import contextlib
import threading
from enum import Enum
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Dict, Tuple

import numpy as np

from edge_runtime.engines.trt import TensorRT
from edge_runtime.nvidia import GpuInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ORIN = GpuInfo("Orin", "8.7", 8 << 30, integrated=True, cuda="12.6")
CARD = GpuInfo("A card", "8.9", 24 << 30, integrated=False, cuda="12.8")
PLAN = b"a plan"
LAYERS = {  # ms
    "/net/conv1/Conv + /net/act/Relu": 0.5,
    "Reformatting CopyNode for Input Tensor 0": 0.1,
    "/Sigmoid_2": 0.2,
}


class FakeCudaError(Exception):
    """What the recorder raises where pycuda would raise its `Error`."""


class Recorder:
    """Calls in order, memory by address, and what is to go wrong: `fails` maps a call to its error."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.memory: dict[int, np.ndarray] = {}
        self.fails: dict[str, Exception] = {}
        self.current_in: int | None = None  # thread that has the context
        self.capturing: list[Callable[[], None]] | None = None
        self.waiting: list[Callable[[], None]] = []  # queued on the stream

    def note(self, call: str, *, needs_context: bool = True) -> None:
        self.calls.append(call)
        if needs_context and self.current_in != threading.get_ident():
            raise FakeCudaError(f"{call}: no context is current in this thread")
        if call in self.fails:
            raise self.fails[call]

    def gone(self, what: str) -> None:
        """A TensorRT object was destroyed: with its last reference, so nothing can be raised here."""
        right = self.current_in == threading.get_ident()
        self.calls.append(f"close {what}" if right else f"close {what} without a context")

    def queue(self, work: Callable[[], None]) -> None:
        (self.waiting if self.capturing is None else self.capturing).append(work)

    def since(self, call: str) -> list[str]:
        """Calls after the last `call`."""
        return self.calls[len(self.calls) - self.calls[::-1].index(call) :]


class FakeGpu:
    def __init__(self, recorder: Recorder, info: GpuInfo = ORIN) -> None:
        self.info = info
        self.errors: tuple[type[Exception], ...] = (FakeCudaError,)
        self._recorder = recorder

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        self._recorder.note("push", needs_context=False)
        assert self._recorder.current_in is None
        self._recorder.current_in = threading.get_ident()
        try:
            yield
        finally:
            self._recorder.current_in = None

    def free_bytes(self) -> int:
        return 1 << 30

    def open_stream(self) -> FakeStream:
        self._recorder.note("open stream")
        return FakeStream(self._recorder)

    def allocate(self, shape: tuple[int, ...], dtype: Any, stream: object) -> FakeBuffer:
        self._recorder.note(f"allocate {np.dtype(dtype).name} {list(shape)}")
        return FakeBuffer(self._recorder, shape, dtype, mapped=self.info.integrated)

    def close(self) -> None:
        self._recorder.note("close gpu", needs_context=False)
        assert self._recorder.current_in is None


class FakeStream:
    handle = 7

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def synchronize(self) -> None:
        self._recorder.note("synchronize")
        waiting, self._recorder.waiting = self._recorder.waiting, []
        for work in waiting:
            work()

    def capture(self, work: Callable[[], None]) -> FakeGraph:
        self._recorder.note("capture")
        self._recorder.capturing = captured = []
        try:
            work()
        finally:
            self._recorder.capturing = None
        return FakeGraph(self._recorder, captured)

    def close(self) -> None:
        self._recorder.note("close stream")


class FakeGraph:
    def __init__(self, recorder: Recorder, captured: list[Callable[[], None]]) -> None:
        self._recorder, self._captured = recorder, captured

    def launch(self) -> None:
        self._recorder.note("launch")
        self._recorder.waiting += self._captured

    def close(self) -> None:
        self._captured.clear()  # a graph keeps no TensorRT object alive
        self._recorder.note("close graph")


class FakeBuffer:
    """Mapped: one array for both sides. Copied: two, and copies that happen when the stream runs them."""

    def __init__(self, recorder: Recorder, shape: tuple[int, ...], dtype: Any, *, mapped: bool) -> None:
        self._recorder, self._mapped = recorder, mapped
        self.host = np.full(shape, 99, dtype)
        self.address = 4096 + len(recorder.memory)
        recorder.memory[self.address] = self.host if mapped else np.full(shape, 77, dtype)

    def to_device(self) -> None:
        if not self._mapped:
            self._recorder.note("to device")
            self._recorder.queue(lambda: np.copyto(self._recorder.memory[self.address], self.host))

    def to_host(self) -> None:
        if not self._mapped:
            self._recorder.note("to host")
            self._recorder.queue(lambda: np.copyto(self.host, self._recorder.memory[self.address]))

    def close(self) -> None:
        self._recorder.note("close buffer")
        del self._recorder.memory[self.address]
        del self.host


class DataType(Enum):
    UINT8, FLOAT, HALF = range(3)


class TensorIOMode(Enum):
    INPUT, OUTPUT = range(2)


class Severity(Enum):
    ERROR, WARNING, VERBOSE = range(3)


Ports = Dict[str, Tuple[TensorIOMode, DataType, Tuple[int, ...]]]


def ports(batch: int = 1, side: int = 64, classes: int = 2, **changes: Any) -> Ports:
    """Inputs and outputs of an engine of the test model; `changes` replace or add some."""
    found: Ports = {
        "image": (TensorIOMode.INPUT, DataType.UINT8, (batch, side, side, 3)),
        "prob": (TensorIOMode.OUTPUT, DataType.FLOAT, (batch, 1, side, side)),
        "class_probs": (TensorIOMode.OUTPUT, DataType.FLOAT, (batch, classes)),
    }
    return {**found, **changes}


def fake_tensorrt(recorder: Recorder, engine_ports: Ports, *, version: str = "10.3.0") -> TensorRT:
    """A module with what the backend calls of TensorRT, and no more."""

    class ILogger:
        def __init__(self) -> None: ...

    class Runtime:
        def __init__(self, logger: Any) -> None:
            recorder.note("runtime")
            self._logger = logger

        def deserialize_cuda_engine(self, plan: bytes) -> Engine | None:
            recorder.note(f"deserialize {plan.decode()}")
            if plan != PLAN:
                self._logger.log(Severity.ERROR, "this is no plan\nof mine")
                return None
            return Engine(self._logger)

        def __del__(self) -> None:
            recorder.gone("runtime")

    class Engine:
        num_io_tensors = len(engine_ports)

        def __init__(self, logger: Any) -> None:
            self._logger = logger

        def get_tensor_name(self, index: int) -> str:
            return list(engine_ports)[index]

        def get_tensor_mode(self, name: str) -> TensorIOMode:
            return engine_ports[name][0]

        def get_tensor_dtype(self, name: str) -> DataType:
            return engine_ports[name][1]

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            return engine_ports[name][2]

        def create_execution_context(self) -> Context | None:
            recorder.note("execution context")
            if "no room" in recorder.fails:
                self._logger.log(Severity.ERROR, "out of memory")
                return None
            return Context(self._logger)

        def __del__(self) -> None:
            recorder.gone("engine")

    class Context:
        def __init__(self, logger: Any) -> None:
            self._logger = logger
            self._addresses: dict[str, int] = {}
            self.profiler: Any = None

        def set_tensor_address(self, name: str, address: int) -> bool:
            self._addresses[name] = address
            return address in recorder.memory and name in engine_ports

        def execute_async_v3(self, stream: int) -> bool:
            recorder.note("execute")
            if "refuses" in recorder.fails and (
                recorder.capturing is not None or recorder.fails["refuses"].args
            ):
                self._logger.log(Severity.ERROR, "this layer cannot run")
                return False
            assert stream == FakeStream.handle
            recorder.queue(self._compute)
            return True

        def _compute(self) -> None:
            image, prob, class_probs = (recorder.memory[self._addresses[name]] for name in engine_ports)
            prob[:, 0] = image.mean(axis=3) / 255
            if "not finite" in recorder.fails:
                prob[:] = np.nan
            peak = prob.max(axis=(1, 2, 3))
            class_probs[:] = np.stack([1 - peak, peak], axis=1)
            if self.profiler is not None:
                recorder.note("profiled")
                for name, ms in LAYERS.items():
                    self.profiler.report_layer_time(name, ms)

        def __del__(self) -> None:
            recorder.gone("execution context")

    class IProfiler:
        def __init__(self) -> None: ...

    module: Any = SimpleNamespace(
        IProfiler=IProfiler,
        ILogger=ILogger,
        Runtime=Runtime,
        DataType=DataType,
        TensorIOMode=TensorIOMode,
        __version__=version,
    )
    numbers = tuple(int(part) for part in version.split("."))
    return TensorRT(_Hashable(module), numbers, "tensorrt", "fake")


class _Hashable:
    """`log_of` keeps one logger per module, so a module must be hashable, as real ones are."""

    def __init__(self, module: Any) -> None:
        self.__dict__.update(vars(module))
