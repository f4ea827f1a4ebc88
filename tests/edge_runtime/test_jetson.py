"""Facts of the board in small files: what is there, and what cannot be read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edge_runtime.jetson import read_available_bytes, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_a_small_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "proc/meminfo"
    path.parent.mkdir()
    path.write_bytes(b"MemTotal: 9 kB\nMemAvailable: 7 kB\n\xff\n")
    assert read_text(path) == "MemTotal: 9 kB\nMemAvailable: 7 kB\n\ufffd\n"
    assert read_available_bytes(tmp_path) == 7 * 1024


@pytest.mark.parametrize("name", ["absent", "."])
def test_what_cannot_be_read_is_none(tmp_path: Path, name: str) -> None:
    assert read_text(tmp_path / name) is None


@pytest.fixture
def switched_off(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every path opens an empty pipe that does not wait: reading it is EAGAIN, as of a part without power."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    monkeypatch.setattr(Path, "open", lambda _path, *how, **more: _opened(reading, *how, **more))
    yield
    os.close(writing)


def _opened(descriptor: int, *how: Any, **more: Any) -> Any:
    return open(descriptor, *how, **more)


@pytest.mark.usefixtures("switched_off")
def test_a_part_that_is_switched_off_is_none_for_now_and_no_crash(tmp_path: Path) -> None:
    assert read_text(tmp_path / "zone") is None
