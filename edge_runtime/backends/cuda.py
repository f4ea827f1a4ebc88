"""The few things the TensorRT backend does with CUDA, by pycuda; see the protocols in `gpu.py`.

PycudaGpu ──▶ PycudaStream, MappedBuffer (Jetson: one memory, no copies) or CopiedBuffer (a card of its own)

The context is pushed for the length of each call and popped after it, never left on a thread: pycuda aborts
the process when a thread ends with a context still pushed, and refuses to work in one that has none.
"""

from __future__ import annotations

import contextlib
import importlib
from typing import TYPE_CHECKING, Any

from edge_runtime.backends.cudagraph import CudaCallError, CudaGraph, Driver
from edge_runtime.errors import EngineError, MissingExtra
from edge_runtime.jetson import read_available_bytes
from edge_runtime.nvidia import open_driver, read_gpus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from edge_runtime.nvidia import GpuInfo

_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING; pycuda takes the number


def load_pycuda() -> Any:
    """The module `pycuda.driver`.

    Raises:
        MissingExtra: not installed. EngineError: installed, but its libraries do not load.
    """
    try:
        return importlib.import_module("pycuda.driver")
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] == "pycuda":
            raise MissingExtra("pycuda", "jetson", "TensorRT") from error
        raise EngineError(f"pycuda does not load: {error}") from error
    except Exception as error:  # a library that is missing, or was built for another CUDA
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise EngineError(
            f"pycuda does not load: {reason}; build it again for this CUDA: "
            "pip install --force-reinstall --no-cache-dir pycuda"
        ) from error


class PycudaGpu:
    """The first GPU CUDA shows us; a `Gpu`."""

    def __init__(self, cuda: Any | None = None, driver: Driver | None = None, info: GpuInfo | None = None):
        """`cuda`, `driver`, `info`: pycuda.driver, libcuda and what it says, unless a test brings its own.

        Raises:
            EngineError: no driver or GPU, or no room for a context. MissingExtra: no pycuda.
        """
        self.info = info or _first_gpu()
        self._cuda = cuda or load_pycuda()
        self._driver = driver or Driver()
        self.errors: tuple[type[Exception], ...] = (self._cuda.Error, CudaCallError)
        try:
            self._cuda.init()
            self._context = self._cuda.Device(0).retain_primary_context()
        except self.errors as error:
            raise EngineError(f"{self.info.name}: no CUDA context: {error}; is its memory full?") from error

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        self._context.push()
        try:
            yield
        finally:
            self._cuda.Context.pop()

    def free_bytes(self) -> int:
        available = read_available_bytes() if self.info.integrated else None
        return int(self._cuda.mem_get_info()[0]) if available is None else available

    def open_stream(self) -> PycudaStream:
        return PycudaStream(self._cuda, self._driver)

    def allocate(
        self, shape: tuple[int, ...], dtype: type[np.generic], stream: Any
    ) -> MappedBuffer | CopiedBuffer:
        if self.info.integrated:
            return MappedBuffer(self._cuda, shape, dtype)
        return CopiedBuffer(self._cuda, shape, dtype, stream.native)

    def close(self) -> None:
        # By hand, since pycuda's destructor treats a primary context as one of its own and warns on stderr.
        self._context.push()
        # pycuda forgets the context here, but the driver keeps it on the thread's stack ("does not pop the
        # context from stack in any circumstances", cuDevicePrimaryCtxRelease): the second line takes it off.
        self._context.detach()
        self._driver.pop_context()


class PycudaStream:
    """A `Stream`; `native` is pycuda's object."""

    def __init__(self, cuda: Any, driver: Driver) -> None:
        self.native = cuda.Stream(_NON_BLOCKING)
        self.handle: int = self.native.handle
        self._driver = driver

    def synchronize(self) -> None:
        self.native.synchronize()

    def capture(self, work: Callable[[], None]) -> CudaGraph:
        return self._driver.capture(self.handle, work)

    def close(self) -> None:
        self.native = None  # pycuda destroys a stream with its last reference; copied buffers are gone by now


class MappedBuffer:
    """Page-locked host memory which the GPU reads and writes itself: for one that shares the CPU's memory."""

    def __init__(self, cuda: Any, shape: tuple[int, ...], dtype: type[np.generic]) -> None:
        self.host: NDArray[Any] = cuda.pagelocked_empty(
            shape, dtype, mem_flags=cuda.host_alloc_flags.DEVICEMAP
        )
        self._owner: Any = self.host.base  # pycuda's allocation
        self.address = int(self._owner.get_device_pointer())

    def to_device(self) -> None:
        return

    def to_host(self) -> None:
        return

    def close(self) -> None:
        del self.host
        self._owner.free()


class CopiedBuffer:
    """Page-locked host memory and as much on the GPU, copied by the stream."""

    def __init__(self, cuda: Any, shape: tuple[int, ...], dtype: type[np.generic], stream: Any) -> None:
        self._cuda, self._stream = cuda, stream
        self.host: NDArray[Any] = cuda.pagelocked_empty(shape, dtype)
        self._owner: Any = self.host.base  # pycuda's allocation
        self._device = cuda.mem_alloc(self.host.nbytes)
        self.address = int(self._device)

    def to_device(self) -> None:
        self._cuda.memcpy_htod_async(self._device, self.host, self._stream)

    def to_host(self) -> None:
        self._cuda.memcpy_dtoh_async(self.host, self._device, self._stream)

    def close(self) -> None:
        del self.host
        self._stream = None
        self._device.free()
        self._owner.free()


def _first_gpu() -> GpuInfo:
    driver = open_driver()
    if driver is None:
        raise EngineError(
            "no NVIDIA driver on this machine (libcuda.so.1 is missing): TensorRT cannot run here"
        )
    return read_gpus(driver)[0]
