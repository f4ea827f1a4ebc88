"""MAVLink 2 signing: the key file, and a time that never runs backwards, not even over a restart.

Signed packets carry a time in 10 µs since 2015. Receivers drop what is not newer than the packet before, so
the file `KEY.linkN.time` reserves time ahead: no restart can use one again.
"""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING

from edge_runtime.errors import SinkError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

log = logging.getLogger(__name__)

TICKS_PER_S = 100_000
EPOCH_S = 1_420_070_400  # 2015-01-01 UTC
PLAUSIBLE_S = 1_704_067_200  # 2024-01-01: no board that runs this lives before it
RESERVE = 10 * TICKS_PER_S


def read_key(path: Path) -> bytes:
    """The 32 bytes of a key file: raw, or as 64 hexadecimal digits.

    Raises:
        SinkError: unreadable, open to others, or not 32 bytes.
    """
    try:
        mode, data = path.stat().st_mode & 0o777, path.read_bytes()
    except OSError as error:
        raise SinkError(f"signing key {path}: {error.strerror}") from error
    if mode & 0o077:
        raise SinkError(f"signing key {path} has mode {mode:04o}, expected 0600; run: chmod 600 {path}")
    if len(data) == 32:
        return data
    try:
        key = bytes.fromhex(data.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != 32:
        raise SinkError(f"signing key {path} has {len(data)} bytes, expected 32, or 64 hexadecimal digits")
    return key


class SigningClock:
    """Rising 48-bit timestamps; wall time is read once, then only the monotonic clock counts."""

    def __init__(
        self,
        path: Path,
        wall_s: Callable[[], float] = time.time,
        mono_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Start after everything that was ever reserved in `path`.

        Raises:
            SinkError: the clock is not set and nothing is kept, or the file cannot be written.
        """
        self._path, self._mono_ns = path, mono_ns
        kept, now_s = _kept(path), wall_s()
        if kept == 0 and now_s < PLAUSIBLE_S:
            raise SinkError(
                f"signing needs a clock that is set: it says {time.strftime('%F', time.gmtime(now_s))}, "
                f"and {path} keeps no earlier time; set the clock once"
            )
        self._start = max(int((now_s - EPOCH_S) * TICKS_PER_S), kept)
        self._start_ns = mono_ns()
        self._told, self._reserved = False, 0
        self._reserve(self._start + RESERVE)

    def now(self) -> int:
        """Timestamp of a packet signed now, before comparing it with the last one used."""
        return self._start + (self._mono_ns() - self._start_ns) // 10_000

    def keep(self, used: int = 0) -> None:
        """Reserve more time once half of the reserve is gone; in flight a disk that is full is only told.

        Args:
            used: the newest timestamp sent or heard.
        """
        newest = max(self.now(), used)
        if newest + RESERVE // 2 < self._reserved:
            return
        try:
            self._reserve(newest + RESERVE)
        except SinkError as error:
            self._reserved = newest + RESERVE  # the next try is due when this would be
            if not self._told:
                log.warning("%s; after a restart with a wrong clock packets may be refused", error)
            self._told = True

    def _reserve(self, until: int) -> None:
        waiting = self._path.with_name(self._path.name + ".new")
        try:
            with waiting.open("w") as stream:
                stream.write(f"{until}\n")
                stream.flush()
                os.fsync(stream.fileno())
            waiting.replace(self._path)
        except OSError as error:
            raise SinkError(f"cannot keep the signing time in {self._path}: {error.strerror}") from error
        self._reserved = until


def time_file(key: Path, link_id: int) -> Path:
    """Where the time of a key is kept: beside it, one per link."""
    return key.with_name(f"{key.name}.link{link_id}.time")


def _kept(path: Path) -> int:
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise SinkError(f"cannot read the signing time in {path}: {error.strerror}") from error
    if not (text.isascii() and text.isdigit() and int(text) < 2**48):
        raise SinkError(f"{path} does not hold a signing time; remove it once the clock is set")
    return int(text)
