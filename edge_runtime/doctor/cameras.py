"""Cameras the kernel knows, and whether this user may open them."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from edge_runtime.doctor.machine import Row
from edge_runtime.jetson import read_text

if TYPE_CHECKING:
    from pathlib import Path

    from edge_runtime.doctor.machine import Machine


def rows(machine: Machine) -> list[Row]:
    """One row per node that delivers pictures; none is opened: it may be in use by a running flight."""
    nodes = sorted(machine.root.glob("dev/video[0-9]*"), key=lambda node: int(re.sub(r"\D", "", node.name)))
    found = [row for node in nodes if (row := _camera(machine.root, node)) is not None]
    return found or [
        Row("camera", "missing", "none (/dev/video*); videos, images and network streams need none")
    ]


def _camera(root: Path, node: Path) -> Row | None:
    about = root / "sys/class/video4linux" / node.name
    if (read_text(about / "index") or "0").strip() != "0":  # a USB camera's second node carries metadata only
        return None
    name = (read_text(about / "name") or "unknown camera").strip()
    if os.access(node, os.R_OK | os.W_OK):
        return Row(f"/dev/{node.name}", "ok", name)
    advice = "sudo usermod -aG video $USER, then log in again"
    return Row(f"/dev/{node.name}", "problem", f"{name}: this user may not open it", advice)
