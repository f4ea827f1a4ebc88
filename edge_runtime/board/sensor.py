"""One number in a small file of the kernel, read again and again.

A file stays open between readings. Files of /sys and /proc answer anew to every read at offset 0. Plain
`open().read()` is not fit for them: zones of parts that are switched off answer EAGAIN, and Python's buffered
files then raise a TypeError.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# Not to wait: a FIFO in a wrong place would block for ever.
_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
_BYTES = 64  # more than any number takes


class Sensor:
    """A whole number in a file, times a scale.

    Attributes:
        name: what people call it.
        good, failed: how many readings gave a value, how many did not.
        why: why the newest failed reading gave nothing.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        scale: float = 1.0,
        *,
        low: float = float("-inf"),
        high: float = float("inf"),
    ) -> None:
        """`low`, `high`: what the scaled value can be; anything else is a sensor that is off or broken."""
        self.name = name
        self.path = path
        self.good = self.failed = 0
        self.why = ""
        self._scale, self._low, self._high = scale, low, high
        self._file = -1

    def read(self) -> float | None:
        """The value now; None when there is none, with the reason in `why`."""
        why = self._try()
        if not why:
            self.good += 1
            return self._value
        self.failed += 1
        self.why = why
        return None

    def _try(self) -> str:
        """Set `_value`, or say why not."""
        data = b""
        try:
            if self._file < 0:
                self._file = os.open(self.path, _FLAGS)
            data = os.pread(self._file, _BYTES, 0)
            value = int(data) * self._scale
        except OSError as error:  # gone, forbidden, switched off: the next reading opens it anew
            self.close()
            return error.strerror or str(error)
        except ValueError:
            return f"holds no number but {printable(data) or 'nothing'!r}"
        if not self._low <= value <= self._high:
            return f"reads {value:g}, which cannot be"
        self._value = value
        return ""

    def close(self) -> None:
        """May be read again: that opens the file again."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __del__(self) -> None:
        """Nobody else would close a descriptor of a sensor that is forgotten."""
        if getattr(self, "_file", -1) >= 0:
            os.close(self._file)


def read_line(path: Path) -> str | None:
    """The words of a small file, e.g. a name; None when it cannot be read."""
    try:
        file = os.open(path, _FLAGS)
    except OSError:
        return None
    try:
        return printable(os.read(file, 4096)) or None
    except OSError:
        return None
    finally:
        os.close(file)


def read_number(path: Path) -> int | None:
    """A whole number in a small file, once."""
    try:
        return int(read_line(path) or "")
    except ValueError:
        return None


def printable(data: bytes) -> str:
    """Text of a device-tree string or a line of sysfs, without what ends it."""
    return data.decode("utf-8", "replace").strip("\0 \n\t")


def find(root: Path, pattern: str) -> list[Path]:
    """Paths below `root` that match, cpu2 before cpu10; empty where nothing may be listed."""
    try:
        return sorted(root.glob(pattern), key=lambda path: natural(str(path)))
    except OSError:
        return []


def there(path: Path) -> bool:
    """Whether a path exists and this user may get to it; never raises."""
    return os.access(path, os.F_OK)


def natural(text: str) -> list[tuple[int, str]]:
    """Sorting key by which 2 comes before 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text)]


def distinct(names: Iterable[str]) -> list[str]:
    """The names, with #2, #3 behind those that came before."""
    seen: dict[str, int] = {}
    told = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        told.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return told
