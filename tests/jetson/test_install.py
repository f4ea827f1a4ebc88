"""What install.sh does on boards with JetPack 5.1, 6.2 and 7.2 that are folders (fake_board.py)."""

from __future__ import annotations

import shutil

import pytest

from tests.jetson.fake_board import FakeBoard

EVERYTHING = "ensurepip cv2 tensorrt Python.h"
BOARDS = [
    pytest.param("5.1", "L4T 35.4.1, JetPack 5.1", "python3.8", "cuda-toolkit-11-4", id="JetPack 5.1"),
    pytest.param("6.2", "L4T 36.4.3, JetPack 6", "python3.10", "cuda-toolkit-12-6", id="JetPack 6.2"),
    pytest.param("7.2", "L4T 39.2.0, JetPack 7.2", "python3.12", "cuda-toolkit-13-2", id="JetPack 7.2"),
]


@pytest.mark.parametrize(("jetpack", "told", "python", "cuda"), BOARDS)
def test_a_dry_run_tells_every_step_for_this_jetpack_and_changes_nothing(
    tmp_path, wheel, jetpack, told, python, cuda
):
    board = FakeBoard(tmp_path, jetpack)
    shutil.rmtree(board.root / "usr/local/cuda")
    before = board.files()
    ran = board.run(
        "install.sh", "--dry-run", "--with-service", "--wheel", wheel, FAKE_ABSENT=EVERYTHING, FAKE_UID="1000"
    )
    assert ran.code == 0, ran.err
    out = ran.out.replace(str(board.root), "")
    assert out.startswith(f"NVIDIA Jetson of a test: {told}, {python}\n")
    packages = f"{python}-venv nvidia-opencv python3-libnvinfer {python}-dev {cuda}"
    expected = [
        f"system packages: {packages}",
        f"apt-get -o DPkg::Lock::Timeout=120 install --yes --no-install-recommends {packages}",
        f"/usr/bin/{python} -m venv --system-site-packages /opt/dips-edge.a",
        "-m pip install pip\\>=21.3",
        "\\[guidance\\] numpy\\<2",
        "pip wheel --no-binary pycuda --no-deps",
        "would check: import cv2 gives JetPack's own",
        "would check: import tensorrt gives JetPack's own",
        "dips-edge doctor",
        "mv -T /opt/dips-edge.new /opt/dips-edge",
        "useradd --system",
        "/etc/udev/rules.d/99-dips-edge.rules",
        "/etc/systemd/system/dips-edge.service",
        "/etc/dips-edge/dips-edge.toml",
        "systemctl daemon-reload",
    ]
    places = [out.find(words) for words in expected]
    assert -1 not in places, expected[places.index(-1)]
    assert places == sorted(places)
    assert board.files() == before
    assert not [call for call in ran.calls if not call.startswith(("python -I -c", "systemctl is-active"))]


@pytest.mark.parametrize(("jetpack", "told", "python", "cuda"), BOARDS)
def test_an_installation_ends_with_an_environment_in_place(tmp_path, wheel, jetpack, told, python, cuda):
    board = FakeBoard(tmp_path, jetpack)
    ran = board.run("install.sh", "--wheel", wheel, FAKE_ABSENT="tensorrt", PYTHONPATH="/somewhere")
    assert ran.code == 0, ran.err
    calls = [
        call for call in ran.calls if "apt-get" in call or " -m " in call or call.startswith("dips-edge")
    ]
    words = (
        ("apt-get", "update"),
        ("apt-get", "install --yes --no-install-recommends python3-libnvinfer"),
        ("-m venv --system-site-packages", "/opt/dips-edge.a"),
        ("-m pip download", "click"),
        ("-m pip install", "pip>=21.3"),
        ("-m pip install", f"{wheel}[guidance] numpy<2"),
        ("-m pip wheel", "--no-binary pycuda"),
        ("-m pip install", "pycuda-2026.1"),
        ("dips-edge", "doctor"),
        ("dips-edge", "run --source demo"),
    )
    assert len(calls) == len(words)
    assert [
        call for call, parts in zip(calls, words, strict=True) if not all(part in call for part in parts)
    ] == []
    assert "PYTHONPATH is set" not in ran.calls
    link = board.root / "opt/dips-edge"
    assert link.is_symlink()
    assert (link / "bin/dips-edge").is_file()
    assert not list((board.root / "var/tmp").iterdir())
    assert "JetPack's own" in ran.out


def test_what_is_there_is_not_installed_again(board, wheel):
    first = board.run("install.sh", "--wheel", wheel)
    assert not [call for call in first.calls if call.startswith("apt-get")]
    again = board.run("install.sh", "--wheel", wheel)
    assert "up to date" in again.out
    assert [call for call in again.calls if " -m " in call] == []


def test_a_newer_wheel_goes_beside_the_old_and_takes_its_pycuda(board, wheel):
    board.run("install.sh", "--wheel", wheel)
    wheel.write_text("a newer wheel")
    ran = board.run("install.sh", "--wheel", wheel)
    assert ran.code == 0, ran.err
    assert (board.root / "opt/dips-edge").readlink().name == "dips-edge.b"
    assert (board.root / "opt/dips-edge.a/bin/dips-edge").is_file()  # the way back
    assert "built before" in ran.out
    assert not [call for call in ran.calls if "pip wheel" in call]


def test_without_network_every_package_comes_from_the_folder(board, wheel, tmp_path):
    ran = board.run("install.sh", "--find-links", tmp_path)
    assert ran.code == 0, ran.err
    pip = [call for call in ran.calls if "-m pip" in call]
    assert len(pip) == 4
    assert all(f"--no-index --find-links {tmp_path}" in call for call in pip)


def test_cpu_only_needs_neither_tensorrt_nor_pycuda(board, wheel):
    ran = board.run("install.sh", "--cpu-only", "--wheel", wheel, FAKE_ABSENT="tensorrt Python.h")
    assert ran.code == 0, ran.err
    assert not [
        call for call in ran.calls if "pycuda" in call or "apt-get" in call or "import tensorrt" in call
    ]


def test_a_wheel_that_hides_jetpacks_opencv_is_removed_loudly(board, wheel):
    ran = board.run("install.sh", "--wheel", wheel, FAKE_SHADOW="yes")
    assert ran.code == 0, ran.err
    assert "would hide JetPack's own: removed" in ran.err
    assert [call for call in ran.calls if "pip uninstall --yes opencv-python opencv-python-headless" in call]
    assert "cv2: JetPack's own" in ran.out


def test_an_opencv_of_ones_own_is_taken_when_it_has_gstreamer(board, wheel):
    ran = board.run("install.sh", "--wheel", wheel, FAKE_CV2="/usr/local/lib/python3.10/dist-packages/cv2.so")
    assert ran.code == 0, ran.err
    assert "your own build" in ran.out


def test_little_memory_is_told_before_pycuda_is_built(board, wheel):
    board.write("proc/meminfo", "MemAvailable: 600000 kB\nSwapFree: 0 kB\n")
    ran = board.run("install.sh", "--wheel", wheel)
    assert ran.code == 0
    assert "585 MB of memory and swap are free" in ran.err
    assert "swapon" in ran.err


def test_the_service_is_put_in_place_and_a_configuration_of_ones_own_stays(board, wheel):
    mine = board.write("etc/dips-edge/dips-edge.toml", "source = 'demo'\n")
    ran = board.run("install.sh", "--with-service", "--venv", "/data/edge", "--wheel", wheel)
    assert ran.code == 0, ran.err
    assert mine.read_text() == "source = 'demo'\n"
    assert (mine.parent / "dips-edge.toml.sample").is_file()
    unit = (board.root / "etc/systemd/system/dips-edge.service").read_text()
    assert "\nExecStart=/data/edge/bin/dips-edge run --config /etc/dips-edge/dips-edge.toml\n" in unit
    assert (board.root / "etc/udev/rules.d/99-dips-edge.rules").is_file()
    assert "usermod --append --groups video dips-edge" in ran.calls
    assert "usermod --append --groups render dips-edge" not in ran.calls  # this board has no such group
    assert not [call for call in ran.calls if call.startswith(("systemctl restart", "systemctl enable"))]


def test_a_first_configuration_is_readable_for_the_service_only(board, wheel):
    ran = board.run("install.sh", "--with-service", "--wheel", wheel)
    assert ran.code == 0, ran.err
    config = board.root / "etc/dips-edge/dips-edge.toml"
    assert config.stat().st_mode & 0o777 == 0o640


def test_uninstall_takes_away_what_was_put_there_and_keeps_what_is_the_users(board, wheel):
    before = board.files()
    board.run("install.sh", "--with-service", "--wheel", wheel)
    board.write("var/lib/dips-edge/flight.jsonl", "{}")
    ran = board.run("install.sh", "--uninstall")
    assert ran.code == 0, ran.err
    assert "systemctl disable --now dips-edge" in ran.calls
    left = {path for path in board.files() - before if (board.root / path).is_file()}
    assert left == {
        "etc/dips-edge/dips-edge.toml",
        "etc/dips-edge/dips-edge.toml.sample",
        "var/lib/dips-edge/flight.jsonl",
        "var/lock/dips-edge-install",
        "var/log/dips-edge-install.log",
    }
    assert board.run("install.sh", "--uninstall").code == 0  # nothing there any more
