"""What the TensorRT backend needs of CUDA, as protocols: `cuda.py` fulfils them, tests put a recorder there.

Everything but `Gpu.current` is called with the context current: inside `with gpu.current():`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    import numpy as np
    from numpy.typing import NDArray

    from edge_runtime.nvidia import GpuInfo


class Gpu(Protocol):
    """The primary context of one GPU, which other libraries in the process share."""

    info: GpuInfo
    errors: tuple[type[Exception], ...]  # what calls of this, its streams, buffers and graphs raise

    def current(self) -> AbstractContextManager[None]:
        """Make the context current in the calling thread, whichever that is, for the length of the block."""
        ...

    def free_bytes(self) -> int:
        """Device memory that can still be had."""
        ...

    def open_stream(self) -> Stream:
        """A stream of our own, which does not wait for the default stream."""
        ...

    def allocate(self, shape: tuple[int, ...], dtype: type[np.generic], stream: Stream) -> Buffer:
        """Memory for one input or output."""
        ...

    def close(self) -> None:
        """Release the context; everything made from it is closed by then. Called outside `current`."""
        ...


class Stream(Protocol):
    """Work in order, waited for by `synchronize`."""

    handle: int  # cudaStream_t

    def synchronize(self) -> None:
        """Wait for all work; other Python threads run meanwhile."""
        ...

    def capture(self, work: Callable[[], None]) -> Graph:
        """Record what `work` puts on the stream instead of running it; raises one of `Gpu.errors`."""
        ...

    def close(self) -> None: ...


class Buffer(Protocol):
    """Memory that both sides see: page-locked on the host, and an address TensorRT takes."""

    host: NDArray[Any]  # (shape), written or read between synchronisations; gone after `close`
    address: int

    def to_device(self) -> None:
        """Queue the copy host to device; nothing where memory is shared."""
        ...

    def to_host(self) -> None:
        """Queue the copy device to host; nothing where memory is shared."""
        ...

    def close(self) -> None: ...


class Graph(Protocol):
    """Captured work, launched as one."""

    def launch(self) -> None:
        """Queue it on the stream it was captured from."""
        ...

    def close(self) -> None: ...
