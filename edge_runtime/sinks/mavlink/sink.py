"""The sink itself: opens the link, gives records to the reporter, and serves the link in a thread of its own.

sink thread:  Result ──write──▶ Reporter
link thread:  commands and TIMESYNC answered at once, heartbeats at 1 Hz while the pipeline is healthy
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from typing import TYPE_CHECKING

from edge_runtime import __version__
from edge_runtime.errors import SinkError
from edge_runtime.live import RunContext
from edge_runtime.sinks.mavlink import messages, timesync
from edge_runtime.sinks.mavlink.camera import CameraComponent
from edge_runtime.sinks.mavlink.gimbal import CONFIGURE, Gimbal
from edge_runtime.sinks.mavlink.intervals import Intervals
from edge_runtime.sinks.mavlink.link import Link
from edge_runtime.sinks.mavlink.messages import COMPANION
from edge_runtime.sinks.mavlink.reporter import Reporter
from edge_runtime.sinks.mavlink.signing import SigningClock, read_key, time_file
from edge_runtime.sinks.mavlink.uri import parse

if TYPE_CHECKING:
    from edge_runtime.records import Record
    from edge_runtime.sinks.base import Result
    from edge_runtime.sinks.mavlink.link import Received
    from edge_runtime.sinks.mavlink.messages import Matrix
    from edge_runtime.sinks.mavlink.transport import Transport
    from edge_runtime.sinks.mavlink.uri import MavlinkOptions
    from edge_runtime.stats import Histogram

log = logging.getLogger(__name__)

POLL_S = 0.02
HEARTBEAT_NS = 1_000_000_000
JOIN_S = 1.0


class MavlinkSink:
    """A `Sink` to one MAVLink link; options: `uri.py`.

    Raises:
        SinkError: a misspelt URI, an address or device that cannot be opened, a key that cannot be used.
        MissingExtra: pymavlink is not installed.
    """

    capacity = 4  # ages are checked again when sending: waiting results cannot do harm

    def __init__(self, target: str, *, force: bool = False, context: RunContext | None = None) -> None:
        self.name = f"mavlink:{target.partition('?')[0]}"
        self._options = options = parse(target)
        self._context = context or RunContext()
        key = clock = None
        if options.signing_key is not None:
            key = read_key(options.signing_key)
            clock = SigningClock(time_file(options.signing_key, options.link_id))
        transport = _open(options)
        try:
            self.link = Link(transport, options.sysid, options.compid, key, options.link_id, clock)
        except BaseException:
            transport.close()
            raise
        self._intervals = Intervals(options.rate_hz)
        self._reporter: Reporter | None = None
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._broken: Exception | None = None  # what ended the thread of the link

    @property
    def needs_camera(self) -> bool:
        """Whether it can only work with bearings, that is with a camera file."""
        return self._options.landing_target is not None or self._options.gimbal > 0

    def start(self, header: Record) -> None:
        """Begin to serve the link.

        Raises:
            SinkError: LANDING_TARGET or gimbal rates are wanted, and there is no camera that allows them.
        """
        options, source = self._options, header["source"]
        camera = _camera_facing(options, header)
        gimbal = Gimbal(options.sysid, options.gimbal) if options.gimbal else None
        reporter = Reporter(
            self.link, self._intervals, self._context.health, options.compid, header["max_age_ms"],
            profile=options.landing_target, camera=camera, gimbal=gimbal,
        )  # fmt: skip
        model = header["model"]["name"]
        component = CameraComponent(
            options.sysid, options.compid, self._context.controls, self._context.health, self._intervals,
            lambda: messages.camera_information(
                options.compid, time.monotonic_ns(), model, __version__, source["size"]
            ),
            lambda: reporter.status(time.monotonic_ns()),
        )  # fmt: skip
        self._reporter = reporter
        self._thread = threading.Thread(
            target=self._serve, args=(reporter, component), name=f"link {self.name}", daemon=True
        )
        self._thread.start()

    def write(self, result: Result) -> None:
        """Send what the record is for, unless it has grown too old by now."""
        self.report(result.record)

    def report(self, record: Record) -> None:
        """As `write`, for a record alone."""
        assert self._reporter is not None
        if self._broken is not None:
            raise SinkError(f"its link broke off: {self._broken} (-v shows where)") from self._broken
        self._reporter.report(record, time.monotonic_ns())

    def close(self) -> None:
        """Take back the box, stop the gimbal, close the link."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(JOIN_S)
        if self._reporter is not None:
            self._reporter.end()
            self._tell(self._reporter.landing_ages)
        self.link.close()

    def _tell(self, ages: Histogram) -> None:
        """What left and what did not; the median age is what the autopilot is to be told (PLND_LAG)."""
        if ages.count:
            p50_ms, p99_ms = ages.percentiles_ms(50, 99)
            log.info(
                "%s: %d LANDING_TARGET, p50 %.0f and p99 %.0f ms after capture",
                self.name,
                ages.count,
                p50_ms,
                p99_ms,
            )
        if self.link.late or self.link.lost or self.link.refused:
            counts = (self.link.sent, self.link.late, self.link.lost, self.link.refused)
            log.info("%s: %d packets sent, %d too old, %d lost; %d refused", self.name, *counts)

    def _serve(self, reporter: Reporter, component: CameraComponent) -> None:
        _hurry()
        beat_ns = 0
        try:
            while not self._ending.is_set():
                for received in self.link.receive(POLL_S):
                    self._answer(received, reporter, component)
                now_ns = time.monotonic_ns()
                reporter.watch(now_ns)
                if now_ns >= beat_ns and self._context.health.healthy():
                    beat_ns = now_ns + HEARTBEAT_NS
                    self.link.send(messages.heartbeat(self._options.compid))
                    self.link.send(messages.heartbeat(COMPANION))
                self.link.keep_time()
        except Exception as error:  # `report` gives the sink up: the flight goes on without it
            self._broken = error
            log.debug("%s: its link broke off", self.name, exc_info=True)

    def _answer(self, received: Received, reporter: Reporter, component: CameraComponent) -> None:
        now_ns = time.monotonic_ns()
        if received.name == "timesync":
            reply = timesync.reply(received, now_ns, self._options.sysid, self._options.compid)
            if reply is not None:
                self.link.send(reply, received.peer)
        elif received.name in ("command_long", "command_int"):
            for message in component.answers(received, now_ns):
                self.link.send(message, received.peer)
        elif received.name == "command_ack" and received.fields["command"] == CONFIGURE:
            reporter.gimbal_acknowledged(received.fields["result"])


def _open(options: MavlinkOptions) -> Transport:
    if options.kind == "serial":
        from edge_runtime.sinks.mavlink.serialport import Serial

        return Serial(options.place, options.number)
    from edge_runtime.sinks.mavlink.transport import UdpIn, UdpOut

    return (UdpOut if options.kind == "udpout" else UdpIn)(options.place, options.number)


def _camera_facing(options: MavlinkOptions, header: Record) -> Matrix:
    """How the camera faces, where what is wanted depends on it."""
    if options.landing_target is None and not options.gimbal:
        return messages.DOWN
    wanted = "landing_target" if options.landing_target else "gimbal"
    if header["calib"] is None or header["mount"] is None:
        raise SinkError(f"{wanted} needs bearings; give the camera's calibration with --camera FILE")
    facing = messages.facing(header["mount"])
    if facing is None and options.landing_target:
        raise SinkError("landing_target needs a camera that faces down or forward within 45 degrees")
    return facing or messages.DOWN


def _hurry() -> None:
    """TIMESYNC wants answers within milliseconds; not everybody may ask for a higher priority."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -10)
