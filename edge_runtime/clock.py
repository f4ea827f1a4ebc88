"""Clocks of a record: monotonic for every age, UTC beside it only while it can be trusted."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path

_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_TIMEX_BYTES = 256  # struct timex is 208 bytes on 64-bit Linux; all zero means "only ask"
_RECHECK_NS = 10_000_000_000


class UtcClock:
    """Turns monotonic time into UTC; None while the kernel says that its clock is not synchronised."""

    def __init__(self) -> None:
        self._checked_ns = -_RECHECK_NS
        self._trusted = False

    def from_monotonic_ns(self, t_ns: int) -> int | None:
        """UTC in ns since 1970 of the monotonic time `t_ns`, by the clocks' present difference."""
        now_ns = time.monotonic_ns()
        if now_ns - self._checked_ns >= _RECHECK_NS:
            self._checked_ns, self._trusted = now_ns, utc_is_synchronised()
        return t_ns + time.time_ns() - now_ns if self._trusted else None


def utc_is_synchronised() -> bool:
    """Whether the kernel's UTC clock follows a time server, GPS or the like; False where it cannot say."""
    try:
        libc = ctypes.CDLL(None)
        return 0 <= int(libc.adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))) < _TIME_ERROR
    except (OSError, AttributeError):  # not Linux
        return False


def boot_id() -> str | None:
    """Tells boots apart: monotonic times compare only within one. None where the kernel has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
