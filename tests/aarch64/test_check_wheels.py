"""What pyproject.toml claims of the boards, and how the check of wheels goes about it; no index is asked."""

from __future__ import annotations

import re

import pytest
from packaging.requirements import Requirement

from tests.aarch64.check_wheels import BOARDS, NoWheel, Wheel, project, requirements, resolve, table

OLDEST, MIDDLE, NEWEST = BOARDS


def test_requires_python_is_that_of_the_oldest_board_and_every_board_is_named():
    claimed = project()
    assert claimed["requires-python"] == f">={OLDEST.python}"
    for board in BOARDS:
        assert f"Programming Language :: Python :: {board.python}" in claimed["classifiers"]


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_a_board_keeps_jetpacks_opencv_and_the_numpy_it_is_built_for(board):
    wanted = [r for r in requirements() if board.wants(r)]
    assert "opencv-python" not in {r.name for r in wanted}
    numpy = [r.specifier for r in wanted if r.name == "numpy"]
    assert all("1.26.4" in range_ for range_ in numpy)
    assert not all("2.0.0" in range_ for range_ in numpy)
    assert ("tomli" in {r.name for r in wanted}) == (board is not NEWEST)  # later ones read TOML themselves


def test_a_board_loads_wheels_for_its_glibc_and_older_ones():
    assert OLDEST.platforms[0] == "manylinux_2_31_aarch64"
    assert OLDEST.platforms[-2:] == ["manylinux_2_17_aarch64", "manylinux2014_aarch64"]
    assert set(OLDEST.platforms) < set(MIDDLE.platforms) < set(NEWEST.platforms)


INDEX = {
    "a": Wheel("1.0", "a-1.0-py3-none-any.whl", ("b<2", 'c; python_version < "3.9"')),
    "b": Wheel("3.0", "b-3.0-cp38-cp38-manylinux_2_17_aarch64.manylinux2014_aarch64.whl", ()),
    "b<2": Wheel("1.5", "b-1.5-cp38-cp38-manylinux_2_28_aarch64.whl", ()),
}


def find(requirement, board):
    if requirement not in INDEX:
        raise NoWheel(requirement)
    return INDEX[requirement]


def test_what_wheels_need_themselves_is_found_too_in_the_range_of_all_who_ask():
    asked = [Requirement("b"), Requirement("a")]
    found = resolve(asked, NEWEST, find)
    assert found == {"a": INDEX["a"], "b": INDEX["b<2"]}
    assert resolve(asked, OLDEST, find) == {**found, "c": None}


def test_the_table_says_what_an_installation_asks_of_glibc_and_what_is_missing():
    found = {board: resolve([Requirement("b"), Requirement("a")], board, find) for board in (OLDEST, NEWEST)}
    lines = table(found)
    assert "JetPack 5.1: CPython 3.8, glibc 2.31" in lines[0]
    assert "| a | 1.0 (any) | 1.0 (any) |" in lines
    assert "| b | 1.5 (glibc 2.28) | 1.5 (glibc 2.28) |" in lines
    assert "| c | **no wheel** | not needed |" in lines
    assert any(re.match(r"\| \*\*opencv-python\*\* \| JetPack's OpenCV", line) for line in lines)
