"""Bytes to and from an autopilot over a serial line, by termios; opened again whenever the device comes back.

The kernel buffers 4 KiB, at 57600 baud 0.7 s: `delay_ns` tells, so that nothing is handed over that will
leave too late.
"""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import logging
import os
import select
import termios
import threading
import time
import tty
from typing import TYPE_CHECKING

from edge_runtime.errors import SinkError

if TYPE_CHECKING:
    from collections.abc import Hashable

log = logging.getLogger(__name__)

PEER = "serial"
BUFFER_BYTES = 4000  # of the kernel's 4096
BITS_PER_BYTE = 10  # a start bit, eight of data, a stop bit
REOPEN_S = 1.0


class Serial:
    """A `Transport` with one peer. A device that goes away (USB) is looked for once a second."""

    datagrams = False

    def __init__(self, device: str, baud: int) -> None:
        self._device, self._baud = device, baud
        self._lock = threading.Lock()
        self._tried_s = 0.0
        try:
            self._fd: int | None = _open(device, baud)
        except OSError as error:
            raise SinkError(f"mavlink:{device}:{baud}: {error.strerror}") from error
        except termios.error as error:
            raise SinkError(f"mavlink:{device}:{baud}: is no serial device ({error.args[-1]})") from error

    def peers(self) -> list[Hashable]:
        return [PEER]

    def heard(self, peer: Hashable) -> None:
        """The only peer is always there."""

    def delay_ns(self, size: int) -> int:
        return (self._waiting() + size) * BITS_PER_BYTE * 1_000_000_000 // self._baud

    def send(self, data: bytes, peer: Hashable) -> bool:
        with self._lock:
            if self._fd is None or self._waiting() + len(data) > BUFFER_BYTES:
                return False
            try:
                # a packet cut short is left so: its checksum fails, and its rest would only be late
                return os.write(self._fd, data) == len(data)
            except BlockingIOError:
                return False
            except OSError as error:
                self._gone(error)
                return False

    def receive(self, timeout_s: float) -> list[tuple[Hashable, bytes]]:
        fd = self._fd
        if fd is None:
            time.sleep(timeout_s)
            self._reopen()
            return []
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        if not poller.poll(timeout_s * 1000):
            return []
        with self._lock:
            try:
                data = os.read(fd, 4096)
            except BlockingIOError:
                return []
            except OSError as error:
                self._gone(error)
                return []
            if not data:
                self._gone(OSError(errno.EIO, "the line hung up"))
        return [(PEER, data)] if data else []

    def close(self) -> None:
        with self._lock:
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None
            self._tried_s = float("inf")

    def _waiting(self) -> int:
        count = array.array("i", [0])
        with contextlib.suppress(OSError, TypeError, ValueError):  # a device without a count has no queue
            fcntl.ioctl(self._fd, termios.TIOCOUTQ, count)  # type: ignore[arg-type]
        return count[0]

    def _gone(self, error: OSError) -> None:
        log.warning("mavlink:%s: %s; waiting for it to come back", self._device, error.strerror)
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _reopen(self) -> None:
        now_s = time.monotonic()
        if now_s - self._tried_s < REOPEN_S:
            return
        self._tried_s = now_s
        with contextlib.suppress(OSError, termios.error):
            self._fd = _open(self._device, self._baud)
            log.info("mavlink:%s is back", self._device)


def _open(device: str, baud: int) -> int:
    speed = getattr(termios, f"B{baud}", None)
    if speed is None:
        known = sorted(
            int(n[1:]) for n in dir(termios) if n[0] == "B" and n[1:].isdigit() and int(n[1:]) >= 9600
        )
        raise SinkError(f"mavlink:{device}: baud rate {baud}, expected one of {', '.join(map(str, known))}")
    fd = os.open(device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        tty.setraw(fd)
        settings = termios.tcgetattr(fd)
        settings[2] = (settings[2] | termios.CLOCAL | termios.CREAD) & ~(termios.CRTSCTS | termios.CSTOPB)
        settings[4] = settings[5] = speed
        termios.tcsetattr(fd, termios.TCSANOW, settings)
    except BaseException:
        os.close(fd)
        raise
    return fd
