"""The TensorRT objects of one engine: runtime, engine, execution context; names-based I/O, no device memory.

plan bytes ──load──▶ engine ──check_ports──▶ as the contract says ──connect──▶ enqueue(stream), per frame
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from edge_runtime.backends.base import LayerTime
from edge_runtime.contract import INPUT_NAME
from edge_runtime.engines.trt import complaints
from edge_runtime.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from edge_runtime.backends.gpu import Buffer, Stream
    from edge_runtime.engines.trt import LogLine

_WARMUP = 5


class TrtEngine:
    """Used with the CUDA context current; `lines` is where TensorRT's log goes meanwhile.

    Nothing outside keeps a reference to the objects, so that `close` destroys them, in its order.
    """

    def __init__(self, path: Path, trt: Any, logger: Any) -> None:
        """`path`: the model file, for messages. `trt`: the module. `logger`: its one logger."""
        self._path, self._trt, self._logger = path, trt, logger
        self._runtime: Any = None
        self._engine: Any = None
        self._context: Any = None

    def load(self, plan: Callable[[str | None], bytes], lines: list[LogLine]) -> None:
        """Deserialize what `plan` gives; when TensorRT refuses it, tell `plan` why and take another.

        Raises:
            EngineError: the second one is refused, too.
        """
        self._runtime = self._trt.Runtime(self._logger)
        distrust = None
        for _ in range(2):
            serialized = plan(distrust)
            lines.clear()  # what was said while building has been told
            self._engine = self._runtime.deserialize_cuda_engine(serialized)
            if self._engine is not None:
                return
            distrust = f"TensorRT cannot load it{complaints(lines)}"
        raise EngineError(f"{self._path}: TensorRT cannot load the engine it built{complaints(lines)}")

    def check_ports(self, buffers: Mapping[str, Buffer]) -> None:
        """The engine must have exactly one input or output of the same type and shape per buffer."""
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        found = {
            name: (
                self._engine.get_tensor_mode(name) == self._trt.TensorIOMode.INPUT,
                self._engine.get_tensor_dtype(name),
                tuple(self._engine.get_tensor_shape(name)),
            )
            for name in names
        }
        types = {"uint8": self._trt.DataType.UINT8, "float32": self._trt.DataType.FLOAT}
        expected = {
            name: (name == INPUT_NAME, types[buffer.host.dtype.name], buffer.host.shape)
            for name, buffer in buffers.items()
        }
        if found != expected:
            raise EngineError(
                f"{self._path}: the engine has {_ports_text(found)}, expected {_ports_text(expected)}; "
                "export the run again"
            )

    def connect(self, buffers: Mapping[str, Buffer], lines: list[LogLine]) -> None:
        """Make the execution context, which takes device memory of its own, and give it the addresses."""
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise EngineError(f"{self._path}: no execution context{complaints(lines)}")
        for name, buffer in buffers.items():
            if not self._context.set_tensor_address(name, buffer.address):
                raise EngineError(f"{self._path}: TensorRT refuses the address of {name}{complaints(lines)}")

    def enqueue(self, stream: int, lines: list[LogLine]) -> None:
        """Queue one inference on the stream with this handle."""
        if not self._context.execute_async_v3(stream):
            raise EngineError(f"{self._path}: TensorRT cannot run the engine{complaints(lines)}")

    def layer_times(
        self, buffers: Mapping[str, Buffer], stream: Stream, runs: int, lines: list[LogLine]
    ) -> list[LayerTime]:
        """Mean times of all layers, in an execution context of its own: it runs without a CUDA graph."""
        watch = _layer_watch(self._trt)
        context, self._context = self._context, None
        try:
            self.connect(buffers, lines)
            self._context.profiler = watch
            for run in range(-_WARMUP, runs):
                if run == 0:
                    watch.total_ms.clear()
                self.enqueue(stream.handle, lines)
                stream.synchronize()
        finally:
            self._context = context  # the one that was watched is destroyed before what watched it
        return [LayerTime(name, _kind_of(name), ms / runs) for name, ms in watch.total_ms.items()]

    def close(self) -> None:
        """Destroy execution context, engine and runtime, in this order."""
        self._context = None
        self._engine = None
        self._runtime = None


def _ports_text(ports: Mapping[str, tuple[bool, Any, tuple[int, ...]]]) -> str:
    return ", ".join(
        f"{'input' if is_input else 'output'} {name} {getattr(dtype, 'name', dtype)} {list(shape)}"
        for name, (is_input, dtype, shape) in ports.items()
    )


def _layer_watch(trt: Any) -> Any:
    """An `IProfiler` that adds up each layer's time in `total_ms`, in the order of execution."""

    class LayerWatch(trt.IProfiler):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.total_ms: dict[str, float] = {}

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.total_ms[layer_name] = self.total_ms.get(layer_name, 0.0) + ms

    return LayerWatch()


def _kind_of(name: str) -> str:
    """Operator of a layer, which TensorRT names after the nodes it fused: `/a/Conv + /b/Relu` is a Conv."""
    if name.lower().startswith("reformatting"):
        return "Reformat"
    first = re.split(r" \+ |\|\|", name)[0]
    last = re.split(r"[/.]", first.strip("{} []"))[-1]
    return re.sub(r"_\d+$", "", last) or "unknown"
