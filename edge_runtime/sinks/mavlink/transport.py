"""Bytes to and from MAVLink peers over UDP: never waits to send, keeps nothing for later.

A `Transport` knows its peers, says how long the bytes it holds will still take, and loses rather than delays.
"""

from __future__ import annotations

import select
import socket
import time
from typing import TYPE_CHECKING, Any, Protocol, cast

from edge_runtime.errors import SinkError

if TYPE_CHECKING:
    from collections.abc import Hashable

    Address = tuple[Any, ...]

MOST_PEERS = 8
PEER_SILENT_S = 30.0  # one that said nothing for so long is gone; ground stations speak every second
_DATAGRAM = 2048
_MOST_AT_ONCE = 64


class Transport(Protocol):
    """One opened link. `datagrams`: packets come whole."""

    datagrams: bool

    def peers(self) -> list[Hashable]:
        """Who gets what is meant for all."""
        ...

    def heard(self, peer: Hashable) -> None:
        """A packet of `peer` was good."""
        ...

    def send(self, data: bytes, peer: Hashable) -> bool:
        """Hand one packet over now; False when it cannot leave and is lost."""
        ...

    def delay_ns(self, size: int) -> int:
        """How long a packet of `size` bytes handed over now takes to leave."""
        ...

    def receive(self, timeout_s: float) -> list[tuple[Hashable, bytes]]:
        """What came, after waiting up to `timeout_s` for the first."""
        ...

    def close(self) -> None:
        """Idempotent."""
        ...


class _Udp:
    datagrams = True

    def __init__(self, udp: socket.socket) -> None:
        udp.setblocking(False)
        self._socket = udp

    def delay_ns(self, size: int) -> int:
        return 0

    def receive(self, timeout_s: float) -> list[tuple[Hashable, bytes]]:
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        poller.poll(timeout_s * 1000)
        came: list[tuple[Hashable, bytes]] = []
        for _ in range(_MOST_AT_ONCE):
            try:
                data, address = self._socket.recvfrom(_DATAGRAM)
            except BlockingIOError:
                break
            except ConnectionError:  # nobody listens at the other end yet
                continue
            came.append((address, data))
        return came

    def close(self) -> None:
        self._socket.close()


class UdpOut(_Udp):
    """To one fixed address; the kernel drops whatever others send us."""

    def __init__(self, host: str, port: int) -> None:
        udp, address = _socket(host, port)
        try:
            udp.connect(address)
        except OSError as error:
            udp.close()
            raise SinkError(f"mavlink:udpout:{host}:{port}: {error.strerror}") from error
        super().__init__(udp)
        self._peer: Hashable = udp.getpeername()

    def peers(self) -> list[Hashable]:
        return [self._peer]

    def heard(self, peer: Hashable) -> None:
        """The only peer is always there."""

    def send(self, data: bytes, peer: Hashable) -> bool:
        try:
            self._socket.send(data)
        except OSError:  # full, or nobody listens at the other end yet
            return False
        return True


class UdpIn(_Udp):
    """On one address of ours, to whoever sends good packets there."""

    def __init__(self, host: str, port: int) -> None:
        udp, address = _socket(host, port)
        try:
            udp.bind(address)
        except OSError as error:
            udp.close()
            raise SinkError(
                f"mavlink:udpin:{host}:{port}: {error.strerror}; is another program there?"
            ) from error
        super().__init__(udp)
        self._heard: dict[Hashable, float] = {}

    def peers(self) -> list[Hashable]:
        known, now_s = self._heard, time.monotonic()
        return [peer for peer, heard_s in known.items() if now_s - heard_s < PEER_SILENT_S]

    def heard(self, peer: Hashable) -> None:
        now_s = time.monotonic()
        known = {p: t for p, t in self._heard.items() if now_s - t < PEER_SILENT_S}
        if peer in known or len(known) < MOST_PEERS:
            known[peer] = now_s
        self._heard = known  # replaced whole: other threads read it

    def send(self, data: bytes, peer: Hashable) -> bool:
        try:
            self._socket.sendto(data, cast("Address", peer))
        except OSError:  # full, or the way there is gone
            return False
        return True


def _socket(host: str, port: int) -> tuple[socket.socket, Address]:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        return socket.socket(family, kind, protocol), address
    except (OSError, UnicodeError) as error:
        raise SinkError(
            f"mavlink: cannot find the host {host!r}: {getattr(error, 'strerror', error)}"
        ) from error
