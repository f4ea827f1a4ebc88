"""Boards that are folders, and a wheel that is only a name."""

from __future__ import annotations

import pytest

from tests.jetson.fake_board import FakeBoard


@pytest.fixture
def board(tmp_path):
    """A board with JetPack 6.2 and everything it brings."""
    return FakeBoard(tmp_path, "6.2")


@pytest.fixture
def wheel(tmp_path):
    path = tmp_path / "dips_edge-0.1.0-py3-none-any.whl"
    path.write_text("a wheel")
    return path
