"""Which Jetson this is, in which power mode, and whether its clocks are fixed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_runtime.board.clocks import clocks_fixed
from edge_runtime.board.powermode import parse_power_mode, read_power_mode, read_power_modes
from edge_runtime.doctor.machine import Row
from edge_runtime.jetson import read_board, read_jetpack, read_l4t

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
    modes, name = read_power_modes(machine.root), read_power_mode(machine.root)
    if name is None:
        ran = machine.execute(["nvpmodel", "-q"])
        name = parse_power_mode(ran.out)
        if name is None:
            why = ran.why.splitlines()[0] if ran.why else "no answer"
            return Row("power mode", "problem", f"unknown (nvpmodel: {why})", "sudo nvpmodel -q")
    fastest = next(((number, mode) for number, mode in modes.items() if mode.startswith("MAXN")), None)
    if fastest is None or name.startswith("MAXN"):
        return Row("power mode", "ok", name)
    return Row("power mode", "ok", name, f"fastest is {fastest[1]}: sudo nvpmodel -m {fastest[0]}")


def _clocks(root: Path) -> Row:
    fixed = clocks_fixed(root)
    if fixed is None:
        return Row("clocks", "problem", "unknown: no frequencies in /sys")
    if fixed:
        return Row("clocks", "ok", "fixed at their maximum")
    return Row("clocks", "ok", "vary with the load", "for even frame times: sudo jetson_clocks")
