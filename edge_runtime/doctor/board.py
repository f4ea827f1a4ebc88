"""Which Jetson this is, in which power mode, and whether its clocks are fixed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edge_runtime.doctor.machine import Row
from edge_runtime.jetson import read_board, read_jetpack, read_l4t, read_text

if TYPE_CHECKING:
    from pathlib import Path

    from edge_runtime.doctor.machine import Machine


def rows(machine: Machine) -> list[Row]:
    root = machine.root
    l4t, board = read_l4t(root), read_board(root)
    if l4t is None and "jetson" in (board or "").lower():
        return [
            Row("Jetson", "problem", f"{board} without Jetson Linux (/etc/nv_tegra_release)", "flash JetPack")
        ]
    if l4t is None:
        return [Row("Jetson", "missing", f"this is none{f' but {board}' if board else ''}")]
    jetpack = read_jetpack(root)
    return [
        Row("Jetson", "ok", board or "of unknown name"),
        Row("Jetson Linux", "ok", f"L4T {l4t}{f', JetPack {jetpack}' if jetpack else ''}"),
        _power_mode(machine),
        _clocks(root),
    ]


def _power_mode(machine: Machine) -> Row:
    """The mode in force from nvpmodel's own status file, else from `nvpmodel -q`, which may need root."""
    modes = dict(
        re.findall(
            r"^\s*<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>",
            read_text(machine.root / "etc/nvpmodel.conf") or "",
            re.M,
        )
    )
    status = re.search(r"pmode:0*(\d+)", read_text(machine.root / "var/lib/nvpmodel/status") or "")
    if status:
        name = modes.get(status[1], f"mode {status[1]}")
    else:
        ran = machine.execute(["nvpmodel", "-q"])
        asked = re.search(r"NV Power Mode: *(?:MODE_)?(\S+)", ran.out)
        if asked is None:
            why = ran.why.splitlines()[0] if ran.why else "no answer"
            return Row("power mode", "problem", f"unknown (nvpmodel: {why})", "sudo nvpmodel -q")
        name = asked[1]
    fastest = next(((number, mode) for number, mode in modes.items() if mode.startswith("MAXN")), None)
    if fastest is None or name.startswith("MAXN"):
        return Row("power mode", "ok", name)
    return Row("power mode", "ok", name, f"fastest is {fastest[1]}: sudo nvpmodel -m {fastest[0]}")


def _clocks(root: Path) -> Row:
    """`jetson_clocks` sets the lowest frequency of CPUs and GPU to the highest."""
    pairs = [
        *((path, path.with_name("scaling_max_freq")) for path in root.glob(
            "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_min_freq")),
        *((path, path.with_name("max_freq")) for path in root.glob("sys/class/devfreq/*gpu*/min_freq")),
        *((path, path.with_name("max_freq")) for path in root.glob("sys/class/devfreq/*gpc*/min_freq")),
    ]  # fmt: skip
    if not pairs:
        return Row("clocks", "problem", "unknown: no frequencies in /sys")
    if all(read_text(low) == read_text(high) for low, high in pairs):
        return Row("clocks", "ok", "fixed at their maximum")
    return Row("clocks", "ok", "vary with the load", "for even frame times: sudo jetson_clocks")
