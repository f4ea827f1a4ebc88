"""Which Jetson this is, read from files of the board; every function takes the root they lie under.

/etc/nv_tegra_release ──▶ L4T 36.4.3 ──▶ JetPack 6.2      /proc/device-tree/model ──▶ name of the board
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path("/")

# L4T release: JetPack release, for boards without the nvidia-jetpack package.
_JETPACK = {
    "35.1": "5.0.2",
    "35.2": "5.1",
    "35.3": "5.1.1",
    "35.4": "5.1.2",
    "35.5": "5.1.3",
    "35.6": "5.1.4 or newer",
    "36.2": "6.0 DP",
    "36.3": "6.0",
    "36.4": "6.1 or 6.2",
    "36.5": "6.2.2",
    "38.2": "7.0",
    "38.4": "7.1",
    "39.2": "7.2",
}


def read_l4t(root: Path = ROOT) -> str | None:
    """Release of Jetson Linux, e.g. "36.4.3"; None where this is no Jetson."""
    text = read_text(root / "etc/nv_tegra_release")
    match = re.search(r"R(\d+) .*REVISION: ([\d.]+)", text or "")
    return f"{match[1]}.{match[2]}" if match else None


def read_jetpack(root: Path = ROOT) -> str | None:
    """JetPack release: that of the installed package, else the one the L4T release belongs to."""
    for package in (read_text(root / "var/lib/dpkg/status") or "").split("\n\n"):
        if package.startswith("Package: nvidia-jetpack\n"):
            match = re.search(r"^Version: ([\w.]+)", package, re.MULTILINE)
            return match[1] if match else None
    l4t = read_l4t(root)
    return None if l4t is None else _JETPACK.get(".".join(l4t.split(".")[:2]))


def read_board(root: Path = ROOT) -> str | None:
    """Name of the board from its device tree, e.g. "NVIDIA Jetson Orin Nano Developer Kit"."""
    text = read_text(root / "proc/device-tree/model")
    return text.strip("\0\n ") or None if text else None


def read_available_bytes(root: Path = ROOT) -> int | None:
    """Memory the kernel could still hand out (MemAvailable): on a Jetson that is the GPU's, too."""
    return read_meminfo(root).get("MemAvailable")


def read_meminfo(root: Path = ROOT) -> dict[str, int]:
    """`/proc/meminfo` in bytes; empty where there is none."""
    lines = (read_text(root / "proc/meminfo") or "").splitlines()
    words = [line.replace(":", " ").split() for line in lines]
    return {line[0]: int(line[1]) * 1024 for line in words if len(line) == 3 and line[1].isdigit()}


def read_text(path: Path) -> str | None:
    """Content of a small file, or None when it cannot be read (now)."""
    try:
        with path.open("rb", buffering=0) as file:
            data: bytes | None = file.readall()  # None: EAGAIN, of parts that are switched off
    except OSError:
        return None
    return None if data is None else data.decode("utf-8", errors="replace")
