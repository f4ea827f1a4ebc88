"""What the NVIDIA driver says about itself and its GPUs, asked of libcuda by ctypes: no package is needed.

libcuda.so.1 ──open_driver──▶ driver or None ──read_gpus──▶ GpuInfo of each GPU
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

from edge_runtime.errors import EngineError

LIBRARY = "libcuda.so.1"
# CUdevice_attribute in cuda.h
_INTEGRATED, _CAPABILITY_MAJOR, _CAPABILITY_MINOR = 18, 75, 76


@dataclass(frozen=True)
class GpuInfo:
    """One GPU.

    Attributes:
        name: as CUDA gives it, e.g. "Orin".
        compute_capability: e.g. "8.7".
        memory_bytes: all of it; on a Jetson this is the board's memory, shared with the CPU.
        integrated: it shares memory with the CPU, so buffers need no copies.
        cuda: newest CUDA the driver serves, e.g. "12.6".
    """

    name: str
    compute_capability: str
    memory_bytes: int
    integrated: bool
    cuda: str


def open_driver(library: str = LIBRARY) -> Any | None:
    """The driver's library, or None where there is none: then this machine has no usable NVIDIA GPU."""
    try:
        return ctypes.CDLL(library)
    except OSError:
        return None


def read_gpus(driver: Any) -> list[GpuInfo]:
    """Facts about every GPU, in CUDA's order; may take some 100 ms, since it starts the driver.

    Raises:
        EngineError: the driver does not start, or sees no GPU.
    """
    _ask(driver, "cuInit", 0)
    version, count = ctypes.c_int(), ctypes.c_int()
    _ask(driver, "cuDriverGetVersion", ctypes.byref(version))
    _ask(driver, "cuDeviceGetCount", ctypes.byref(count))
    if count.value == 0:
        raise EngineError("the NVIDIA driver sees no GPU (CUDA_VISIBLE_DEVICES may hide it)")
    cuda = f"{version.value // 1000}.{version.value % 1000 // 10}"
    return [_read_gpu(driver, number, cuda) for number in range(count.value)]


def _read_gpu(driver: Any, number: int, cuda: str) -> GpuInfo:
    device, memory = ctypes.c_int(), ctypes.c_size_t()
    name = ctypes.create_string_buffer(256)
    _ask(driver, "cuDeviceGet", ctypes.byref(device), number)
    _ask(driver, "cuDeviceGetName", name, len(name), device)
    _ask(driver, "cuDeviceTotalMem_v2", ctypes.byref(memory), device)
    return GpuInfo(
        name=name.value.decode(errors="replace"),
        compute_capability=f"{_attribute(driver, _CAPABILITY_MAJOR, device)}"
        f".{_attribute(driver, _CAPABILITY_MINOR, device)}",
        memory_bytes=memory.value,
        integrated=_attribute(driver, _INTEGRATED, device) != 0,
        cuda=cuda,
    )


def _attribute(driver: Any, attribute: int, device: ctypes.c_int) -> int:
    value = ctypes.c_int()
    _ask(driver, "cuDeviceGetAttribute", ctypes.byref(value), attribute, device)
    return value.value


def _ask(driver: Any, function: str, *arguments: object) -> None:
    code = getattr(driver, function)(*arguments)
    if code != 0:
        raise EngineError(
            f"the NVIDIA driver does not work: {function} answers CUDA error {code}{_meaning(code)}"
        )


def _meaning(code: int) -> str:
    """What the errors people meet at start-up mean (CUresult in cuda.h)."""
    known = {
        3: "not initialized",
        34: "a stub library was loaded instead of the driver",
        46: "the GPU is busy or in use exclusively",
        100: "no GPU",
        101: "no such GPU",
        803: "driver and library versions differ: reboot after an update",
        804: "this GPU cannot use the compatibility library",
        999: "unknown: often the kernel module is not loaded, or this user may not open the device",
    }
    return f" ({known[code]})" if code in known else ""
