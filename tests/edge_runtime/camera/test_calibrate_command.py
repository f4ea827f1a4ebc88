"""`dips-edge calibrate-camera` from pictures and a video to files; every refusal is one line."""

from __future__ import annotations

import json

import cv2
import pytest

from edge_runtime import cli
from edge_runtime.camera import load_camera
from edge_runtime.camera.mount import DOWN
from tests.edge_runtime.camera import boards

TRUTH = boards.Camera()


@pytest.fixture(scope="module")
def frames():
    """Gray pictures of a board held in ten ways."""
    texture = boards.chessboard()
    return [TRUTH.photograph(texture, *pose) for pose in boards.poses(10)]


@pytest.fixture(scope="module")
def folder(frames, tmp_path_factory):
    where = tmp_path_factory.mktemp("pictures")
    for k, frame in enumerate(frames):
        cv2.imwrite(str(where / f"v{k}.png"), frame)
    return where


def command(capsys, *arguments):
    """(exit code, stdout, stderr) of calibrate-camera."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["calibrate-camera", *map(str, arguments)])
    out, err = capsys.readouterr()
    return ended.value.code, out, err


def test_pictures_become_a_camera_file_and_a_picture(folder, tmp_path, capsys):
    out = tmp_path / "left.toml"
    code, text, _ = command(
        capsys, folder, "--board", "8x6", "--square", "100mm", "-o", out, "--mount", "down", "--id", 101
    )
    assert code == 0
    assert "all: RMS 0.0" in text
    assert text.count("v") >= 10
    camera = load_camera(out)
    assert (camera.name, camera.id, camera.mount) == ("left", 101, DOWN)
    assert camera.fx == pytest.approx(TRUTH.fx, rel=0.005)
    picture = cv2.imread(str(tmp_path / "left.png"))
    assert picture.shape == (720, 1920, 3)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["left.png", "left.toml"]


def test_a_video_is_looked_at_three_times_a_second(frames, tmp_path, capsys):
    clip, out = tmp_path / "board.avi", tmp_path / "cam.toml"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter_fourcc(*"MJPG"), 6.0, (640, 480))
    for frame in frames:
        for _ in range(2):
            writer.write(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR))
    writer.release()
    code, text, _ = command(capsys, clip, "--board", "8x6", "-o", out, "--json")
    assert code == 0
    done = json.loads(text)
    assert done["pictures"] == 10
    assert done["fx"] == pytest.approx(TRUTH.fx, rel=0.005)
    assert done["calib"] == load_camera(out).calib
    assert all(view["used"] and view["rms_px"] < 0.3 for view in done["views"])


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        pytest.param(["PICTURES", "--board", "9"], 2, "expected columns x rows", id="board"),
        pytest.param(["PICTURES", "--board", "8x6", "--square", "x"], 2, "with its unit", id="square"),
        pytest.param(["PICTURES/v1.png", "--board", "9x7"], 1, "no 9x7 chessboard", id="another board"),
        pytest.param(["nowhere", "--board", "8x6"], 1, "nowhere: no such file", id="no such file"),
        pytest.param(["PICTURES/v1.png", "--board", "8x6"], 1, "1 usable view", id="one picture"),
        pytest.param(
            ["PICTURES", "--board", "8x6", "--fisheye", "--rational"], 2, "choose one", id="two lenses"
        ),
        pytest.param(
            ["PICTURES", "--board", "8x6", "--charuco", "zz"], 2, "unknown dictionary", id="dictionary"
        ),
        pytest.param(
            ["PICTURES", "--board", "8x6", "--picture", "OUT"], 2, "choose two names", id="one name"
        ),
        pytest.param(["--board", "8x6"], 2, "PICTURES", id="no pictures"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(folder, tmp_path, capsys, arguments, code, words):
    out = tmp_path / "cam.toml"
    filled = [a.replace("PICTURES", str(folder)).replace("OUT", str(out)) for a in arguments]
    got, text, err = command(capsys, *filled, "-q", "-o", out)
    assert (got, text) == (code, "")
    assert words in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_existing_files_are_kept_unless_forced(folder, tmp_path, capsys):
    out = tmp_path / "cam.toml"
    out.write_text("mine")
    code, _, err = command(capsys, folder, "--board", "8x6", "-o", out)
    assert code == 1
    assert "cam.toml exists; choose another name or add --force" in err
    assert out.read_text() == "mine"
    code, _, _ = command(capsys, folder, "--board", "8x6", "-o", out, "--force", "-q")
    assert code == 0
    assert load_camera(out).fx == pytest.approx(TRUTH.fx, rel=0.005)


def test_a_missing_folder_is_said_before_the_work(folder, tmp_path, capsys):
    code, _, err = command(capsys, folder, "--board", "8x6", "-o", tmp_path / "a" / "cam.toml")
    assert code == 1
    assert "make it first" in err


def test_corners_no_board_came_near_are_told(tmp_path, capsys):
    middle, out = tmp_path / "middle", tmp_path / "cam.toml"
    middle.mkdir()
    texture = boards.chessboard()
    for k, (turn, at) in enumerate(boards.poses(9)):
        picture = TRUTH.photograph(texture, turn, (0.3 * at[0], 0.3 * at[1], at[2]))
        cv2.imwrite(str(middle / f"m{k}.png"), picture)
    code, _, err = command(capsys, middle, "--board", "8x6", "-o", out)
    assert code == 0
    assert "no board came near the top left corner of the picture" in err
