"""CUDA graphs by ctypes on libcuda, since pycuda has no graph API (seen in its source, 2026.1).

stream + work ──capture──▶ CudaGraph ──launch──▶ the same work, queued with one call
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from edge_runtime.nvidia import LIBRARY

if TYPE_CHECKING:
    from collections.abc import Callable

# Our thread only: a camera or video library may use CUDA in its own thread while we capture.
CAPTURE_THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
SYMBOLS = (
    "cuStreamBeginCapture_v2",
    "cuStreamEndCapture",
    "cuGraphInstantiateWithFlags",  # from CUDA 11.4 on, as on JetPack 5
    "cuGraphLaunch",
    "cuGraphExecDestroy",
    "cuGraphDestroy",
    "cuCtxPopCurrent_v2",
)


class CudaCallError(Exception):
    """A call of the driver failed; says which and with what error number."""


class Driver:
    """The functions in `SYMBOLS`; each raises `CudaCallError` instead of returning an error number."""

    def __init__(self, library: Any | None = None) -> None:
        """`library`: an opened libcuda, for tests; the process's own by default."""
        self._library = library

    def call(self, symbol: str, *arguments: object) -> None:
        """Call `symbol` with ctypes arguments."""
        if self._library is None:
            self._library = ctypes.CDLL(LIBRARY)
        function = getattr(self._library, symbol, None)
        if function is None:
            raise CudaCallError(f"this NVIDIA driver has no {symbol}")
        code = function(*arguments)
        if code != 0:
            raise CudaCallError(f"{symbol} answers CUDA error {code}")

    def pop_context(self) -> None:
        """Take the topmost context off the calling thread's stack."""
        self.call("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))

    def capture(self, stream: int, work: Callable[[], None]) -> CudaGraph:
        """Record what `work` queues on `stream`.

        Capturing is ended whatever happens: a stream left capturing could not be used again.

        Raises:
            CudaCallError: something in `work` cannot be captured. Errors of `work` pass through.
        """
        graph, executable = ctypes.c_void_p(), ctypes.c_void_p()
        self.call("cuStreamBeginCapture_v2", ctypes.c_void_p(stream), ctypes.c_int(CAPTURE_THREAD_LOCAL))
        try:
            try:
                work()
            except BaseException:
                self._end_quietly(stream, graph)
                raise
            self.call("cuStreamEndCapture", ctypes.c_void_p(stream), ctypes.byref(graph))
            self.call("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, ctypes.c_ulonglong(0))
        finally:
            if graph:
                self.call("cuGraphDestroy", graph)
        return CudaGraph(self, stream, executable)

    def _end_quietly(self, stream: int, graph: ctypes.c_void_p) -> None:
        try:
            self.call("cuStreamEndCapture", ctypes.c_void_p(stream), ctypes.byref(graph))
        except CudaCallError:  # expected: the capture was invalidated, which `work` already reported
            return


class CudaGraph:
    """An instantiated graph; see `Graph` in `gpu.py`."""

    def __init__(self, driver: Driver, stream: int, executable: ctypes.c_void_p) -> None:
        self._driver, self._executable = driver, executable
        self._stream = ctypes.c_void_p(stream)

    def launch(self) -> None:
        self._driver.call("cuGraphLaunch", self._executable, self._stream)

    def close(self) -> None:
        self._driver.call("cuGraphExecDestroy", self._executable)
