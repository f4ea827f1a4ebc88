"""Tells systemd how the service is: READY, WATCHDOG, STATUS and STOPPING datagrams (sd_notify(3)).

NOTIFY_SOCKET, WATCHDOG_USEC ──Notifier.from_environment──▶ Notifier ──▶ systemd
"""

from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)


class Notifier:
    """Sends state lines to the service manager; does nothing where there is none. Never raises, never blocks.

    `watchdog_ns`: longest time systemd waits between two `watchdog()` calls; None when it does not watch.
    """

    def __init__(self, address: str | None = None, watchdog_ns: int | None = None) -> None:
        """`address`: path of a datagram socket, or `@name` of an abstract one; None sends nothing."""
        self.watchdog_ns = watchdog_ns
        self._address = "\0" + address[1:] if address and address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if address else None
        if self._socket is not None:
            self._socket.setblocking(False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Notifier:
        """As systemd has set it; a watchdog meant for another process is none of ours."""
        usec = environment.get("WATCHDOG_USEC", "")
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watched = ours and usec.isdecimal() and int(usec) > 0
        return cls(environment.get("NOTIFY_SOCKET") or None, int(usec) * 1000 if watched else None)

    def ready(self) -> None:
        """All is open and the threads run."""
        self._send(f"READY=1\nMAINPID={os.getpid()}")

    def watchdog(self) -> None:
        """Alive."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={text}")

    def stopping(self) -> None:
        """On the way out; nothing is sent after it."""
        self._send("STOPPING=1")
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, state: str) -> None:
        if self._socket is None or self._address is None:
            return
        try:
            self._socket.sendto(state.encode(), self._address)
        except OSError as error:
            log.debug("systemd was not told %s: %s", state.partition(chr(10))[0], error)
