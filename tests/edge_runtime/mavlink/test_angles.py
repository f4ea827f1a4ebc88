"""Bearings as an autopilot takes them, checked by its equations on a grid of pixels."""

import itertools
import math

import numpy as np
import pytest

from edge_runtime.camera.bearing import bearing_of
from edge_runtime.camera.camfile import parse
from edge_runtime.camera.mount import parse_mount
from edge_runtime.sinks.mavlink import messages
from edge_runtime.sinks.mavlink.messages import DOWN, FORWARD
from tests.edge_runtime.mavlink import autopilots
from tests.edge_runtime.mavlink.flights import record

FOCAL_PX, WIDTH, HEIGHT = 820.0, 1280, 720
PIXELS = list(itertools.product(range(20, WIDTH, 310), range(20, HEIGHT, 170)))
MAX_ERROR_DEG = 0.05
CAMERA = {"name": "test", "width": WIDTH, "height": HEIGHT, "mount": "down", "fx": FOCAL_PX, "fy": FOCAL_PX}
CAMERA.update(cx=(WIDTH - 1) / 2, cy=(HEIGHT - 1) / 2)  # of pixel centres
TILTED_DOWN = parse_mount(
    [[0.0, -1.0, 0.0], [0.9848077, 0.0, -0.1736482], [0.1736482, 0.0, 0.9848077]], "test"
)
TILTED_FORWARD = parse_mount({"pitch_deg": -20.0, "yaw_deg": 5.0}, "test")


def ray_of(pixel):
    return (pixel[0] - WIDTH / 2) / FOCAL_PX, (pixel[1] - HEIGHT / 2) / FOCAL_PX


def truth(pixel, mount):
    """Where the target is: the pixel's ray turned by the mount."""
    return autopilots.unit(np.array(mount) @ np.array([*ray_of(pixel), 1.0]))


def sent(pixel, profile, mount, range_m=None):
    made = record(ray=ray_of(pixel), mount=mount, range_m=range_m)
    message = messages.landing_target(made, profile, messages.facing(mount))
    assert message is not None
    return message.fields


@pytest.mark.parametrize("range_m", [None, 12.5])
@pytest.mark.parametrize(
    ("mount", "forward"),
    [
        pytest.param(DOWN, False, id="down"),
        pytest.param(FORWARD, True, id="forward"),
        pytest.param(TILTED_DOWN, False, id="down, tilted by 10 degrees"),
        pytest.param(TILTED_FORWARD, True, id="forward, 20 degrees down and 5 right"),
    ],
)
def test_ardupilot_sees_the_target_where_it_is(mount, forward, range_m):
    errors = [
        autopilots.angle_deg(
            autopilots.ardupilot(sent(pixel, "ardupilot", mount, range_m), forward=forward),
            truth(pixel, mount),
        )
        for pixel in PIXELS
    ]
    assert max(errors) < MAX_ERROR_DEG


@pytest.mark.parametrize("mount", [DOWN, TILTED_DOWN], ids=["down", "tilted"])
@pytest.mark.parametrize("range_m", [None, 12.5])
def test_px4_sees_the_target_where_it_is(mount, range_m):
    errors = [
        autopilots.angle_deg(autopilots.px4(sent(p, "px4", mount, range_m)), truth(p, mount)) for p in PIXELS
    ]
    assert max(errors) < MAX_ERROR_DEG


def test_the_profile_of_the_other_autopilot_is_degrees_off():
    ardupilot_for_px4 = [
        autopilots.angle_deg(autopilots.px4(sent(p, "ardupilot", DOWN)), truth(p, DOWN)) for p in PIXELS
    ]
    px4_for_ardupilot = [
        autopilots.angle_deg(autopilots.ardupilot(sent(p, "px4", DOWN)), truth(p, DOWN)) for p in PIXELS
    ]
    assert max(ardupilot_for_px4) > 4.0
    assert max(px4_for_ardupilot) > 4.0


def test_angles_of_a_camera_mounted_as_the_autopilot_thinks_are_those_of_the_record():
    made = record(ray=(0.66, -0.37))
    fields = messages.landing_target(made, "ardupilot", DOWN).fields
    assert fields["angle_x"] == pytest.approx(made["bearing"]["ang_x"], abs=1e-12)
    assert fields["angle_y"] == pytest.approx(made["bearing"]["ang_y"], abs=1e-12)


@pytest.mark.parametrize(
    ("pixel", "right_of", "above"),
    [
        ((1100, 360), True, None),
        ((100, 360), False, None),
        ((640, 60), None, True),
        ((640, 660), None, False),
    ],
    ids=["right", "left", "above", "below"],
)
def test_signs_of_a_forward_camera(pixel, right_of, above):
    bearing = record(ray=ray_of(pixel), mount=FORWARD)["bearing"]
    seen = autopilots.ardupilot(sent(pixel, "ardupilot", FORWARD), forward=True)
    if right_of is not None:
        assert (bearing["az"] > 0) == (seen[1] > 0) == right_of
    if above is not None:
        assert (bearing["el"] > 0) == (seen[2] < 0) == above


def test_a_range_is_a_position_for_ardupilot_and_never_for_px4():
    fields = sent((1000, 200), "ardupilot", DOWN, 20.0)
    assert fields["position_valid"] == 1
    assert math.hypot(fields["x"], fields["y"], fields["z"]) == pytest.approx(fields["distance"]) == 20.0
    assert sent((1000, 200), "px4", DOWN, 20.0)["position_valid"] == 0


def test_a_target_beside_the_camera_makes_no_landing_target():
    beside = record(ray=(0.0, 0.0), mount=FORWARD)
    assert messages.landing_target(beside, "ardupilot", DOWN) is None


@pytest.mark.parametrize(
    ("mount", "expected"),
    [
        pytest.param(DOWN, DOWN, id="down"),
        pytest.param(FORWARD, FORWARD, id="forward"),
        pytest.param({"pitch_deg": -40.0}, FORWARD, id="forward, 40 degrees down"),
        pytest.param({"yaw_deg": 90.0}, None, id="right"),
        pytest.param({"yaw_deg": 180.0}, None, id="back"),
    ],
)
def test_how_a_camera_faces(mount, expected):
    rows = parse_mount(mount, "test") if isinstance(mount, dict) else mount
    assert messages.facing(rows) == expected


def test_long_and_foreign_text_is_cut_to_fifty_ascii_bytes():
    text = messages.statustext(4, "Über" * 20).fields["text"]
    assert text == (b"?ber" * 20)[:50]


def test_the_angles_these_tests_fly_are_those_of_the_camera_model():
    """`flights.bearing_of` is what these tests believe: hold it against the code that makes real records."""
    camera = parse(CAMERA, "test")
    for pixel in PIXELS[::3]:
        x, y = pixel[0] / WIDTH, pixel[1] / HEIGHT
        found = bearing_of(camera, (x - 0.01, y - 0.01, x + 0.01, y + 0.01), (WIDTH, HEIGHT))
        made, ours = found.to_record(), record(ray=ray_of(pixel))
        for key in ("az", "el", "ang_x", "ang_y"):
            assert made["bearing"][key] == pytest.approx(ours["bearing"][key], abs=2e-6)
        assert made["los"] == pytest.approx(ours["los"], abs=2e-6)
