"""The one file that knows pymavlink: messages as plain values ◀──▶ packets, signed where there is a key.

Message ──send──▶ packet ──▶ Transport        Transport ──▶ bytes ──receive──▶ Received
"""

from __future__ import annotations

import hashlib
import hmac
import struct
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_runtime.errors import MissingExtra
from edge_runtime.sinks.mavlink.intervals import Endpoint
from edge_runtime.sinks.mavlink.messages import COMPANION, Message

if TYPE_CHECKING:
    from collections.abc import Hashable

    from edge_runtime.sinks.mavlink.signing import SigningClock
    from edge_runtime.sinks.mavlink.transport import Transport

_TIMESYNC = struct.Struct("<qqBB")
_HEADER = 10  # bytes of a MAVLink 2 header


@dataclass(frozen=True)
class Received:
    """One good packet: from whom, `name` in lower case, its fields."""

    peer: Hashable
    sysid: int
    compid: int
    name: str
    fields: dict[str, Any]

    @property
    def endpoint(self) -> Endpoint:
        """Who sent it."""
        return Endpoint(self.peer, self.sysid, self.compid)


class Link:
    """Speaks as two components of one vehicle over one transport; any thread may send, one receives.

    With a key, unsigned and wrongly signed packets are dropped and counted in `refused`.
    """

    def __init__(
        self,
        transport: Transport,
        sysid: int,
        camera: int,
        key: bytes | None = None,
        link_id: int = 0,
        clock: SigningClock | None = None,
    ) -> None:
        self._dialect, self._codec = _dialect()
        self._transport, self._clock = transport, clock
        self._sysid, self._ours = sysid, (camera, COMPANION)
        self._lock = threading.Lock()
        self._signing = self._dialect.MAVLinkSigning()
        self._signing.secret_key, self._signing.link_id = key, link_id
        self._signing.sign_outgoing = key is not None
        self._signing.allow_unsigned_callback = lambda *_: False  # counts what is refused
        self._speakers = {compid: self._new_codec(compid) for compid in self._ours}
        self._parser = self._new_codec(0)
        self.sent = 0
        self.late = 0  # not sent because they would have left too late
        self.lost = 0  # the transport could not take them

    @property
    def refused(self) -> int:
        """Packets received without a valid signature."""
        return int(self._signing.reject_count)

    def peers(self) -> list[Hashable]:
        """Who is at the other end."""
        return self._transport.peers()

    def send(self, message: Message, peer: Hashable = None, *, not_after_ns: int | None = None) -> bool:
        """Send to one peer, or to all (None). True when it left to at least one.

        Args:
            not_after_ns: monotonic; a packet that would leave later is dropped instead.
        """
        with self._lock:
            speaker = self._speakers[message.compid]
            if self._clock is not None:
                self._signing.timestamp = max(self._signing.timestamp, self._clock.now())
            packet: bytes = self._encoded(message).pack(speaker)
            leaves_ns = time.monotonic_ns() + self._transport.delay_ns(len(packet))
            if not_after_ns is not None and leaves_ns > not_after_ns:
                self.late += 1
                return False
            speaker.seq = (speaker.seq + 1) % 256
            receivers = self._transport.peers() if peer is None else [peer]
            left = [self._transport.send(packet, one) for one in receivers].count(True)
            self.sent += left
            self.lost += len(receivers) - left
            return left > 0

    def receive(self, timeout_s: float) -> list[Received]:
        """Good packets of others, after waiting up to `timeout_s` for the first bytes."""
        good = []
        for peer, data in self._transport.receive(timeout_s):
            parser = self._new_codec(0) if self._transport.datagrams else self._parser
            with self._lock:  # the signing state is shared with the senders
                packets = parser.parse_buffer(data) or []
            for packet in packets:
                received = self._decoded(packet, peer)
                if received is not None:
                    self._transport.heard(peer)
                    good.append(received)
        return good

    def keep_time(self) -> None:
        """Let the signing time be kept in its file, now and then."""
        if self._clock is not None:
            self._clock.keep(self._signing.timestamp)

    def close(self) -> None:
        """Close the transport."""
        self._transport.close()

    def _new_codec(self, compid: int) -> Any:
        codec = self._codec(None, srcSystem=self._sysid, srcComponent=compid)
        codec.signing, codec.robust_parsing = self._signing, True
        return codec

    def _encoded(self, message: Message) -> Any:
        if message.name == "timesync":
            return self._timesync(message.fields)
        return getattr(self._dialect, f"MAVLink_{message.name}_message")(**message.fields)

    def _timesync(self, fields: dict[str, Any]) -> Any:
        """With the ids of the receiver, which pymavlink 2.4 does not know of."""
        plain = self._dialect.MAVLink_timesync_message(fields["tc1"], fields["ts1"])
        values = [fields[k] for k in ("tc1", "ts1", "target_system", "target_component")]

        def pack(speaker: Any) -> bytes:
            packed: bytes = plain._pack(speaker, plain.crc_extra, _TIMESYNC.pack(*values))
            return packed

        plain.pack = pack
        return plain

    def _decoded(self, packet: Any, peer: Hashable) -> Received | None:
        name, sysid, compid = packet.get_type(), packet.get_srcSystem(), packet.get_srcComponent()
        if name in ("BAD_DATA",) or name.startswith("UNKNOWN_"):
            return None
        if sysid == self._sysid and compid in self._ours:
            return None  # our own words, sent back by a router
        fields = {field: getattr(packet, field) for field in packet.get_fieldnames()}
        if name == "TIMESYNC":
            extension = bytes(packet.get_msgbuf())[_HEADER + 16 :] if packet.get_header().mlen > 16 else b""
            fields.setdefault("target_system", extension[0] if extension else 0)
            fields.setdefault("target_component", extension[1] if packet.get_header().mlen > 17 else 0)
        return Received(peer, sysid, compid, name.lower(), fields)


def _dialect() -> tuple[Any, Any]:
    try:
        from pymavlink.dialects.v20 import common
    except ModuleNotFoundError as error:
        raise MissingExtra("pymavlink", "guidance", "--sink mavlink:") from error

    class Codec(common.MAVLink):  # type: ignore[misc]
        """Checks a signature before it believes its time: a forged one must not shut out the true sender."""

        def check_signature(self, msgbuf: bytearray, srcSystem: int, srcComponent: int) -> bool:
            right = hashlib.sha256(self.signing.secret_key + msgbuf[:-6]).digest()[:6]
            if not hmac.compare_digest(right, bytes(msgbuf[-6:])):
                return False
            return bool(super().check_signature(msgbuf, srcSystem, srcComponent))

    return common, Codec
