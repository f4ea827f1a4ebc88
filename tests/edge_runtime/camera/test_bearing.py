"""Bearings against directions known beforehand: signs, autopilots' equations, covariance, range."""

from __future__ import annotations

import json
import math
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import edge_runtime
from edge_runtime.camera.bearing import UNKNOWN_AZIMUTH_VAR, bearing_of
from tests.edge_runtime.camera import oracle

FRAME = (1280, 720)
K = [[820.0, 0.0, 650.0], [0.0, 820.0, 355.0], [0.0, 0.0, 1.0]]
SCHEMA = Path(edge_runtime.__file__).parent / "record.schema.json"
LENSES = {
    "none": ("none", []),
    "brown 4": ("brown", [-0.32, 0.12, 0.001, -0.0007]),
    "brown 5": ("brown", [-0.28, 0.1, -0.0005, 0.0004, -0.01]),
    "brown 8": ("brown", [0.5, 0.02, 0.0003, 0.0002, 0.001, 0.8, 0.1, 0.002]),
    "pincushion": ("brown", [0.15, 0.05, 0.0, 0.0]),
    "fisheye": ("fisheye", [0.02, -0.006, 0.001, -0.0002]),
}
GRID = [(u, v) for u in np.linspace(8, 1272, 9) for v in np.linspace(8, 712, 7)]


def lens(name):
    model, coefficients = LENSES[name]
    return {"distortion": {"model": model, "coefficients": coefficients}}


def box_at(u, v, half=6.0):
    """A small box whose centre is the OpenCV pixel (u, v)."""
    x, y = (u + 0.5) / FRAME[0], (v + 0.5) / FRAME[1]
    return (x - half / FRAME[0], y - half / FRAME[1], x + half / FRAME[0], y + half / FRAME[1])


def seen_at(name, direction):
    """Pixel of a camera-frame direction by the oracle's forward formula."""
    model, coefficients = LENSES[name]
    see = oracle.fisheye_pixel if model == "fisheye" else oracle.brown_pixel
    return see(direction, coefficients, K)


@pytest.mark.parametrize(
    ("mount", "direction_frd", "right", "above"),
    [
        pytest.param("forward", (10.0, 2.0, 0.0), True, None, id="forward camera, target right"),
        pytest.param("forward", (10.0, -2.0, 0.0), False, None, id="forward camera, target left"),
        pytest.param("forward", (10.0, 0.0, -2.0), None, True, id="forward camera, target above"),
        pytest.param("forward", (10.0, 0.0, 2.0), None, False, id="forward camera, target below"),
        pytest.param("down", (2.0, 1.0, 10.0), True, False, id="down camera, target ahead to the right"),
        pytest.param("down", (-2.0, -1.0, 10.0), False, False, id="down camera, target behind to the left"),
        pytest.param({"pitch_deg": -30}, (10.0, 1.0, 3.0), True, False, id="nose-down camera"),
        pytest.param({"yaw_deg": 90}, (1.0, 10.0, -2.0), True, True, id="camera to the right"),
        pytest.param({"roll_deg": 90}, (10.0, 2.0, -1.0), True, True, id="camera on its side"),
    ],
)
def test_a_target_in_the_world_comes_back_with_its_sides(make_camera, mount, direction_frd, right, above):
    camera = make_camera(mount=mount)
    seen = np.array(camera.mount).T @ direction_frd
    x, y = camera.project(tuple(seen))
    assert 0 < x < 1
    assert 0 < y < 1
    found = bearing_of(camera, (x - 0.01, y - 0.01, x + 0.01, y + 0.01), FRAME)
    assert oracle.apart_deg(found.los, direction_frd) < 1e-5
    f, r, d = direction_frd
    assert found.az == pytest.approx(math.atan2(r, f), abs=1e-7)
    assert found.el == pytest.approx(math.atan2(-d, math.hypot(f, r)), abs=1e-7)
    assert right is None or (found.az > 0) is right
    assert above is None or (found.el > 0) is above


def test_picture_sides_of_both_named_mounts(make_camera):
    """A box right of and above the middle: forward sees it right and up; down sees it right and ahead."""
    box = (0.70, 0.20, 0.72, 0.22)
    ahead, below = bearing_of(make_camera(), box, FRAME), bearing_of(make_camera(mount="down"), box, FRAME)
    assert ahead.los[1] > 0 > ahead.los[2]
    assert below.los[0] > 0
    assert below.los[1] > 0
    assert below.los[2] > 0.5
    for found in (ahead, below):
        assert found.ang_x > 0 > found.ang_y


@pytest.mark.parametrize("name", LENSES)
def test_every_lens_undoes_what_the_textbook_formula_does(make_camera, name):
    camera = make_camera(**lens(name))
    random = np.random.default_rng(1)
    worst = 0.0
    for _ in range(100):
        direction = np.array([*random.uniform(-0.65, 0.65, 2) * (1, 0.55), 1.0])
        u, v = seen_at(name, direction)
        found = camera.ray((u + 0.5) / FRAME[0], (v + 0.5) / FRAME[1]).direction
        worst = max(worst, oracle.apart_deg(found, direction))
    assert worst < 1e-6


@pytest.mark.parametrize("name", LENSES)
def test_corner_pixels_go_there_and_back(make_camera, name):
    """guidance: 5 iterations of the usual fixed point miss a corner by 1.33 px, 20 by 0.0000 px."""
    camera = make_camera(**lens(name))
    for x in (0.0, 1.0):
        for y in (0.0, 1.0):
            back = camera.project(camera.ray(x, y).direction)
            miss = math.hypot((back[0] - x) * FRAME[0], (back[1] - y) * FRAME[1])
            assert miss < 1e-6


def test_the_distorted_pixel_of_the_contract(make_camera):
    """k1 = -0.32, f = 820, pixel u = 100: -38.4 degrees; a pinhole would say -33.8."""
    found = bearing_of(make_camera(), box_at(100, 355), FRAME)
    assert math.degrees(found.ang_x) == pytest.approx(-38.4, abs=0.05)
    pinhole = bearing_of(make_camera(distortion=None), box_at(100, 355), FRAME)
    assert math.degrees(pinhole.ang_x) == pytest.approx(-33.85, abs=0.05)


def test_plane_angles_are_not_azimuth_and_elevation(make_camera):
    found = bearing_of(make_camera(), box_at(1180, 60), FRAME)
    assert math.degrees(-found.ang_y - found.el) > 4
    assert math.tan(found.el) == pytest.approx(-math.tan(found.ang_y) * math.cos(found.az), abs=1e-12)


@pytest.mark.parametrize("name", LENSES)
@pytest.mark.parametrize(
    ("mount", "autopilot"),
    [
        pytest.param("down", oracle.ardupilot_down, id="ArduPilot, camera down"),
        pytest.param("forward", oracle.ardupilot_forward, id="ArduPilot, camera forward"),
    ],
)
def test_ardupilot_computes_our_line_of_sight_from_our_plane_angles(make_camera, name, mount, autopilot):
    camera = make_camera(mount=mount, **lens(name))
    worst = 0.0
    for u, v in GRID:
        found = bearing_of(camera, box_at(u, v), FRAME)
        worst = max(worst, oracle.apart_deg(autopilot(found.ang_x, found.ang_y), found.los))
    assert worst < 0.05


@pytest.mark.parametrize("name", LENSES)
def test_px4_computes_our_line_of_sight_from_tangents_and_only_from_them(make_camera, name):
    camera = make_camera(mount="down", **lens(name))
    worst, wrong = 0.0, 0.0
    for u, v in GRID:
        found = bearing_of(camera, box_at(u, v), FRAME)
        tangents = oracle.px4_down(math.tan(found.ang_x), math.tan(found.ang_y))
        worst = max(worst, oracle.apart_deg(tangents, found.los))
        wrong = max(wrong, oracle.apart_deg(oracle.px4_down(found.ang_x, found.ang_y), found.los))
    assert worst < 0.05
    assert wrong > 1.0


def test_half_the_resolution_gives_the_same_bearing(make_camera):
    camera, box = make_camera(), (0.7, 0.1, 0.8, 0.3)
    assert bearing_of(camera, box, (640, 360)) == bearing_of(camera, box, FRAME)


def test_the_middle_of_a_pixel_is_half_a_pixel_from_its_edge(make_camera):
    """The pixel (650, 355) covers fractions 650/1280 to 651/1280: its middle is the optical axis."""
    found = bearing_of(make_camera(), (650 / 1280, 355 / 720, 651 / 1280, 356 / 720), FRAME)
    assert (found.az, found.el) == pytest.approx((0, 0), abs=1e-12)
    assert found.size_x == pytest.approx(1 / 820, rel=1e-4)


def test_angular_size_is_between_the_edges(make_camera):
    camera = make_camera(distortion=None)
    found = bearing_of(camera, (0.25, 0.2, 0.75, 0.9), FRAME)
    left, right = ((f * 1280 - 0.5 - 650) / 820 for f in (0.25, 0.75))
    top, bottom = ((f * 720 - 0.5 - 355) / 820 for f in (0.2, 0.9))
    assert found.size_x == pytest.approx(math.atan(right) - math.atan(left), abs=1e-12)
    assert found.size_y == pytest.approx(math.atan(bottom) - math.atan(top), abs=1e-12)


NOISY_BOX, NOISY_STD = (0.78, 0.12, 0.82, 0.2), (0.003, 0.006, 0.05, 0.05)


def moved(camera, dx, dy):
    """(az, el) of the noisy box moved by fractions of the frame."""
    x0, y0, x1, y1 = NOISY_BOX
    found = bearing_of(camera, (x0 + dx, y0 + dy, x1 + dx, y1 + dy), FRAME)
    return np.array([found.az, found.el])


@pytest.mark.parametrize("name", LENSES)
@pytest.mark.parametrize("mount", ["forward", "down", {"pitch_deg": -30, "yaw_deg": 10}])
def test_covariance_is_the_pixel_noise_through_finite_differences(make_camera, name, mount):
    camera = make_camera(mount=mount, noise_px=1.5, **lens(name))
    var_az, shared, var_el = bearing_of(camera, NOISY_BOX, FRAME, NOISY_STD).cov
    step = 1e-5
    by_x = (moved(camera, step, 0) - moved(camera, -step, 0)) / (2 * step)
    by_y = (moved(camera, 0, step) - moved(camera, 0, -step)) / (2 * step)
    std_x, std_y = np.hypot(NOISY_STD[:2], 1.5 / np.array(FRAME))
    expected = np.outer(by_x, by_x) * std_x**2 + np.outer(by_y, by_y) * std_y**2
    np.testing.assert_allclose([[var_az, shared], [shared, var_el]], expected, rtol=1e-5, atol=1e-12)


def test_covariance_is_that_of_a_thousand_noisy_boxes(make_camera):
    camera = make_camera(mount={"pitch_deg": -30})
    var_az, shared, var_el = bearing_of(camera, NOISY_BOX, FRAME, NOISY_STD).cov
    spread = np.hypot(NOISY_STD[:2], 1.0 / np.array(FRAME))
    drawn = np.array([moved(camera, *d) for d in np.random.default_rng(0).normal(0, 1, (1000, 2)) * spread])
    measured = np.cov(drawn.T)
    np.testing.assert_allclose(np.diag(measured), [var_az, var_el], rtol=0.1)
    assert abs(measured[0, 1] - shared) < 0.1 * math.sqrt(var_az * var_el)


def test_without_a_tracker_the_pixel_noise_remains(make_camera):
    found = bearing_of(make_camera(distortion=None, noise_px=2.0), box_at(650, 355), FRAME)
    assert math.sqrt(found.cov[0]) == pytest.approx(2 / 820, rel=1e-6)
    assert math.sqrt(found.cov[2]) == pytest.approx(2 / 820, rel=1e-6)


@pytest.mark.parametrize("off", [0.0, 1e-9, 0.3, 1.0, 3.0])
def test_straight_below_the_azimuth_is_said_to_be_unknown(make_camera, off):
    found = bearing_of(make_camera(mount="down"), box_at(650 + off, 355), FRAME)
    assert found.los[2] == pytest.approx(1.0, abs=1e-4)
    assert found.cov[0] <= UNKNOWN_AZIMUTH_VAR
    assert off > 0.5 or found.cov[0] == pytest.approx(UNKNOWN_AZIMUTH_VAR)
    assert found.cov[0] * found.cov[2] >= found.cov[1] ** 2
    assert math.sqrt(found.cov[2]) == pytest.approx(1 / 820, rel=0.01)
    json.dumps(found.to_record(), allow_nan=False)


@pytest.mark.parametrize(
    ("mount", "away_m", "above_m"),
    [
        pytest.param("forward", 80.0, 5.0, id="forward"),
        pytest.param("forward", 150.0, 40.0, id="from above its top"),
        pytest.param({"pitch_deg": -30}, 60.0, 50.0, id="nose-down camera"),
    ],
)
def test_range_comes_from_a_known_height(make_camera, mount, away_m, above_m):
    camera = make_camera(mount=mount, heights_m={"tower": 30.0})
    to_camera = np.array(camera.mount).T
    top, foot = (camera.project(tuple(to_camera @ (away_m, 0.0, above_m - h))) for h in (30.0, 0.0))
    x = (top[0] + foot[0]) / 2
    found = bearing_of(camera, (x - 0.02, top[1], x + 0.02, foot[1]), FRAME, (0, 0, 0, 0.05), "tower")
    middle = math.atan2(-found.los[2], math.hypot(*found.los[:2]))
    assert found.range_m == pytest.approx(away_m / math.cos(middle), rel=1e-3)
    assert found.range_std_m > 0.05 * found.range_m
    record = found.to_record()
    assert record["range_src"] == "known_height"
    assert record["range_m"] == pytest.approx(found.range_m, abs=0.01)


@pytest.mark.parametrize(
    ("mount", "box", "cls"),
    [
        pytest.param("forward", (0.4, 0.3, 0.6, 0.7), "mast", id="another class"),
        pytest.param("forward", (0.4, 0.3, 0.6, 0.7), None, id="no class"),
        pytest.param("forward", (0.4, 0.3, 0.6, 1.0), "tower", id="its foot is cut off"),
        pytest.param("forward", (0.4, 0.0, 0.6, 0.7), "tower", id="its top is cut off"),
        pytest.param("down", (0.4, 0.3, 0.6, 0.7), "tower", id="seen from above"),
    ],
)
def test_without_a_visible_known_height_there_is_no_range(make_camera, mount, box, cls):
    record = bearing_of(
        make_camera(mount=mount, heights_m={"tower": 30.0}), box, FRAME, None, cls
    ).to_record()
    assert (record["range_m"], record["range_src"], record["range_std_m"]) == (None, None, None)


def test_a_fisheye_has_no_bearing_where_it_has_no_picture(make_camera):
    """A 190 degree circle in a wide frame: its corners are black."""
    camera = make_camera(
        fx=215.0,
        fy=215.0,
        cx=640.0,
        cy=360.0,
        distortion={"model": "fisheye", "coefficients": [0.0, -0.01, 0, 0]},
    )
    assert bearing_of(camera, (0.01, 0.01, 0.03, 0.03), FRAME) is None
    wide = bearing_of(camera, box_at(640 + 340, 360), FRAME)
    assert abs(wide.az) > math.radians(85)


def test_more_than_90_degrees_off_axis_is_behind(make_camera):
    camera = make_camera(
        fx=200.0, fy=200.0, cx=640.0, cy=360.0, distortion={"model": "fisheye", "coefficients": [0, 0, 0, 0]}
    )
    found = bearing_of(camera, box_at(640 + 200 * math.radians(100), 360), FRAME)
    assert math.degrees(found.az) == pytest.approx(100, abs=1e-6)
    assert math.degrees(found.ang_x) == pytest.approx(100, abs=1e-6)
    assert found.los[0] < 0


def test_the_fields_are_those_of_the_record_s_schema(make_camera):
    camera = make_camera(heights_m={"tower": 30.0})
    record = bearing_of(camera, (0.4, 0.2, 0.6, 0.8), FRAME, (0.01, 0.01, 0.1, 0.1), "tower").to_record()
    record["cam"] = camera.cam_record()
    assert record["cam"] == {"id": 100, "calib": camera.calib, "att_q": None}
    schema = json.loads(SCHEMA.read_text())
    fields = schema["$defs"]["track"]["properties"]
    for name in ("bearing", "cov", "los", "range_m", "cam"):
        jsonschema.validate(record[name], {**fields[name], "$defs": schema["$defs"]})
    header = schema["$defs"]["header"]["properties"]
    for name, value in camera.header_fields().items():
        jsonschema.validate(value, {**header[name], "$defs": schema["$defs"]})


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(sorted(LENSES)),
    mount=st.sampled_from(["forward", "down", "tilted"]),
    x=st.floats(0.0, 0.999),
    y=st.floats(0.0, 0.999),
    width=st.floats(0.001, 1.0),
    height=st.floats(0.001, 1.0),
    std=st.none() | st.tuples(*[st.floats(0.0, 0.5)] * 4),
)
def test_any_box_has_a_finite_bearing_that_agrees_with_itself(
    make_camera, name, mount, x, y, width, height, std
):
    camera = make_camera(
        mount={"pitch_deg": -40, "roll_deg": 3} if mount == "tilted" else mount, **lens(name)
    )
    box = (x, y, min(1.0, x + width), min(1.0, y + height))
    found = bearing_of(camera, box, FRAME, std)
    json.dumps(found.to_record(), allow_nan=False)
    assert math.hypot(*found.los) == pytest.approx(1.0, abs=1e-12)
    cos_el = math.cos(found.el)
    again = (cos_el * math.cos(found.az), cos_el * math.sin(found.az), -math.sin(found.el))
    assert oracle.apart_deg(again, found.los) < 1e-6
    var_az, shared, var_el = found.cov
    assert var_az > 0
    assert var_el > 0
    assert shared**2 <= var_az * var_el * (1 + 1e-9)
    assert found.size_x > 0
    assert found.size_y > 0
    back = camera.project(tuple(np.array(camera.mount).T @ found.los))
    assert back == pytest.approx(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), abs=1e-8)
