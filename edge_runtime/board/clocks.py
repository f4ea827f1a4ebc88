"""Clocks and their limits in MHz: GPU, memory (EMC), CPUs; and the load of the GPU.

The CPU's is what the kernel asked for (`scaling_cur_freq`). What the hardware does can be less, after an
over-current event for instance. `cpuinfo_cur_freq` would tell, but is root's, and its reading keeps the CPU
that it asks about busy: it would disturb what is measured.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from edge_runtime.board.sensor import Sensor, find, read_number, there

if TYPE_CHECKING:
    from pathlib import Path

# 17000000.gpu (JetPack 6), 17000000.ga10b and .gv11b (JetPack 5), gpu-gpc-0 (Thor). Thor's gpu-nvd-0 is the
# clock of its video engines.
_GPU_NAMES = ("*gpc*", "*gpu*", "*ga10b*", "*gv11b*", "*gp10b*", "*gm20b*")
_GPU_LOADS = (
    "sys/devices/gpu.0/load",
    "sys/devices/platform/gpu.0/load",
    "sys/devices/platform/*.g[apvm]*/load",
    "sys/devices/platform/*/*.g[apvm]*/load",
)
_EMC = (
    "sys/class/devfreq/bwmgr/cur_freq",  # Thor: any user may read it
    "sys/kernel/debug/bpmp/debug/clk/emc/rate",  # Xavier, Orin
    "sys/kernel/debug/clk/override.emc/clk_rate",  # Nano
    "sys/kernel/debug/clk/emc/clk_rate",
)
_CPUS = "sys/devices/system/cpu/cpu[0-9]*"
_FROM_HZ, _FROM_KHZ = 1e-6, 1e-3
_HIGH_MHZ = 20_000.0


class Gpu(NamedTuple):
    """A Jetson's own GPU. `load` is 0 to 1; None where the kernel has no file for it (Thor)."""

    mhz: Sensor
    limit_mhz: Sensor
    load: Sensor | None


class Policy(NamedTuple):
    """CPUs that share one clock, by their numbers."""

    cpus: tuple[int, ...]
    mhz: Sensor
    limit_mhz: Sensor


def find_gpu(root: Path) -> Gpu | None:
    """None where no Jetson's GPU is."""
    device = next(iter(gpu_devfreqs(root)), None)
    if device is None:
        return None
    load = next((path for path in _gpu_loads(root, device) if there(path)), None)
    return Gpu(
        _mhz("GPU clock", device / "cur_freq", _FROM_HZ),
        _mhz("GPU clock's limit", device / "max_freq", _FROM_HZ),
        None if load is None else Sensor("GPU load", load, 1e-3, low=0.0, high=1.0),
    )


def gpu_devfreqs(root: Path) -> list[Path]:
    """Directories of the GPU's clock, the one of its cores first."""
    found: dict[Path, None] = {}
    for name in _GPU_NAMES:
        found.update(dict.fromkeys(find(root, f"sys/class/devfreq/{name}")))
    return [path for path in found if "nvd" not in path.name]


def find_emc(root: Path) -> Sensor | None:
    """The memory's clock; None where there is no file, or none that this user may see."""
    path = next((root / name for name in _EMC if there(root / name)), None)
    return None if path is None else _mhz("memory clock", path, _FROM_HZ)


def debug_is_closed(root: Path) -> bool:
    """Whether this user may not look below /sys/kernel/debug, where the memory's clock lies."""
    directory = root / "sys/kernel/debug"
    return there(directory) and not os.access(directory, os.R_OK | os.X_OK)


def find_policies(root: Path) -> list[Policy]:
    """One per clock, over the CPUs that are switched on; empty without cpufreq."""
    cpus: dict[str, list[int]] = {}
    paths: dict[str, Path] = {}
    for cpu in find(root, _CPUS):
        directory = cpu / "cpufreq"
        if there(directory) and cpu.name[3:].isdecimal() and read_number(cpu / "online") != 0:
            real = os.path.realpath(directory)
            cpus.setdefault(real, []).append(int(cpu.name[3:]))
            paths.setdefault(real, directory)
    return [
        Policy(
            tuple(cpus[real]),
            _mhz(f"clock of CPU {cpus[real][0]}", path / "scaling_cur_freq", _FROM_KHZ),
            _mhz(f"limit of CPU {cpus[real][0]}", path / "scaling_max_freq", _FROM_KHZ),
        )
        for real, path in paths.items()
    ]


def read_cpus_off(root: Path) -> list[int]:
    """Numbers of the CPUs that are switched off, on a Jetson by the power mode."""
    return [
        int(path.name[3:])
        for path in find(root, _CPUS)
        if path.name[3:].isdecimal() and read_number(path / "online") == 0
    ]


def clocks_fixed(root: Path) -> bool | None:
    """Whether CPUs and GPU always run at their limit, as after `jetson_clocks`; None when nothing tells."""
    cpu = [(path / "scaling_min_freq", path / "scaling_max_freq") for path in find(root, f"{_CPUS}/cpufreq")]
    gpu = [(path / "min_freq", path / "max_freq") for path in gpu_devfreqs(root)]
    pairs = [(read_number(low), read_number(high)) for low, high in (*cpu, *gpu)]
    told = [(low, high) for low, high in pairs if low is not None and high is not None]
    return all(low == high for low, high in told) if told else None


def _mhz(name: str, path: Path, scale: float) -> Sensor:
    return Sensor(name, path, scale, low=0.0, high=_HIGH_MHZ)


def _gpu_loads(root: Path, device: Path) -> list[Path]:
    return [device / "device/load", *(path for pattern in _GPU_LOADS for path in find(root, pattern))]
