"""The camera component: answers the commands of the camera protocol, whatever their parameters hold.

COMMAND_LONG, COMMAND_INT ──answers──▶ COMMAND_ACK and what was asked for; wishes go to Controls and Intervals
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Tuple

from edge_runtime.sinks.mavlink.messages import COMPANION, Message, ack

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_runtime.live import Controls, Health
    from edge_runtime.sinks.mavlink.intervals import Intervals
    from edge_runtime.sinks.mavlink.link import Received

ACCEPTED, TEMPORARILY_REJECTED, DENIED, UNSUPPORTED, LONG_ONLY = 0, 1, 2, 3, 7  # MAV_RESULT
SET_MESSAGE_INTERVAL, REQUEST_MESSAGE, REQUEST_CAMERA_INFORMATION = 511, 512, 521
TRACK_POINT, TRACK_RECTANGLE, STOP_TRACKING = 2004, 2005, 2010
CAMERA_INFORMATION, TRACKING_IMAGE_STATUS = 259, 275
POINT_RADIUS = 0.05  # of the frame, for a point without one

Params = Tuple[float, ...]


@dataclass
class CameraComponent:
    """Answers commands to component `compid` of vehicle `sysid`.

    `information` and `status` make CAMERA_INFORMATION and the present CAMERA_TRACKING_IMAGE_STATUS.
    """

    sysid: int
    compid: int
    controls: Controls
    health: Health
    intervals: Intervals
    information: Callable[[], Message]
    status: Callable[[], Message]

    def answers(self, command: Received, now_ns: int) -> list[Message]:
        """COMMAND_ACK, then what was asked for; nothing when the command is not for us.

        A command to all components is answered only if it is one of ours: an UNSUPPORTED of ours could be
        taken for the autopilot's.
        """
        fields = command.fields
        target, number = fields["target_component"], fields["command"]
        if fields["target_system"] not in (0, self.sysid) or target not in (0, self.compid, COMPANION):
            return []
        to_all = target == 0 or fields["target_system"] == 0
        if target == COMPANION:
            return [ack(COMPANION, number, UNSUPPORTED, command.sysid, command.compid)]
        replies: list[Message] = []
        if number not in self._handlers:
            result = UNSUPPORTED
        elif command.name == "command_int":
            result = LONG_ONLY
        else:
            params = tuple(float(fields[f"param{i}"]) for i in range(1, 8))
            result, replies = self._handlers[number](self, command, params, now_ns)
        if to_all and result in (UNSUPPORTED, LONG_ONLY):
            return []
        return [ack(self.compid, number, result, command.sysid, command.compid), *replies]

    def _request(self, command: Received, params: Params, now_ns: int) -> tuple[int, list[Message]]:
        if params[0] == CAMERA_INFORMATION:
            return ACCEPTED, [self.information()]
        if params[0] == TRACKING_IMAGE_STATUS:
            return ACCEPTED, [self.status()]
        return _refusal(params[0]), []

    def _request_information(
        self, command: Received, params: Params, now_ns: int
    ) -> tuple[int, list[Message]]:
        if params[0] == 1:
            return ACCEPTED, [self.information()]
        return (ACCEPTED if params[0] == 0 else DENIED), []

    def _set_interval(self, command: Received, params: Params, now_ns: int) -> tuple[int, list[Message]]:
        message, interval_us = params[:2]
        if message != TRACKING_IMAGE_STATUS:
            return _refusal(message), []
        if not math.isfinite(interval_us) or (interval_us < 0 and interval_us != -1):
            return DENIED, []
        taken = self.intervals.ask(command.endpoint, interval_us, now_ns)
        return (ACCEPTED if taken else TEMPORARILY_REJECTED), []

    def _track_point(self, command: Received, params: Params, now_ns: int) -> tuple[int, list[Message]]:
        x, y, radius = params[:3]
        radius = POINT_RADIUS if math.isnan(radius) or radius == 0 else radius
        if not (0 <= x <= 1 and 0 <= y <= 1 and 0 < radius <= 1):
            return DENIED, []
        return self._seed(
            (max(x - radius, 0.0), max(y - radius, 0.0), min(x + radius, 1.0), min(y + radius, 1.0))
        )

    def _track_rectangle(self, command: Received, params: Params, now_ns: int) -> tuple[int, list[Message]]:
        x0, y0, x1, y1 = params[:4]
        if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):  # no comparison with NaN holds
            return DENIED, []
        return self._seed((x0, y0, x1, y1))

    def _seed(self, box_xyxy: tuple[float, float, float, float]) -> tuple[int, list[Message]]:
        if not self.health.healthy():
            return TEMPORARILY_REJECTED, []
        self.controls.seed(box_xyxy)
        return ACCEPTED, []

    def _stop(self, command: Received, params: Params, now_ns: int) -> tuple[int, list[Message]]:
        self.controls.stop_tracking()
        return ACCEPTED, []

    _handlers = {  # noqa: RUF012
        REQUEST_MESSAGE: _request,
        REQUEST_CAMERA_INFORMATION: _request_information,
        SET_MESSAGE_INTERVAL: _set_interval,
        TRACK_POINT: _track_point,
        TRACK_RECTANGLE: _track_rectangle,
        STOP_TRACKING: _stop,
    }


def _refusal(message_id: float) -> int:
    """Of a message we do not have: a number that is none is an error of the sender."""
    return UNSUPPORTED if math.isfinite(message_id) else DENIED
