"""TIMESYNC (111): lets others relate our monotonic clock, that of every `time_usec`, to theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge_runtime.sinks.mavlink.messages import COMPANION, Message

if TYPE_CHECKING:
    from edge_runtime.sinks.mavlink.link import Received


def reply(request: Received, now_ns: int, sysid: int, camera: int) -> Message | None:
    """Our time for a request (`tc1` 0) meant for us or for all; None for anything else.

    Their `ts1` comes back as it came, whatever clock it is of. The companion answers a request to all.
    """
    fields: dict[str, Any] = request.fields
    system, component = fields["target_system"], fields["target_component"]
    if fields["tc1"] != 0 or system not in (0, sysid) or component not in (0, camera, COMPANION):
        return None
    answer = {"tc1": now_ns, "ts1": fields["ts1"]}
    answer.update(target_system=request.sysid, target_component=request.compid)
    return Message("timesync", answer, component or COMPANION)
