"""NVIDIA's driver, GPUs and CUDA toolkit, asked without any Python package."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

from edge_runtime.doctor.machine import Row
from edge_runtime.jetson import read_text

if TYPE_CHECKING:
    from edge_runtime.doctor.machine import Machine

DRIVER, GPU = "NVIDIA driver", "GPU"

# In a process of its own: a driver that does not fit its kernel module may hang or end the process.
_CODE = """
import dataclasses, json
from edge_runtime.errors import EngineError
from edge_runtime.nvidia import open_driver, read_gpus
driver = open_driver()
try:
    gpus = [] if driver is None else [dataclasses.asdict(gpu) for gpu in read_gpus(driver)]
    print(json.dumps({"there": driver is not None, "gpus": gpus}))
except EngineError as error:
    print(json.dumps({"there": True, "problem": str(error)}))
"""


def rows(machine: Machine) -> list[Row]:
    answer = machine.python(_CODE)
    if isinstance(answer, str):
        return [Row(DRIVER, "problem", f"asking it fails: {answer}"), *_toolkit(machine)]
    if not answer["there"]:
        return [Row(DRIVER, "missing", "none (libcuda.so.1): networks run on the CPU")]
    if "problem" in answer:
        advice = (
            "see what nvidia-smi says; on a Jetson add this user to its group: sudo usermod -aG video $USER"
        )
        return [Row(DRIVER, "problem", answer["problem"], advice), *_toolkit(machine)]
    found = [Row(DRIVER, "ok", f"{_module_version(machine)}serves CUDA up to {answer['gpus'][0]['cuda']}")]
    for gpu in answer["gpus"]:
        memory = f"{gpu['memory_bytes'] / 1e9:.1f} GB{' shared with the CPU' if gpu['integrated'] else ''}"
        found.append(
            Row(GPU, "ok", f"{gpu['name']}, compute capability {gpu['compute_capability']}, {memory}")
        )
    return [*found, *_toolkit(machine)]


def _module_version(machine: Machine) -> str:
    text = read_text(machine.root / "proc/driver/nvidia/version") or ""
    match = re.search(r"NVRM version:.*?\s(\d+\.[\d.]+)\s", text)
    return f"{match[1]}, " if match else ""


def _toolkit(machine: Machine) -> list[Row]:
    """Only pycuda's installation needs it."""
    home = machine.root / "usr/local/cuda"
    version = None
    try:
        version = json.loads(read_text(home / "version.json") or "{}")["cuda"]["version"]
    except (ValueError, KeyError, TypeError):
        version = None
    if not (home / "bin/nvcc").is_file():
        return [
            Row(
                "CUDA toolkit",
                "missing",
                "no nvcc in /usr/local/cuda/bin",
                "only pip needs it, to build pycuda",
            )
        ]
    advice = "" if shutil.which("nvcc") else "to build pycuda: export PATH=/usr/local/cuda/bin:$PATH"
    return [Row("CUDA toolkit", "ok", f"{version or 'unknown version'} in /usr/local/cuda", advice)]
