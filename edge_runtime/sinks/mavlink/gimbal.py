"""Keeps the target in the middle by rates to a gimbal manager; still whenever there is no fresh detection.

bearing ──▶ GIMBAL_MANAGER_SET_PITCHYAW (287); control is taken with a track, given back when it is lost
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edge_runtime.sinks.mavlink.messages import COMPANION, Message

if TYPE_CHECKING:
    from edge_runtime.records import Record

CONFIGURE = 1001  # MAV_CMD_DO_GIMBAL_MANAGER_CONFIGURE
UNCHANGED, REMOVE = -1.0, -3.0
LOCK_ROLL_PITCH = 4 | 8  # GIMBAL_MANAGER_FLAGS: relative to the horizon
GAIN_PER_S = 1.0  # half of an error is gone after 0.7 s
MAX_RATE = math.radians(30.0)
DEADBAND = math.radians(0.3)
STILL_TIMES = 5  # datagrams get lost, and no gimbal manager stops by itself
ASK_AGAIN_NS = 1_000_000_000


class Gimbal:
    """What to tell the gimbal manager `manager` (a component id) of vehicle `sysid`, call by call."""

    def __init__(self, sysid: int, manager: int) -> None:
        self._target = {"target_system": sysid, "target_component": manager}
        self._sysid = sysid
        self._moving = False
        self._in_control = False
        self._accepted = False
        self._asked_ns = 0

    @property
    def moving(self) -> bool:
        """Whether the last rates sent were other than zero."""
        return self._moving

    def follow(self, record: Record, now_ns: int) -> list[Message]:
        """Rates towards a valid record with a bearing; asks for control until it is granted."""
        messages = []
        if not self._accepted and (not self._in_control or now_ns - self._asked_ns >= ASK_AGAIN_NS):
            self._in_control, self._asked_ns = True, now_ns
            messages.append(self._configure(float(self._sysid), float(COMPANION)))
        bearing = record["bearing"]
        self._moving = True
        messages.append(self._rates(_rate(-bearing["ang_y"]), _rate(bearing["ang_x"])))
        return messages

    def hold(self) -> list[Message]:
        """Stand still: no fresh detection."""
        return self._still() if self._moving else []

    def release(self) -> list[Message]:
        """Stand still and give control back; nothing when it was never taken."""
        if not self._in_control:
            return []
        messages = [*self._still(), self._configure(REMOVE, REMOVE)]
        self._in_control = self._accepted = False
        return messages

    def acknowledged(self, result: int) -> None:
        """COMMAND_ACK of a CONFIGURE."""
        self._accepted = self._in_control and result == 0

    def _still(self) -> list[Message]:
        self._moving = False
        return [self._rates(0.0, 0.0)] * STILL_TIMES

    def _rates(self, pitch_rate: float, yaw_rate: float) -> Message:
        fields = {"flags": LOCK_ROLL_PITCH, "gimbal_device_id": 0, "pitch": math.nan, "yaw": math.nan}
        fields.update(pitch_rate=pitch_rate, yaw_rate=yaw_rate)
        return Message("gimbal_manager_set_pitchyaw", {**self._target, **fields})

    def _configure(self, system: float, component: float) -> Message:
        params = (system, component, UNCHANGED, UNCHANGED, math.nan, math.nan, 0.0)
        fields = {f"param{i}": value for i, value in enumerate(params, 1)}
        return Message("command_long", {**self._target, "command": CONFIGURE, "confirmation": 0, **fields})


def _rate(error_rad: float) -> float:
    """rad/s for an error in the picture; zero inside the dead band."""
    if abs(error_rad) < DEADBAND:
        return 0.0
    return max(-MAX_RATE, min(MAX_RATE, GAIN_PER_S * error_rad))
