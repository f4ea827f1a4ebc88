"""Memory, swap, disk, and whether engines can be kept."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.doctor.machine import Row
from edge_runtime.jetson import read_l4t, read_meminfo

if TYPE_CHECKING:
    from edge_runtime.doctor.machine import Machine

RUN_BYTES = 400e6  # a run with an overlay video stays below this
BUILD_BYTES = 2e9  # TensorRT and its kernels while it builds an engine of a small network
DISK_BYTES = 500e6  # model files, engines and their timing cache


def rows(machine: Machine) -> list[Row]:
    return [*_memory(machine), _engines(machine.engine_dir)]


def _memory(machine: Machine) -> list[Row]:
    info = read_meminfo(machine.root)
    if "MemTotal" not in info:
        return [Row("memory", "problem", "unknown (/proc/meminfo)")]
    free, total, swap = info.get("MemAvailable", 0), info["MemTotal"], info.get("SwapTotal", 0)
    text = f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free"
    if free < RUN_BYTES:
        memory = Row(
            "memory", "problem", text, f"a run takes up to {RUN_BYTES / 1e6:.0f} MB: end other programs"
        )
    else:
        memory = Row("memory", "ok", text)
    if swap:
        return [memory, Row("swap", "ok", f"{swap / 1e9:.1f} GB")]
    tight = read_l4t(machine.root) is not None and free < BUILD_BYTES
    advice = "an engine may not be built: add swap, or stop the desktop (sudo init 3)" if tight else ""
    return [memory, Row("swap", "problem" if tight else "missing", "none", advice)]


def _engines(directory: Path) -> Row:
    name, advice = "engine directory", "engines would be built at every start: pass a writable --engine-dir"
    place = next((path for path in (directory, *directory.absolute().parents) if path.is_dir()), Path("/"))
    try:
        with tempfile.TemporaryFile(dir=place):
            free = shutil.disk_usage(place).free
    except OSError as error:
        return Row(name, "problem", f"{directory} cannot be written: {error.strerror}", advice)
    text = f"{directory.absolute()}: writable, {free / 1e9:.1f} GB free"
    if free < DISK_BYTES:
        return Row(
            name, "problem", text, f"models and engines take up to {DISK_BYTES / 1e6:.0f} MB: free some disk"
        )
    return Row(name, "ok", text)
