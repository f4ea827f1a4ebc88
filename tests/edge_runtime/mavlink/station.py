"""The other end of a link in this process: a ground station or autopilot on a UDP socket, by pymavlink."""

from __future__ import annotations

import math
import select
import socket
import threading
import time
from typing import Any

import pytest

mavlink = pytest.importorskip("pymavlink.dialects.v20.common", reason="pymavlink is not installed")
NAN = math.nan
PATIENCE_S = 20.0  # of a test on a busy machine: what comes at all comes sooner


def free_port() -> int:
    """A UDP port of the loopback nobody uses now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Station:
    """Keeps all that comes as (monotonic ns, message); sends to whoever spoke last, or to `port`."""

    def __init__(
        self, port: int | None = None, sysid: int = 255, compid: int = 190, key: bytes | None = None
    ):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._to: Any = None if port is None else ("127.0.0.1", port)
        self._codec = mavlink.MAVLink(None, srcSystem=sysid, srcComponent=compid)
        self._codec.robust_parsing = True
        if key is not None:
            signing = self._codec.signing
            signing.secret_key, signing.sign_outgoing = key, True
            signing.timestamp = int((time.time() - 1_420_070_400) * 1e5)
        self.came: list[tuple[int, Any]] = []
        self._ending = False
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def __enter__(self) -> Station:
        return self

    def __exit__(self, *_: object) -> None:
        self._ending = True
        self._thread.join(2)
        self._socket.close()

    def of(self, name: str, since: int = 0, compid: int | None = None) -> list[Any]:
        """Messages of one type, in order of arrival, from position `since` of `came` on."""
        return [
            m for _, m in self.came[since:] if m.get_type() == name and compid in (None, m.get_srcComponent())
        ]

    def wait_for(self, name: str, count: int = 1, timeout_s: float = PATIENCE_S, since: int = 0) -> list[Any]:
        """The same once there are `count`; fails after `timeout_s`."""
        until_s = time.monotonic() + timeout_s
        while len(found := self.of(name, since)) < count:
            assert time.monotonic() < until_s, f"{len(found)} {name} came, expected {count}: {self.names()}"
            time.sleep(0.002)
        return found

    def names(self) -> list[str]:
        return [m.get_type() for _, m in self.came]

    def send(self, message: Any) -> None:
        packet = message.pack(self._codec)
        self._codec.seq = (self._codec.seq + 1) % 256
        self.send_bytes(packet)

    def send_bytes(self, data: bytes) -> None:
        self._socket.sendto(data, self._to)

    def heartbeat(self) -> None:
        self.send(mavlink.MAVLink_heartbeat_message(6, 8, 0, 0, 4, 3))

    def command(self, number: int, *params: float, compid: int = 100, sysid: int = 1) -> Any:
        """Send COMMAND_LONG, unused parameters NaN; its COMMAND_ACK."""
        since = len(self.came)
        self.send_command(number, *params, compid=compid, sysid=sysid)
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            for ack in self.of("COMMAND_ACK", since):
                if ack.command == number:
                    return ack
            time.sleep(0.001)
        raise AssertionError(f"no COMMAND_ACK of {number}")

    def send_command(self, number: int, *params: float, compid: int = 100, sysid: int = 1) -> None:
        padded = (*params, *(NAN,) * (7 - len(params)))
        self.send(mavlink.MAVLink_command_long_message(sysid, compid, number, 0, *padded))

    def _listen(self) -> None:
        while not self._ending:
            if not select.select([self._socket], [], [], 0.05)[0]:
                continue
            data, address = self._socket.recvfrom(2048)
            now_ns = time.monotonic_ns()
            self._to = address
            self.came += [(now_ns, message) for message in self._codec.parse_buffer(data) or []]
