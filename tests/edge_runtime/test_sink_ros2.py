"""ROS 2 messages against a fake: a recorder of the few rclpy calls the sink makes, not ROS itself.

It shows which fields get which values and in what order things are made and ended; that ROS 2 takes them is
checked only where rclpy can be imported (last test).
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from edge_runtime.errors import SinkError
from edge_runtime.sinks import open_sink
from tests.edge_runtime.results import HEADER, result

ROS_NOW_NS = 1_700_000_000_000_000_000


def message(**fields: Any) -> type:
    """A message class that, like ROS 2's, has exactly these fields; a value is a maker of its default."""

    class Message:
        __slots__ = tuple(fields)

        def __init__(self) -> None:
            for name, make in fields.items():
                setattr(self, name, make())

    return Message


Point = message(x=float, y=float)
Pose = message(position=Point, theta=float)
Box = message(center=Pose, size_x=float, size_y=float)
Header = message(stamp=lambda: None, frame_id=str)
Hypothesis = message(class_id=str, score=float)
Guess = message(hypothesis=Hypothesis, pose=lambda: None)
Detection = message(header=Header, results=list, bbox=Box, id=str)
Detections = message(header=Header, detections=list)
String = message(data=str)


class Recorder:
    """What was called, and what was published on which topic."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.published: dict[str, list[Any]] = {}
        self.types: dict[str, type] = {}

    def init(self, *, args: list[str], context: Any) -> None:
        assert args == []
        assert context is not None  # the default one would take over SIGINT
        self.calls.append("init")

    def create_node(self, name: str, *, context: Any) -> Any:
        self.calls.append(f"node {name}")
        clock = SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=ROS_NOW_NS), clock_type="ros")
        return SimpleNamespace(
            create_publisher=self.create_publisher,
            get_clock=lambda: clock,
            destroy_node=lambda: self.calls.append("destroy"),
        )

    def create_publisher(self, kind: type, topic: str, depth: int) -> Any:
        self.types[topic] = kind
        return SimpleNamespace(publish=self.published.setdefault(topic, []).append)


@pytest.fixture
def ros(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()

    def module(name: str, **names: Any) -> None:
        made = ModuleType(name)
        made.__dict__.update(names)
        monkeypatch.setitem(sys.modules, name, made)

    context = SimpleNamespace(try_shutdown=lambda: recorder.calls.append("shutdown"))
    module(
        "rclpy", init=recorder.init, create_node=recorder.create_node, Context=lambda: context, __path__=[]
    )
    module(
        "rclpy.time",
        Time=lambda nanoseconds, clock_type: SimpleNamespace(to_msg=lambda: (nanoseconds, clock_type)),
    )
    module("vision_msgs", __path__=[])
    module(
        "vision_msgs.msg",
        Detection2DArray=Detections,
        Detection2D=Detection,
        ObjectHypothesisWithPose=Guess,
    )
    module("std_msgs", __path__=[])
    module("std_msgs.msg", String=String)
    return recorder


def fly(results: list[Any], uri: str = "ros2:/dips_edge") -> None:
    sink = open_sink(uri)
    sink.start(HEADER)
    for one in results:
        sink.write(one)
    sink.close()


def test_a_valid_detection_is_one_box_in_pixels_stamped_with_its_capture(ros):
    found = result(image=None)
    found = replace(
        found,
        record={**found.record, "box": [0.25, 0.5, 0.5, 0.75], "tid": 7, "score": 0.9, "valid": True},
    )
    age_ns = time.monotonic_ns() - found.record["t_cap_mono_ns"]
    fly([found])
    (array,) = ros.published["/dips_edge"]
    (detection,) = array.detections
    width, height = found.record["frame"]["w"], found.record["frame"]["h"]
    center = detection.bbox.center.position
    assert (center.x, center.y) == (0.375 * width, 0.625 * height)
    assert (detection.bbox.size_x, detection.bbox.size_y) == (0.25 * width, 0.25 * height)
    assert detection.id == "7"
    assert [(g.hypothesis.class_id, g.hypothesis.score) for g in detection.results] == [("square", 0.9)]
    stamp_ns, clock = array.header.stamp
    assert clock == "ros"
    assert age_ns <= ROS_NOW_NS - stamp_ns < age_ns + 1e9
    assert array.header.frame_id == detection.header.frame_id == "camera_optical_frame"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"valid": False}, id="too old"),
        pytest.param({"valid": False, "state": "COASTING", "box_src": "pred", "score": None}, id="predicted"),
        pytest.param({"valid": False, "state": "SEARCHING", "box": None, "box_src": None}, id="nothing"),
    ],
)
def test_what_is_no_valid_detection_is_an_empty_array(ros, changes):
    one = result()
    fly([replace(one, record={**one.record, **changes})])
    (array,) = ros.published["/dips_edge"]
    assert array.detections == []
    assert array.header.stamp is not None


def test_the_whole_record_goes_beside_it_as_text(ros):
    results = [result(index) for index in range(3)]
    fly(results, "ros2:perception/target?frame_id=nose_cam")
    texts = [json.loads(one.data) for one in ros.published["perception/target/record"]]
    assert texts == [HEADER, *(one.record for one in results)]
    assert {one.header.frame_id for one in ros.published["perception/target"]} == {"nose_cam"}
    assert ros.types["perception/target"] is Detections
    assert ros.calls == ["init", "node dips_edge", "destroy", "shutdown"]


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        pytest.param("ros2:/a b", "no topic", id="a space"),
        pytest.param("ros2:/1a", "no topic", id="begins with a digit"),
        pytest.param("ros2:/a/", "no topic", id="ends with a slash"),
        pytest.param("ros2:/a?qos=best", "unknown option 'qos=best', expected frame_id=NAME", id="option"),
    ],
)
def test_what_is_no_topic_is_one_line(ros, uri, expected):
    with pytest.raises(SinkError, match=expected):
        open_sink(uri)
    assert ros.calls == []


@pytest.mark.parametrize("missing", ["rclpy", "vision_msgs.msg"])
def test_without_ros_one_line_says_what_to_install(ros, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(
        SinkError, match=f"needs ROS 2 with {missing} .*source /opt/ros/DISTRO/setup.bash"
    ) as it:
        open_sink("ros2:/dips_edge")
    assert "\n" not in str(it.value)
    assert ros.calls == []


def test_real_ros_takes_the_messages():
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    pytest.importorskip("vision_msgs.msg", reason="vision_msgs is not installed")
    fly([result(), result(1, empty=True)])
