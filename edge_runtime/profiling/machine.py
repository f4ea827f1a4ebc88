"""What was measured on and with: facts that make two profiles comparable, or not."""

from __future__ import annotations

import os
import platform
import re
import sys
from typing import TYPE_CHECKING, Any

from edge_runtime import jetson
from edge_runtime.board.clocks import clocks_fixed
from edge_runtime.board.powermode import read_power_mode
from edge_runtime.errors import EngineError

if TYPE_CHECKING:
    from pathlib import Path

    from edge_runtime.backends.base import Backend
    from edge_runtime.nvidia import GpuInfo

_PACKAGES = {"numpy": "numpy", "cv2": "opencv", "onnxruntime": "onnxruntime", "pycuda": "pycuda"}


def machine_facts(backend: Backend, root: Path = jetson.ROOT) -> dict[str, Any]:
    """`machine` of the report's schema."""
    on_gpu = backend.name.startswith("tensorrt")
    gpu = _first_gpu() if on_gpu else None
    return {
        "board": jetson.read_board(root),
        "l4t": jetson.read_l4t(root),
        "jetpack": jetson.read_jetpack(root),
        "os": f"{platform.system()} {platform.release()}",
        "cpu": _cpu_name(root),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "memory_bytes": jetson.read_meminfo(root).get("MemTotal"),
        "gpu": None if gpu is None else gpu.name,
        "cuda": None if gpu is None else gpu.cuda,
        "tensorrt": backend.name if on_gpu else None,
        "power_mode": read_power_mode(root),
        "clocks_fixed": clocks_fixed(root),
        "python": platform.python_version(),
        "packages": {
            shown: str(getattr(sys.modules[name], "__version__", "unknown"))
            for name, shown in _PACKAGES.items()
            if name in sys.modules
        },
    }


def _first_gpu() -> GpuInfo | None:
    from edge_runtime.nvidia import open_driver, read_gpus

    driver = open_driver()
    try:
        return None if driver is None else read_gpus(driver)[0]
    except EngineError:
        return None


def _cpu_name(root: Path) -> str | None:
    text = jetson.read_text(root / "proc/cpuinfo") or ""
    match = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1].strip() if match else platform.machine() or None
