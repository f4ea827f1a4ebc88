"""The camera file: what is read, what is refused and in which words, and what names a calibration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_runtime.camera import load_camera
from edge_runtime.camera.bearing import bearing_of
from edge_runtime.camera.camfile import parse, to_toml
from edge_runtime.cliutil import read_toml
from edge_runtime.errors import UsageError
from tests.edge_runtime.camera.conftest import camera_text

EXAMPLE = Path(__file__).parents[3] / "jetson" / "cam.example.toml"
K = [[820.0, 0.0, 650.0], [0.0, 820.0, 355.0], [0.0, 0.0, 1.0]]
WHAT_TO_DO = "expected the TOML file of one camera; measure one with `dips-edge calibrate-camera`"
NO_FX = {"fx": None, "fy": None, "cx": None, "cy": None}


def refusal(tmp_path: Path, **changes: object) -> str:
    path = tmp_path / "cam.toml"
    path.write_text(camera_text(**changes))
    with pytest.raises(UsageError) as caught:
        load_camera(path)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(str(path))
    return text


def test_the_example_on_the_board_loads():
    camera = load_camera(EXAMPLE)
    assert (camera.name, camera.id, camera.width, camera.height) == ("front", 100, 1280, 720)
    assert camera.coefficients == (-0.32, 0.12, 0.0, 0.0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"fx": 0.0}, "singular: fx = 0", id="singular by fx"),
        pytest.param(
            {**NO_FX, "K": [[820, 0, 650], [0, 0, 355], [0, 0, 1]]}, "singular: fy = 0", id="singular K"
        ),
        pytest.param(
            {**NO_FX, "K": [[820, 0, 650], [0, 820, 355], [0, 0, 0]]}, "singular: its last", id="no 1"
        ),
        pytest.param({**NO_FX, "K": [[820, 3, 650], [0, 820, 355], [0, 0, 1]]}, "skew", id="skew"),
        pytest.param({**NO_FX, "K": [820, 650]}, "three rows", id="K of another shape"),
        pytest.param({"K": K}, "both K and fx, fy, cx, cy", id="K and fx"),
        pytest.param({"fy": None}, "fy missing; give fx, fy, cx, cy, or K", id="half of the intrinsics"),
        pytest.param({"fx": float("nan")}, "fx = nan, expected a finite number", id="nan"),
        pytest.param({"cy": float("inf")}, "cy = inf, expected a finite number", id="inf"),
        pytest.param({"fx": "820"}, "fx = '820', expected a finite number", id="text"),
        pytest.param({"fx": True}, "fx = True, expected", id="bool"),
        pytest.param({"fx": -820.0}, "fx = -820.0, expected more than 0", id="negative"),
        pytest.param({"fy": 82.0}, "cannot be of one 1280x720 picture", id="fx and fy of two pictures"),
        pytest.param(
            {"cx": 1400.0}, "principal point (1400, 355) lies outside the 1280x720", id="other size"
        ),
        pytest.param({"width": None}, "width missing; see jetson/cam.example.toml", id="no width"),
        pytest.param({"width": 0}, "width = 0, expected a whole number from 16", id="no pixels"),
        pytest.param({"width": 1280.5}, "width = 1280.5, expected a whole number", id="half a pixel"),
        pytest.param({"id": 99}, "id = 99, expected a whole number from 100 to 105", id="id"),
        pytest.param({"name": " "}, "name = ' ', expected a text", id="name"),
        pytest.param({"hieght": 720}, "unknown key 'hieght'; did you mean 'height'?", id="misspelt"),
        pytest.param({"zzz": 1}, "unknown key 'zzz'; known are name,", id="unknown"),
        pytest.param({"noise_px": 0}, "noise_px = 0, expected more than 0", id="no noise"),
        pytest.param({"distortion": {"modle": "none"}}, "did you mean 'model'?", id="key of distortion"),
        pytest.param({"distortion": [0.1]}, "expected a table", id="distortion is a list"),
        pytest.param({"distortion": {"model": "plumb"}}, "expected none, brown, fisheye", id="model"),
        pytest.param(
            {"distortion": {"model": "brown", "coefficients": [0.1, 0.2]}},
            "takes 4 or 5 or 8",
            id="two of brown",
        ),
        pytest.param(
            {"distortion": {"model": "none", "coefficients": [0.1]}}, "'none' takes 0", id="none with one"
        ),
        pytest.param(
            {"distortion": {"model": "fisheye", "coefficients": [0, 0, float("nan"), 0]}},
            "= nan",
            id="nan there",
        ),
        pytest.param(
            {"distortion": {"model": "brown", "coefficients": [-0.5, 0, 0, 0]}},
            "cannot be undone at",
            id="folds",
        ),
        pytest.param(
            {"distortion": {"model": "fisheye", "coefficients": [-0.9, 0, 0, 0]}},
            "cannot be undone",
            id="fish folds",
        ),
        pytest.param({"mount": "foward"}, "expected 'forward' or 'down'", id="mount"),
        pytest.param({"mount": None}, "mount missing", id="no mount"),
        pytest.param({"mount": {"pitch": -30}}, "roll_deg, pitch_deg, yaw_deg", id="mount's keys"),
        pytest.param({"mount": {"pitch_deg": float("nan")}}, "mount.pitch_deg is nan", id="mount nan"),
        pytest.param({"mount": [[0, 0, 1], [1, 0, 0], [0, 0, 1]]}, "not a rotation", id="singular mount"),
        pytest.param({"mount": [[0, 0, 1], [1, 0, 0], [0, 1.1, 0]]}, "off by 0.21", id="stretched mount"),
        pytest.param({"mount": [[0, 0, 1], [-1, 0, 0], [0, 1, 0]]}, "mirrors", id="mirrored mount"),
        pytest.param({"heights_m": {"tower": -3}}, "heights_m.tower = -3, expected more than 0", id="height"),
        pytest.param({"heights_m": 30}, "expected a table of class = metres", id="one height"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_that_names_it(tmp_path, changes, words):
    assert words in refusal(tmp_path, **changes)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(
            None, f"cannot read this camera file: No such file or directory; {WHAT_TO_DO}", id="not there"
        ),
        pytest.param("name = ", f"not a TOML file: .*; {WHAT_TO_DO}", id="not TOML"),
        pytest.param(b"\xff\xfe", "not a TOML file", id="not text"),
        pytest.param("", "name, width, height, mount missing", id="empty"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path, text, words):
    path = tmp_path / "cam.toml"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError, match=words):
        load_camera(path)


def test_k_and_the_four_numbers_are_the_same_calibration(make_camera):
    assert make_camera(**NO_FX, K=K) == make_camera()
    assert make_camera(**NO_FX, K=K).calib == make_camera().calib


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        pytest.param({"name": "other", "id": 101}, True, id="names do not matter"),
        pytest.param({"calibration": {"rms_px": 0.2}}, True, id="notes do not matter"),
        pytest.param({"mount": {"roll_deg": 0}}, True, id="the same mount in angles"),
        pytest.param({"fx": 820.001}, False, id="focal length"),
        pytest.param({"width": 1282}, False, id="size"),
        pytest.param({"mount": "down"}, False, id="mount"),
        pytest.param({"noise_px": 2.0}, False, id="noise"),
        pytest.param({"heights_m": {"tower": 30}}, False, id="heights"),
        pytest.param(
            {"distortion": {"model": "brown", "coefficients": [-0.32, 0.12, 0, 1e-5]}}, False, id="distortion"
        ),
    ],
)
def test_calib_names_what_changes_a_bearing(make_camera, changes, same):
    base = make_camera().calib
    assert len(base) == 8
    assert (make_camera(**changes).calib == base) is same


def test_down_written_as_angles_has_the_same_calib(make_camera):
    assert make_camera(mount={"pitch_deg": -90}).calib == make_camera(mount="down").calib


def test_a_matrix_typed_with_four_decimals_becomes_a_rotation(make_camera):
    s = 0.7071
    rotation = np.array(make_camera(mount=[[0, -s, s], [1, 0, 0], [0, s, s]]).mount)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(rotation, make_camera(mount={"pitch_deg": -45}).mount, atol=1e-4)


@pytest.mark.parametrize(
    ("size", "fits"),
    [
        pytest.param((1280, 720), True, id="as calibrated"),
        pytest.param((640, 360), True, id="half"),
        pytest.param((854, 480), True, id="rounded to whole pixels"),
        pytest.param((1920, 1080), True, id="larger"),
        pytest.param((640, 480), False, id="4:3"),
        pytest.param((1280, 736), False, id="padded to 32"),
        pytest.param((720, 1280), False, id="turned"),
    ],
)
def test_frames_of_the_same_shape_fit_and_others_are_refused(make_camera, size, fits):
    camera = make_camera()
    assert camera.fits(size) is fits
    if not fits:
        with pytest.raises(UsageError, match=r"calibrated at 1280x720, another shape; calibrate in the mode"):
            bearing_of(camera, (0.4, 0.4, 0.6, 0.6), size)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="brown, forward"),
        pytest.param({"mount": {"pitch_deg": -31.4, "yaw_deg": 2.2, "roll_deg": 0.3}}, id="angles"),
        pytest.param({"mount": "down", "name": 'a "b" ü', "heights_m": {"cell tower": 30.5}}, id="odd names"),
        pytest.param(
            {"distortion": {"model": "fisheye", "coefficients": [0.01, -0.002, 0.0, 1e-7]}}, id="fisheye"
        ),
    ],
)
def test_a_written_file_reads_back_as_the_same_camera(make_camera, tmp_path, changes):
    camera = make_camera(**changes)
    path = tmp_path / "again.toml"
    path.write_text(to_toml(camera, {"board": "9x6", "rms_px": 0.1}, "two\nlines"))
    again = parse(read_toml(path), str(path))
    assert again.calib == camera.calib
    np.testing.assert_allclose(again.mount, camera.mount, atol=1e-15)
    assert (again.name, dict(again.heights_m)) == (camera.name, dict(camera.heights_m))
