"""What is sent in which state: each record once, at once, or not at all.

record ──report──▶ tracking status, LANDING_TARGET, gimbal rates, STATUSTEXT       (sink thread)
health, clock ──watch──▶ idle, gimbal still, STATUSTEXT when results stop coming   (link thread)
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from edge_runtime.sinks.mavlink import messages
from edge_runtime.stats import Histogram

if TYPE_CHECKING:
    from edge_runtime.live import Health
    from edge_runtime.records import Record
    from edge_runtime.sinks.mavlink.gimbal import Gimbal
    from edge_runtime.sinks.mavlink.intervals import Intervals
    from edge_runtime.sinks.mavlink.link import Link
    from edge_runtime.sinks.mavlink.messages import Matrix

WITH_BOX = ("TRACKING", "COASTING")
IDLE_AFTER_NS = 500_000_000  # without a record the last box is taken back: receivers keep it for ever
STILL_AFTER_NS = 200_000_000


class Reporter:
    """Owns what was said last. `camera`: how the camera faces, where LANDING_TARGET is sent (`profile`)."""

    def __init__(
        self, link: Link, intervals: Intervals, health: Health, compid: int, max_age_ms: float, *,
        profile: str | None = None, camera: Matrix = messages.DOWN, gimbal: Gimbal | None = None,
    ) -> None:  # fmt: skip
        self._link, self._intervals, self._health = link, intervals, health
        self._compid, self._profile, self._camera, self._gimbal = compid, profile, camera, gimbal
        self._max_age_ns = int(max_age_ms * 1e6)
        self._lock = threading.RLock()
        self._shown: Record | None = None  # the box that receivers show
        self._last_ns: int | None = None  # when the last record came
        self._tid: int | None = None
        self._tracked = False
        self._faulted = False
        self._was_healthy = False
        self._landing_ns = -1
        self.landing_ages = Histogram()  # capture to sent, what PLND_LAG is to make up for

    def report(self, record: Record, now_ns: int) -> None:
        """Send what this record is for; one that has grown too old counts as nothing found."""
        with self._lock:
            self._last_ns = now_ns
            if record["state"] == "FAULT" or not self._health.healthy():
                if record["state"] == "FAULT" or self._was_healthy:
                    self._fault()
                return
            self._faulted, self._was_healthy = False, True
            expires_ns = record["t_cap_mono_ns"] + self._max_age_ns
            fresh = now_ns <= expires_ns
            if record["valid"] and fresh:
                self._land(record, expires_ns)
            self._tell_transition(record)
            self._show(record if fresh and record["state"] in WITH_BOX else None, now_ns, expires_ns)
            self._steer(record, now_ns, expires_ns)

    def watch(self, now_ns: int) -> None:
        """Take back what no record confirms any more; call every few ten milliseconds."""
        with self._lock:
            healthy = self._health.healthy()
            if self._was_healthy and not healthy:
                self._fault()
            self._was_healthy = healthy
            silent_ns = now_ns - (self._last_ns or now_ns)
            if silent_ns > IDLE_AFTER_NS and self._shown is not None:
                self._idle(self._intervals.listening(self._link.peers()))
            if silent_ns > STILL_AFTER_NS and self._gimbal is not None:
                self._send_all(self._gimbal.hold())

    def status(self, now_ns: int) -> messages.Message:
        """The present tracking status, for who asks once: idle unless the last box is still young."""
        with self._lock:
            shown = self._shown
            if shown is not None and now_ns > shown["t_cap_mono_ns"] + self._max_age_ns:
                shown = None
            return messages.tracking_status(shown, self._compid)

    def gimbal_acknowledged(self, result: int) -> None:
        """The gimbal manager answered our wish for control."""
        with self._lock:
            if self._gimbal is not None:
                self._gimbal.acknowledged(result)

    def end(self) -> None:
        """The run is over: no box, no motion."""
        with self._lock:
            if self._shown is not None:
                self._idle(self._intervals.listening(self._link.peers()))
            if self._gimbal is not None:
                self._send_all(self._gimbal.release())

    def _land(self, record: Record, expires_ns: int) -> None:
        """One LANDING_TARGET per detection; capture times rise strictly, so none is ever repeated."""
        if (
            self._profile is None
            or record["bearing"] is None
            or record["t_cap_mono_ns"] // 1000 <= self._landing_ns
        ):
            return
        message = messages.landing_target(record, self._profile, self._camera)
        if message is None:
            return
        self._landing_ns = message.fields["time_usec"]
        if self._link.send(message, not_after_ns=expires_ns):
            self.landing_ages.add(time.monotonic_ns() - record["t_cap_mono_ns"])

    def _show(self, record: Record | None, now_ns: int, expires_ns: int) -> None:
        peers = self._link.peers()
        due = self._intervals.due(peers, now_ns)
        if record is None:
            self._idle(self._intervals.listening(peers) if self._shown is not None else due)
            return
        self._shown = record
        for peer in due:
            self._link.send(messages.tracking_status(record, self._compid), peer, not_after_ns=expires_ns)

    def _idle(self, peers: list[object]) -> None:
        self._shown = None
        for peer in peers:
            self._link.send(messages.tracking_status(None, self._compid), peer)

    def _steer(self, record: Record, now_ns: int, expires_ns: int) -> None:
        if self._gimbal is None:
            return
        if record["valid"] and now_ns <= expires_ns and record["bearing"] is not None:
            for message in self._gimbal.follow(record, now_ns):
                self._link.send(message, not_after_ns=expires_ns)
        elif record["state"] in WITH_BOX:
            self._send_all(self._gimbal.hold())
        else:
            self._send_all(self._gimbal.release())

    def _tell_transition(self, record: Record) -> None:
        tracked = record["state"] in WITH_BOX
        if tracked and (not self._tracked or record["tid"] != self._tid):
            self._say(messages.INFO, f"dips-edge: ACQUIRED {record['cls']}{_number(record['tid'])}")
        elif self._tracked and record["state"] == "LOST":
            self._say(messages.WARNING, f"dips-edge: LOST{_number(self._tid)}")
        self._tracked, self._tid = tracked, record["tid"] if tracked else None

    def _fault(self) -> None:
        """Said once: then nothing more, heartbeats included, until the pipeline is healthy again."""
        if self._faulted:
            return
        self._faulted, self._tracked, self._tid = True, False, None
        self._idle(self._intervals.listening(self._link.peers()))
        if self._gimbal is not None:
            self._send_all(self._gimbal.release())
        self._say(messages.ERROR, f"dips-edge: FAULT {self._health.reason or ''}".rstrip())

    def _say(self, severity: int, text: str) -> None:
        self._link.send(messages.statustext(severity, text))

    def _send_all(self, wanted: list[messages.Message]) -> None:
        for message in wanted:
            self._link.send(message)


def _number(tid: int | None) -> str:
    """Of a track; photos have none."""
    return "" if tid is None else f" #{tid}"
