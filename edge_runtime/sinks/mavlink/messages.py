"""Records ──▶ MAVLink messages as plain values: which field means what to which receiver. Pure functions.

Numbers are those of MAVLink's common.xml. Autopilots' readings of LANDING_TARGET: README of this room.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_runtime.records import Record

    Vector = Sequence[float]
    Matrix = Sequence[Vector]

COMPANION = 191  # MAV_COMP_ID_ONBOARD_COMPUTER
TYPE_ONBOARD, TYPE_CAMERA = 18, 30
AUTOPILOT_INVALID, STATE_ACTIVE = 8, 4
STATUS_IDLE, STATUS_ACTIVE, STATUS_COASTING = 0, 1, 9  # 9: active, obscured and predicted
MODE_RECTANGLE, IN_STATUS = 2, 4
FRAME_BODY_FRD, VISION_OTHER = 12, 3
HAS_TRACKING_POINT, HAS_TRACKING_RECTANGLE = 512, 1024
ERROR, WARNING, INFO = 3, 4, 6  # MAV_SEVERITY
TEXT_BYTES, NAME_BYTES = 50, 32

# body_from_camera of the two mountings that autopilots know
DOWN: Matrix = ((0, -1, 0), (1, 0, 0), (0, 0, 1))
FORWARD: Matrix = ((0, 0, 1), (1, 0, 0), (0, 1, 0))


class Message(NamedTuple):
    """`name` of the message in lower case, its `fields`, and the component that says it."""

    name: str
    fields: dict[str, Any]
    compid: int = COMPANION


def heartbeat(compid: int) -> Message:
    """HEARTBEAT (0) of the camera, or of the companion computer."""
    kind = TYPE_ONBOARD if compid == COMPANION else TYPE_CAMERA
    fields = {"type": kind, "autopilot": AUTOPILOT_INVALID, "base_mode": 0, "custom_mode": 0}
    return Message("heartbeat", {**fields, "system_status": STATE_ACTIVE, "mavlink_version": 3}, compid)


def tracking_status(record: Record | None, compid: int) -> Message:
    """CAMERA_TRACKING_IMAGE_STATUS (275) of a record in TRACKING or COASTING; None is idle."""
    status, mode, data = STATUS_IDLE, 0, 0
    box: Vector = (math.nan,) * 4
    if record is not None:
        status = STATUS_ACTIVE if record["state"] == "TRACKING" else STATUS_COASTING
        mode, data, box = MODE_RECTANGLE, IN_STATUS, record["box"]
    fields: dict[str, Any] = {"tracking_status": status, "tracking_mode": mode, "target_data": data}
    fields.update(dict.fromkeys(("point_x", "point_y", "radius"), math.nan))
    corners = ("rec_top_x", "rec_top_y", "rec_bottom_x", "rec_bottom_y")
    return Message("camera_tracking_image_status", {**fields, **dict(zip(corners, box))}, compid)


def facing(mount: Matrix) -> Matrix | None:
    """`DOWN` or `FORWARD`, whichever the optical axis is within 45° of; None when it is neither.

    Args:
        mount: body_from_camera, rows; body is forward-right-down.
    """
    axis = [row[2] for row in mount]
    near = math.cos(math.radians(45.0))
    if axis[2] >= near:
        return DOWN
    return FORWARD if axis[0] >= near else None


def landing_target(record: Record, profile: str, camera: Matrix) -> Message | None:
    """LANDING_TARGET (149) of one detection; None when it lies beside or behind the camera.

    Angles are those an ideally mounted camera would see (`camera`: `DOWN` or `FORWARD`), so that a tilted
    mount makes no error. `ardupilot` gets them in radians, or the position where the range is known; `px4`
    gets their tangents, as its estimator takes them, and no position: that would have to be absolute.

    Args:
        record: a valid one with `bearing` and `los`.
    """
    bearing, los, range_m = record["bearing"], record["los"], record["range_m"]
    x, y, z = (sum(camera[row][column] * los[row] for row in range(3)) for column in range(3))
    if z <= 1e-3:
        return None
    fields: dict[str, Any] = {
        "time_usec": record["t_cap_mono_ns"] // 1000,
        "target_num": 0,
        "frame": FRAME_BODY_FRD,
        "angle_x": x / z if profile == "px4" else math.atan2(x, z),
        "angle_y": y / z if profile == "px4" else math.atan2(y, z),
        "distance": 0.0,
        "size_x": bearing["size_x"],
        "size_y": bearing["size_y"],
        "type": VISION_OTHER,
        "position_valid": 0,
    }
    if profile == "ardupilot" and range_m is not None:
        norm = math.hypot(*los)
        position = {axis: range_m * part / norm for axis, part in zip("xyz", los)}
        fields.update(position, distance=range_m, position_valid=1)
    return Message("landing_target", fields)


def statustext(severity: int, text: str) -> Message:
    """STATUSTEXT (253), cut to 50 ASCII characters."""
    return Message("statustext", {"severity": severity, "text": _ascii(text, TEXT_BYTES)})


def ack(compid: int, command: int, result: int, to_system: int, to_component: int) -> Message:
    """COMMAND_ACK (77) to the one who gave the command."""
    fields = {"command": command, "result": result, "progress": 0, "result_param2": 0}
    return Message(
        "command_ack", {**fields, "target_system": to_system, "target_component": to_component}, compid
    )


def camera_information(
    compid: int, now_ns: int, model: str, version: str, size: Sequence[int] | None
) -> Message:
    """CAMERA_INFORMATION (259). `size`: width and height in pixels, None before they are known."""
    width, height = size or (0, 0)
    fields = {
        "time_boot_ms": now_ns // 1_000_000 % 2**32,
        "vendor_name": list(_ascii("dips-edge", NAME_BYTES).ljust(NAME_BYTES, b"\0")),
        "model_name": list(_ascii(model, NAME_BYTES).ljust(NAME_BYTES, b"\0")),
        "firmware_version": _firmware(version),
        **dict.fromkeys(("focal_length", "sensor_size_h", "sensor_size_v"), math.nan),
        "resolution_h": width,
        "resolution_v": height,
        "lens_id": 0,
        "flags": HAS_TRACKING_RECTANGLE | HAS_TRACKING_POINT,
        "cam_definition_version": 0,
        "cam_definition_uri": b"",
    }
    return Message("camera_information", fields, compid)


def _ascii(text: str, most: int) -> bytes:
    return text.encode("ascii", "replace")[:most]


def _firmware(version: str) -> int:
    """Major in the lowest byte, then minor and patch."""
    parts = [int(part) if part.isdigit() else 0 for part in version.split(".")[:3]]
    return sum(min(part, 255) << (8 * i) for i, part in enumerate(parts))
