"""Records as UDP datagrams, one each: for a program on this machine or beside it, such as a controller.

The header goes first and again every few seconds, so that who comes late gets it, too. Nothing is ever sent
by a timer and nothing is sent twice but the header; nobody listening is no error.
"""

from __future__ import annotations

import errno
import logging
import socket
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from edge_runtime.errors import SinkError
from edge_runtime.records import encode

if TYPE_CHECKING:
    from edge_runtime.live import RunContext
    from edge_runtime.records import Record
    from edge_runtime.sinks.base import Result

log = logging.getLogger(__name__)

HEADER_EVERY_S = 2.0
_NOBODY_THERE = {
    errno.ECONNREFUSED,
    errno.EHOSTUNREACH,
    errno.EHOSTDOWN,
    errno.ENETUNREACH,
    errno.ENETDOWN,
    errno.ENOBUFS,
    errno.EAGAIN,
    errno.EPERM,  # a firewall said no
}


class Udp:
    """A `Sink` that sends each record to one host and port; never waits.

    `undelivered`: records this machine could not send; what is lost on the way nobody knows.
    `too_long`: records longer than a datagram can be, not sent.
    """

    capacity = 4

    def __init__(self, target: str, *, force: bool = False, context: RunContext | None = None) -> None:
        host, port = _address(target)
        self.name = f"udp:{target}"
        self.undelivered = self.too_long = 0
        self._header = b""
        self._header_at_s = 0.0
        try:
            family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        except OSError as error:
            raise SinkError(f"{self.name}: no address is known for {host!r}: {error.strerror}") from error
        self._place = place
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)

    def start(self, header: Record) -> None:
        """Send the header."""
        self._header = encode(header)
        self._send_header()

    def write(self, result: Result) -> None:
        """Send one record, and the header before it when its time has come."""
        if monotonic() - self._header_at_s >= HEADER_EVERY_S:
            self._send_header()
        self._send(encode(result.record))

    def close(self) -> None:
        """Close the socket; tell what could not be sent."""
        self._socket.close()
        if self.too_long:
            log.warning("%s: %d record(s) were longer than a datagram and not sent", self.name, self.too_long)
        if self.undelivered:
            log.info("%s: %d record(s) could not be sent", self.name, self.undelivered)

    def _send_header(self) -> None:
        self._header_at_s = monotonic()
        self._send(self._header)

    def _send(self, line: bytes) -> None:
        try:
            self._socket.sendto(line, self._place)
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                if not self.too_long:
                    log.warning(
                        "%s: a record of %d bytes is longer than a datagram; not sent", self.name, len(line)
                    )
                self.too_long += 1
            elif error.errno in _NOBODY_THERE:
                self.undelivered += 1
            else:
                raise


def _address(target: str) -> tuple[str, int]:
    expected = "expected udp://HOST:PORT, such as udp://127.0.0.1:5005"
    if "@" in target:
        raise SinkError(f"udp://{target.rpartition('@')[2]} takes no user or password; {expected}")
    try:
        parts = urlsplit(f"udp:{target}")
        port = parts.port
    except ValueError as error:
        raise SinkError(f"udp:{target}: {error}; {expected}") from error
    if not parts.hostname or not port:
        raise SinkError(f"udp:{target} names no host and port; {expected}")
    if parts.path or parts.query or parts.fragment:
        raise SinkError(f"udp:{target} takes no path or options; {expected}")
    return parts.hostname, port
