"""The camera protocol: every command is answered, whatever its parameters hold."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.live import RunContext
from edge_runtime.sinks.mavlink.camera import CameraComponent
from edge_runtime.sinks.mavlink.intervals import MOST_ENDPOINTS, Intervals
from edge_runtime.sinks.mavlink.link import Received
from edge_runtime.sinks.mavlink.messages import Message

NAN, INF = math.nan, math.inf
ACCEPTED, LATER, DENIED, UNSUPPORTED, LONG_ONLY = 0, 1, 2, 3, 7
OURS = (511, 512, 521, 2004, 2005, 2010)


def component(context: RunContext | None = None) -> CameraComponent:
    if context is None:
        context = RunContext()
        context.health.recover()
    return CameraComponent(
        1, 100, context.controls, context.health, Intervals(0.0),
        lambda: Message("information", {}, 100), lambda: Message("status", {}, 100),
    )  # fmt: skip


def command(number, *params, name="command_long", system=1, target=100, sender=255):
    padded = (*params, *(NAN,) * (7 - len(params)))
    fields = {f"param{i}": value for i, value in enumerate(padded, 1)}
    fields.update(target_system=system, target_component=target, command=number)
    return Received("peer", sender, 190, name, fields)


def result_of(camera, one):
    """Result of the acknowledgement and the names of what follows it; None without any answer."""
    answers = camera.answers(one, 0)
    if not answers:
        return None
    assert answers[0].name == "command_ack"
    assert answers[0].fields["target_system"] == one.sysid
    return answers[0].fields["result"], [m.name for m in answers[1:]]


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        pytest.param(command(512, 259), (ACCEPTED, ["information"]), id="camera information"),
        pytest.param(command(512, 275), (ACCEPTED, ["status"]), id="tracking status once"),
        pytest.param(command(512, 260), (UNSUPPORTED, []), id="a message we do not have"),
        pytest.param(command(512), (DENIED, []), id="request of message NaN"),
        pytest.param(command(512, 259.5), (UNSUPPORTED, []), id="half a message id"),
        pytest.param(command(521, 1), (ACCEPTED, ["information"]), id="camera information, old style"),
        pytest.param(command(521, 0), (ACCEPTED, []), id="old style, no action"),
        pytest.param(command(521), (DENIED, []), id="old style, NaN"),
        pytest.param(command(511, 275, 33_333), (ACCEPTED, []), id="interval"),
        pytest.param(command(511, 275, 0), (ACCEPTED, []), id="default interval"),
        pytest.param(command(511, 275, -1), (ACCEPTED, []), id="interval off"),
        pytest.param(command(511, 275, -2), (DENIED, []), id="negative interval"),
        pytest.param(command(511, 275), (DENIED, []), id="interval NaN"),
        pytest.param(command(511, 275, INF), (DENIED, []), id="interval infinite"),
        pytest.param(command(511, 0, 1000), (UNSUPPORTED, []), id="interval of another message"),
        pytest.param(command(511), (DENIED, []), id="interval, all NaN"),
        pytest.param(command(2005, 0.1, 0.1, 0.2, 0.2), (ACCEPTED, []), id="rectangle"),
        pytest.param(command(2005, 0.0, 0.0, 1.0, 1.0), (ACCEPTED, []), id="rectangle, whole frame"),
        pytest.param(command(2005, 0.3, 0.1, 0.2, 0.2), (DENIED, []), id="rectangle, x swapped"),
        pytest.param(command(2005, 0.1, 0.2, 0.2, 0.2), (DENIED, []), id="rectangle without height"),
        pytest.param(command(2005, 0.2, 0.1, 0.2, 0.2), (DENIED, []), id="rectangle without width"),
        pytest.param(command(2005, 0.1, 0.1, 1.2, 0.2), (DENIED, []), id="rectangle beyond the frame"),
        pytest.param(command(2005, -0.1, 0.1, 0.2, 0.2), (DENIED, []), id="rectangle before the frame"),
        pytest.param(command(2005, 0.1, 0.1, NAN, 0.2), (DENIED, []), id="rectangle with NaN"),
        pytest.param(command(2005), (DENIED, []), id="rectangle, all NaN"),
        pytest.param(command(2004, 0.5, 0.5, 0.1), (ACCEPTED, []), id="point"),
        pytest.param(command(2004, 0.5, 0.5), (ACCEPTED, []), id="point without radius"),
        pytest.param(command(2004, 1.5, 0.5, 0.1), (DENIED, []), id="point beyond the frame"),
        pytest.param(command(2004, 0.5, NAN, 0.1), (DENIED, []), id="point with NaN"),
        pytest.param(command(2004, 0.5, 0.5, -0.1), (DENIED, []), id="point of negative radius"),
        pytest.param(command(2010), (ACCEPTED, []), id="stop"),
        pytest.param(command(400, 1), (UNSUPPORTED, []), id="arming, to us"),
        pytest.param(command(65535), (UNSUPPORTED, []), id="unknown command"),
        pytest.param(command(522, 1), (UNSUPPORTED, []), id="camera settings, old style"),
        pytest.param(command(2005, 0.1, 0.1, 0.2, 0.2, name="command_int"), (LONG_ONLY, []), id="int"),
        pytest.param(command(400, 1, target=0), None, id="arming, to all: not ours to answer"),
        pytest.param(command(2010, target=0), (ACCEPTED, []), id="stop, to all"),
        pytest.param(command(512, 259, system=0), (ACCEPTED, ["information"]), id="to all systems"),
        pytest.param(command(512, 259, target=191), (UNSUPPORTED, []), id="to the companion"),
        pytest.param(command(512, 259, target=1), None, id="to the autopilot"),
        pytest.param(command(512, 259, system=2), None, id="to another vehicle"),
    ],
)  # fmt: skip
def test_a_command_is_answered(one, expected):
    assert result_of(component(), one) == expected


@given(
    st.integers(0, 65535) | st.sampled_from(OURS),
    st.lists(st.floats(width=32), min_size=7, max_size=7),
    st.sampled_from(["command_long", "command_int"]),
)
def test_any_command_with_any_parameters_gets_one_acknowledgement(number, params, name):
    result, _ = result_of(component(), command(number, *params, name=name))
    assert result in (ACCEPTED, DENIED, UNSUPPORTED, LONG_ONLY)
    if number not in OURS:
        assert result == UNSUPPORTED


def test_a_seed_during_a_fault_is_rejected_for_now_and_a_stop_is_not():
    context = RunContext()
    camera = component(context)
    assert result_of(camera, command(2005, 0.1, 0.1, 0.2, 0.2)) == (LATER, [])
    assert context.controls.take() == []
    assert result_of(camera, command(2010)) == (ACCEPTED, [])
    assert [r.kind for r in context.controls.take()] == ["stop"]


def test_too_many_endpoints_are_rejected_for_now():
    camera = component()
    results = [result_of(camera, command(511, 275, 1, sender=i)) for i in range(MOST_ENDPOINTS + 1)]
    assert results == [(ACCEPTED, [])] * MOST_ENDPOINTS + [(LATER, [])]
