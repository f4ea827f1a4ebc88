"""Memory: of this process, and what is left of the machine's, which on a Jetson is the GPU's, too."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

_BYTES = 8192  # /proc/meminfo has about 1,500


class MemoryReading(NamedTuple):
    """Bytes; None where not told.

    Attributes:
        rss: resident in memory of this process.
        available: what the kernel could still hand out.
        swapped: of the machine, in swap.
    """

    rss: int | None
    available: int | None
    swapped: int | None


class Memory:
    """Both files stay open between readings."""

    def __init__(self, root: Path) -> None:
        self._statm = _File(root / "proc/self/statm")
        self._meminfo = _File(root / "proc/meminfo")
        self._page_bytes = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096

    def read(self) -> MemoryReading:
        """Never raises."""
        pages = re.match(rb"\d+ (\d{1,18})\b", self._statm.read())
        info = self._meminfo.read()
        total, free = _field(info, b"SwapTotal"), _field(info, b"SwapFree")
        return MemoryReading(
            None if pages is None else int(pages[1]) * self._page_bytes,
            _field(info, b"MemAvailable"),
            None if total is None or free is None else total - free,
        )

    def close(self) -> None:
        self._statm.close()
        self._meminfo.close()


def _field(info: bytes, name: bytes) -> int | None:
    match = re.search(rb"^%s: +(\d{1,15}) kB" % name, info, re.M)
    return int(match[1]) * 1024 if match else None


class _File:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1

    def read(self) -> bytes:
        try:
            if self._file < 0:
                self._file = os.open(self._path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
            return os.pread(self._file, _BYTES, 0)
        except OSError:
            self.close()
            return b""

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __del__(self) -> None:
        if self._file >= 0:
            os.close(self._file)
