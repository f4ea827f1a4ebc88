"""What install.sh refuses, and what it leaves when something breaks: the old environment, nothing else."""

from __future__ import annotations

import fcntl

import pytest

from tests.jetson.fake_board import FakeBoard


def l4t(release):
    major, _, rest = release.partition(".")
    return f"# R{major} (release), REVISION: {rest}, GCID: 1, BOARD: generic, EABI: aarch64\n"


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        pytest.param(None, "this is no Jetson", id="no Jetson"),
        pytest.param("32.7.1", "JetPack 4 or older", id="JetPack 4"),
        pytest.param("35.1.0", "TensorRT 8.4; 8.5 is needed", id="JetPack 5.0"),
        pytest.param("41.0.0", "L4T 41.0.0 is not known here", id="newer than this script"),
    ],
)
def test_boards_it_cannot_serve_are_refused_by_name(board, wheel, release, expected):
    file = board.root / "etc/nv_tegra_release"
    file.unlink() if release is None else file.write_text(l4t(release))
    ran = board.run("install.sh", "--wheel", wheel)
    assert ran.code == 1
    assert ran.err.startswith("error: ")
    assert expected in ran.err
    assert ran.calls == []


def test_force_installs_for_the_cpu_where_there_is_no_jetson(tmp_path, wheel):
    board = FakeBoard(tmp_path, None)
    ran = board.run("install.sh", "--force", "--wheel", wheel)
    assert ran.code == 0, ran.err
    assert (board.root / "opt/dips-edge/bin/dips-edge").is_file()
    assert not [call for call in ran.calls if "pycuda" in call]


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "expected"),
    [
        pytest.param([], {"FAKE_UID": "1000"}, 1, "root rights: sudo", id="not root"),
        pytest.param([], {"FAKE_FREE_MB": "800"}, 1, "1500 MB of disk are needed", id="disk"),
        pytest.param(
            [],
            {"FAKE_FREE_MB": "5000", "FAKE_ABSENT": "tensorrt"},
            1,
            "10000 MB of disk",
            id="disk for JetPack's parts",
        ),
        pytest.param(["--wheel", "none.whl"], {}, 1, "no such file", id="no wheel"),
        pytest.param(["--find-links", "none"], {}, 1, "no such folder", id="no folder"),
        pytest.param(
            ["--find-links", "/usr/lib/python3"], {}, 1, "holds no dips_edge", id="a folder without the wheel"
        ),
        pytest.param(["--venv"], {}, 2, "--venv needs a value", id="no value"),
        pytest.param(["--venv", "here"], {}, 2, "absolute path", id="relative path"),
        pytest.param(["--fast"], {}, 2, "unknown option --fast", id="unknown option"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_done(
    board, wheel, arguments, environment, code, expected
):
    if "--wheel" not in arguments and "--find-links" not in arguments:
        arguments = ["--wheel", wheel, *arguments]
    ran = board.run("install.sh", *arguments, **environment)
    assert (ran.code, expected in ran.err) == (code, True), ran.err
    assert "-m venv" not in " ".join(ran.calls)
    assert not (board.root / "opt").exists()


def test_a_folder_that_is_not_ours_is_left_alone(board, wheel):
    board.write("opt/dips-edge/precious", "")
    ran = board.run("install.sh", "--wheel", wheel)
    assert ran.code == 1
    assert "not made by this script" in ran.err
    assert (board.root / "opt/dips-edge/precious").is_file()
    board.run("install.sh", "--uninstall")
    assert (board.root / "opt/dips-edge/precious").is_file()


def test_two_installations_do_not_run_at_once(board, wheel):
    lock = board.write("var/lock/dips-edge-install", "")
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        ran = board.run("install.sh", "--wheel", wheel)
    assert ran.code == 1
    assert "another install.sh is at work" in ran.err


BREAKS = [
    pytest.param(
        {"FAKE_ABSENT": "tensorrt", "FAKE_apt_get": "E: Could not get lock /var/lib/dpkg/lock-frontend"},
        "another program holds the package lock",
        id="apt is locked",
    ),
    pytest.param(
        {"FAKE_ABSENT": "tensorrt", "FAKE_apt_get": "E: Unable to locate package python3-libnvinfer"},
        "NVIDIA's package source is missing",
        id="no package source",
    ),
    pytest.param(
        {"FAKE_ABSENT": "tensorrt", "FAKE_apt_get": "E: dpkg was interrupted, you must run"},
        "sudo dpkg --configure -a",
        id="dpkg broke off",
    ),
    pytest.param({"FAKE_PIP_FAILS": "download"}, "jetson/fetch.sh 6 wheels", id="no network"),
    pytest.param(
        {"FAKE_PIP_FAILS": "guidance", "FAKE_PIP_WORDS": "ERROR: No matching distribution found for x"},
        "a package has no build for python3.10",
        id="no wheel for this Python",
    ),
    pytest.param(
        {"FAKE_PIP_FAILS": "guidance", "FAKE_PIP_WORDS": "OSError: [Errno 28] No space left on device"},
        "the disk is full",
        id="disk full meanwhile",
    ),
    pytest.param({"FAKE_PIP_FAILS": "pip wheel"}, "pycuda could not be built", id="pycuda does not build"),
    pytest.param(
        {"FAKE_DIPS_EDGE_FAILS": "doctor"}, "doctor says that nothing can run", id="the doctor says no"
    ),
    pytest.param({"FAKE_DIPS_EDGE_FAILS": "run"}, "the demo does not run", id="the demo fails"),
    pytest.param(
        {"FAKE_CV2": "/usr/local/lib/python3.10/dist-packages/cv2.so", "FAKE_NO_GSTREAMER": "yes"},
        "-m pip uninstall opencv-python",
        id="pip's OpenCV in /usr/local",
    ),
    pytest.param(
        {"FAKE_TENSORRT": "/usr/local/lib/python3.10/dist-packages/tensorrt/__init__.py"},
        "-m pip uninstall tensorrt",
        id="pip's TensorRT in /usr/local",
    ),
]


@pytest.mark.parametrize(("environment", "expected"), BREAKS)
def test_what_breaks_is_explained_and_leaves_the_old_environment_in_use(board, wheel, environment, expected):
    assert board.run("install.sh", "--wheel", wheel).code == 0
    (board.root / "var/cache/dips-edge").rename(board.root / "away")  # so that pycuda is built again
    kept = {path for path in board.files() if not path.startswith("var/cache")}
    wheel.write_text("a newer wheel")
    ran = board.run("install.sh", "--wheel", wheel, **environment)
    assert ran.code == 1
    assert expected in ran.err
    assert "is as it was" in ran.err
    after = {path for path in board.files() if not path.startswith("var/cache")}
    assert after == kept
    assert (board.root / "opt/dips-edge").readlink().name == "dips-edge.a"


def test_ctrl_c_ends_at_once_and_leaves_nothing_half_done(board, wheel):
    before = board.files()
    ran = board.interrupt("install.sh", "--wheel", wheel)
    assert ran.code == 130
    assert "nothing has been put in place" in ran.err
    left = {path for path in board.files() - before if (board.root / path).is_file()}
    assert left == {"var/log/dips-edge-install.log", "var/lock/dips-edge-install", "asleep"}


def test_what_a_power_cut_left_is_cleared_by_the_next_run(board, wheel):
    board.write("opt/dips-edge.a/bin/half", "")
    ran = board.run("install.sh", "--wheel", wheel)
    assert ran.code == 0, ran.err
    assert not (board.root / "opt/dips-edge.a/bin/half").exists()
