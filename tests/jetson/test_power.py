"""power.sh against nvpmodel.conf of several boards, and an nvpmodel that may do nothing."""

from __future__ import annotations

import os

import pytest

from tests.jetson.fake_board import FakeBoard


def conf(modes, gating="TPC_POWER_GATING TPC_PG_MASK"):
    """`modes`: (number, name, cores online, gating mask), in the file's order; twelve cores at most."""
    text = (
        "< PARAM TYPE=FILE NAME=CPU_ONLINE >\nCORE_0 /sys/devices/system/cpu/cpu0/online\n"
        "< PARAM TYPE=CLOCK NAME=GPU >\nMAX_FREQ /sys/devices/gpu.0/devfreq/17000000.gpu/max_freq\n"
    )
    for number, name, cores, mask in modes:
        text += f"< POWER_MODEL ID={number} NAME={name} >\n"
        text += "".join(f"CPU_ONLINE CORE_{core} {int(core < cores)}\n" for core in range(12))
        text += f"{gating} {mask}\nGPU MAX_FREQ {number}\n\n"
    return text + "< PM_CONFIG DEFAULT=1 >\n"


NANO = conf([(0, "15W", 6, 240), (1, "25W", 6, 240), (2, "MAXN_SUPER", 6, 240), (3, "7W", 4, 252)])
NX = conf(
    [(0, "MAXN_SUPER", 8, 0), (1, "10W", 4, 252), (2, "15W", 4, 252), (3, "25W", 8, 0), (4, "40W", 8, 0)]
)
THOR = conf([(0, "MAXN", 14, 64), (1, "120W", 14, 64), (2, "90W", 12, 15873)], "GPU_POWER_GATING GPU_PG_MASK")
XAVIER = conf([(0, "MODE_10W", 4, 1), (1, "MODE_20W_6CORE", 6, 1), (2, "MODE_15W", 4, 1)])


@pytest.fixture
def nano(board):
    board.write("etc/nvpmodel.conf", NANO)
    board.write("mode", "1")
    return board


@pytest.mark.parametrize(
    ("text", "number"),
    [
        pytest.param(NANO, "2", id="Orin Nano"),
        pytest.param(NX, "0", id="Orin NX"),
        pytest.param(THOR, "0", id="Thor"),
        pytest.param(XAVIER, "1", id="no MAXN: most watts"),
    ],
)
def test_the_fastest_mode_has_another_number_on_each_board(board, text, number):
    board.write("etc/nvpmodel.conf", text)
    board.write("mode", "4" if text is NX else "1" if text is not XAVIER else "2")
    ran = board.run("power.sh", "max", "--force")
    assert ran.code == 0, ran.err
    assert f"nvpmodel -m {number}" in ran.calls
    assert "in force" in ran.out


@pytest.mark.parametrize("name", ["maxn_super", "MAXN_SUPER", "MODE_MAXN_SUPER"])
def test_a_mode_is_set_by_its_name_and_asked_for_again(nano, name):
    ran = nano.run("power.sh", "set", name)
    assert ran.code == 0, ran.err
    assert ran.calls[-2:] == ["answer no", "nvpmodel -q"]
    assert "power mode: MAXN_SUPER, in force" in ran.out


def test_a_mode_that_is_in_force_is_left_alone(nano):
    ran = nano.run("power.sh", "set", "25W")
    assert (ran.code, ran.out) == (0, "power mode: 25W, as before\n")
    assert ran.calls == ["nvpmodel -q"]


def test_a_mode_that_is_silently_not_taken_is_an_error(nano):
    ran = nano.run("power.sh", "set", "15W", FAKE_SILENT="yes")
    assert ran.code == 1
    assert "15W was asked for, 25W is in force" in ran.err


def test_cores_that_do_not_follow_the_mode_are_an_error(nano):
    nano.write("sys/devices/system/cpu/cpu5/online", "0\n")
    nano.write("sys/devices/system/cpu/cpu4/online", "1\n")
    ran = nano.run("power.sh", "set", "15W")
    assert ran.code == 1
    assert "not as that mode wants them: cpu5;" in ran.err


def test_nvpmodels_refusal_is_an_error(nano):
    ran = nano.run("power.sh", "set", "15W", FAKE_NVPMODEL_CODE="1")
    assert ran.code == 1
    assert "nvpmodel refused mode 0 (15W)" in ran.err


@pytest.mark.parametrize("how", ["variable", "behind sudo", "no terminal"])
def test_a_mode_that_needs_a_reboot_is_refused_without_someone_at_the_board(nano, how):
    environment = {"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"} if how == "variable" else {}
    if how == "behind sudo":  # the script's parent is us, ours is sshd
        nano.write(f"proc/{os.getpid()}/comm", "sudo\n")
        nano.write(f"proc/{os.getpid()}/status", "Name: sudo\nPPid:\t77\n")
        nano.write("proc/77/comm", "sshd-session\n")
    ran = nano.run("power.sh", "set", "7W", **environment)
    assert ran.code == 1
    assert "7W needs a reboot" in ran.err
    assert "--force" in ran.err
    assert not [call for call in ran.calls if "-m" in call]


@pytest.mark.parametrize(
    ("text", "now", "name"),
    [
        pytest.param(NANO, "1", "7W", id="cores and GPU units"),
        pytest.param(NX, "4", "15W", id="Orin NX"),
        pytest.param(THOR, "1", "90W", id="Thor"),
    ],
)
def test_forced_it_says_that_the_board_restarts_and_answers_yes(board, text, now, name):
    board.write("etc/nvpmodel.conf", text)
    board.write("mode", now)
    ran = board.run("power.sh", "set", name, "--force", SSH_TTY="/dev/pts/0")
    assert ran.code == 0, ran.err
    assert "the board restarts now" in ran.out
    assert "answer YES" in ran.calls


def test_the_list_marks_the_mode_in_force_and_those_that_need_a_reboot(nano):
    lines = nano.run("power.sh", "list").out.splitlines()
    assert [line.split()[:2] for line in lines][1] == ["*", "25W"]
    assert [("reboot" in line) for line in lines] == [False, False, False, True]


def test_the_mode_is_read_from_the_status_file_where_nvpmodel_is_silent(nano):
    (nano.root / "mode").unlink()
    nano.write("var/lib/nvpmodel/status", "pmode:0002 fmode:fanNull")
    assert "power mode: MAXN_SUPER\n" in nano.run("power.sh", "show").out


def test_clocks_are_stored_once_before_they_are_fixed_and_all_is_restored(nano):
    first = nano.run("power.sh", "max", "--clocks")
    assert first.code == 0, first.err
    kept = "/var/lib/dips-edge-power/clocks"
    assert first.calls[-2:] == [f"jetson_clocks --store {kept}", "jetson_clocks "]
    second = nano.run("power.sh", "set", "15W", "--clocks")  # the clocks of the mode before are let go first
    clocks = [call for call in second.calls if call.startswith(("jetson_clocks", "nvpmodel -m"))]
    assert clocks == [
        f"jetson_clocks --restore {kept}",
        "nvpmodel -m 0",
        f"jetson_clocks --store {kept}",
        "jetson_clocks ",
    ]
    back = nano.run("power.sh", "restore")
    assert back.code == 0, back.err
    assert f"jetson_clocks --restore {kept}" in back.calls
    assert "power mode: 25W, in force" in back.out
    assert not list((nano.root / "var/lib/dips-edge-power").iterdir())
    assert "never changed" in nano.run("power.sh", "restore").out


def test_a_mode_that_is_gone_since_is_not_restored(nano):
    nano.write("var/lib/dips-edge-power/mode", "MODE_OLD\n")
    ran = nano.run("power.sh", "restore")
    assert ran.code == 1
    assert "MODE_OLD, is gone" in ran.err
    assert not [call for call in ran.calls if "-m" in call]


def test_a_dry_run_changes_nothing(nano):
    before = nano.files()
    ran = nano.run("power.sh", "max", "--clocks", "--dry-run", FAKE_UID="1000")
    assert ran.code == 0, ran.err
    assert "would run: nvpmodel -m 2" in ran.out
    assert nano.files() == before
    assert set(ran.calls) == {"nvpmodel -q"}


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        pytest.param([], 2, "list, show, set NAME, max or restore", id="nothing asked"),
        pytest.param(["set"], 2, "set which mode?", id="no name"),
        pytest.param(["set", "15W", "25W"], 2, "one word too many: 25W", id="two names"),
        pytest.param(["set", "99W"], 1, "it has: 15W 25W MAXN_SUPER 7W", id="unknown mode"),
        pytest.param(["set", "2"], 1, "no mode 2", id="a number is no name"),
        pytest.param(["fast"], 2, "list, show", id="unknown word"),
        pytest.param(["max", "--faster"], 2, "unknown option", id="unknown option"),
    ],
)
def test_what_cannot_be_meant_is_one_line(nano, arguments, code, expected):
    ran = nano.run("power.sh", *arguments)
    assert ran.code == code
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert expected in ran.err


def test_no_jetson_and_no_root_are_one_line_each(tmp_path):
    board = FakeBoard(tmp_path, None)
    assert "power modes are a Jetson's" in board.run("power.sh", "show").err
    board.write("etc/nvpmodel.conf", NANO)
    ran = board.run("power.sh", "max", FAKE_UID="1000")
    assert (ran.code, "root rights: sudo" in ran.err) == (1, True)
