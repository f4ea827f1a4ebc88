"""The power mode of a Jetson, by name: the numbers differ from board to board.

/etc/nvpmodel.conf ──▶ modes by number      /var/lib/nvpmodel/status ──▶ the one in force
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edge_runtime.jetson import read_text

if TYPE_CHECKING:
    from pathlib import Path


def read_power_modes(root: Path) -> dict[str, str]:
    """Names by number, e.g. {"0": "15W", "2": "MAXN_SUPER"}; empty where there is no nvpmodel."""
    text = read_text(root / "etc/nvpmodel.conf") or ""
    return dict(re.findall(r"^\s*<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", text, re.M))


def read_power_mode(root: Path) -> str | None:
    """Name of the mode in force, from nvpmodel's own status file; None where it has none."""
    status = re.search(r"pmode:0*(\d+)", read_text(root / "var/lib/nvpmodel/status") or "")
    return read_power_modes(root).get(status[1], f"mode {status[1]}") if status else None


def parse_power_mode(answer: str) -> str | None:
    """Name of the mode in what `nvpmodel -q` prints; the program may need root."""
    asked = re.search(r"NV Power Mode: *(?:MODE_)?(\S+)", answer)
    return asked[1] if asked else None
