"""Results for ROS 2: vision_msgs/Detection2DArray per frame, and beside it the whole record as text.

record ──▶ TOPIC         one Detection2D for a valid detection, an empty array for everything else
       ──▶ TOPIC/record  std_msgs/String with the JSON record: state, validity and age have no field above
"""

from __future__ import annotations

import importlib
import re
from time import monotonic_ns
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from edge_runtime.errors import SinkError
from edge_runtime.records import encode

if TYPE_CHECKING:
    from edge_runtime.live import RunContext
    from edge_runtime.records import Record
    from edge_runtime.sinks.base import Result

DEFAULT_FRAME_ID = "camera_optical_frame"
_TOPIC = re.compile(r"/?[A-Za-z][A-Za-z0-9_]*(/[A-Za-z][A-Za-z0-9_]*)*")
_DEPTH = 1  # a reader that is late gets the newest, never a backlog


class Ros2:
    """A `Sink` with a ROS 2 node of its own (Humble or later, for the names of vision_msgs' fields).

    `header.stamp` is the capture in the ROS clock; boxes are in pixels of the frame, the id is the track's.
    """

    capacity = 2

    def __init__(self, target: str, *, force: bool = False, context: RunContext | None = None) -> None:
        """`target`: TOPIC or TOPIC?frame_id=NAME.

        Raises:
            SinkError: rclpy or vision_msgs cannot be imported, or the topic is none.
        """
        topic, self._frame_id = _parse(target)
        self.name = f"ros2:{topic}"
        rclpy, vision, std = _packages()
        self._vision = vision
        self._text = std.String
        self._context = rclpy.Context()
        rclpy.init(args=[], context=self._context)  # a context of its own leaves our signal handlers alone
        self._node = rclpy.create_node("dips_edge", context=self._context)
        self._detections = self._node.create_publisher(vision.Detection2DArray, topic, _DEPTH)
        self._records = self._node.create_publisher(std.String, f"{topic}/record", _DEPTH)
        self._time = importlib.import_module("rclpy.time").Time

    def start(self, header: Record) -> None:
        """Send the header on the topic of records."""
        self._records.publish(self._as_text(header))

    def write(self, result: Result) -> None:
        """Send both messages of one frame."""
        self._detections.publish(self._as_detections(result.record))
        self._records.publish(self._as_text(result.record))

    def close(self) -> None:
        """End the node and its context."""
        self._node.destroy_node()
        self._context.try_shutdown()

    def _as_text(self, record: Record) -> Any:
        message = self._text()
        message.data = encode(record).decode().rstrip("\n")
        return message

    def _as_detections(self, record: Record) -> Any:
        clock = self._node.get_clock()
        captured_ns = clock.now().nanoseconds - (monotonic_ns() - record["t_cap_mono_ns"])
        message = self._vision.Detection2DArray()
        message.header.stamp = self._time(
            nanoseconds=max(0, captured_ns), clock_type=clock.clock_type
        ).to_msg()
        message.header.frame_id = self._frame_id
        if record["valid"]:
            message.detections = [self._as_detection(record, message.header)]
        return message

    def _as_detection(self, record: Record, header: Any) -> Any:
        width, height = record["frame"]["w"], record["frame"]["h"]
        x0, y0, x1, y1 = record["box"]
        detection = self._vision.Detection2D()
        detection.header = header
        detection.id = "" if record["tid"] is None else str(record["tid"])
        detection.bbox.center.position.x = (x0 + x1) / 2 * width
        detection.bbox.center.position.y = (y0 + y1) / 2 * height
        detection.bbox.size_x = (x1 - x0) * width
        detection.bbox.size_y = (y1 - y0) * height
        guess = self._vision.ObjectHypothesisWithPose()
        guess.hypothesis.class_id = record["cls"]
        guess.hypothesis.score = float(record["score"])
        detection.results = [guess]
        return detection


def _parse(target: str) -> tuple[str, str]:
    topic, _, query = target.partition("?")
    if not _TOPIC.fullmatch(topic):
        raise SinkError(
            f"ros2:{topic} is no topic; expected letters, digits, _ and /, such as ros2:/dips_edge"
        )
    key, _, frame_id = query.partition("=")
    if query and (key != "frame_id" or not frame_id or "&" in frame_id):
        raise SinkError(f"ros2:{topic}: unknown option {query!r}, expected frame_id=NAME")
    return topic, unquote(frame_id) if query else DEFAULT_FRAME_ID


def _packages() -> tuple[Any, Any, Any]:
    try:
        found = [importlib.import_module(name) for name in ("rclpy", "vision_msgs.msg", "std_msgs.msg")]
    except ImportError as error:
        raise SinkError(
            f"a ros2: sink needs ROS 2 with {error.name or 'rclpy'} (Humble or later): "
            "source /opt/ros/DISTRO/setup.bash, apt install ros-DISTRO-vision-msgs, "
            "and run dips-edge with that Python"
        ) from error
    return found[0], found[1], found[2]
