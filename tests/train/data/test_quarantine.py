"""The list of items that cannot be used: once each, from all processes, across sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edge_runtime.errors import TrainingError
from train.data.quarantine import FILE, Quarantine, read_quarantine

if TYPE_CHECKING:
    from pathlib import Path


def test_nothing_is_written_where_nothing_is_wrong(tmp_path: Path) -> None:
    Quarantine(tmp_path).gather()
    assert list(tmp_path.iterdir()) == []


def test_an_item_is_listed_once_with_the_stage_that_met_it_first(tmp_path: Path) -> None:
    for stage in ("attention", "localizer"):  # two sessions
        quarantine = Quarantine(tmp_path)
        quarantine.stage = stage
        quarantine.add("a.jpg", "cut short")
        quarantine.add("a.jpg", "cut short")
    assert list(read_quarantine(tmp_path / FILE).values()) == [
        {"id": "a.jpg", "stage": "attention", "reason": "cut short"}
    ]


def test_the_lines_of_all_processes_come_together(tmp_path: Path) -> None:
    main, other = Quarantine(tmp_path), Quarantine(tmp_path, 1)
    main.add("a.jpg", "cut short")
    other.add("b.jpg", "no image")
    other.add("a.jpg", "told by two")
    main.gather()
    assert {name: entry["reason"] for name, entry in read_quarantine(tmp_path / FILE).items()} == {
        "a.jpg": "cut short",
        "b.jpg": "no image",
    }
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    main.add("b.jpg", "again")
    assert len(read_quarantine(tmp_path / FILE)) == 2


def test_a_line_cut_short_by_a_kill_does_not_count(tmp_path: Path) -> None:
    Quarantine(tmp_path).add("a.jpg", "cut short")
    with (tmp_path / FILE).open("a") as file:
        file.write('{"id": "b.jp')
    assert list(read_quarantine(tmp_path / FILE)) == ["a.jpg"]


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path)
    (tmp_path / FILE).mkdir()
    with pytest.raises(TrainingError, match=r"quarantine\.jsonl: cannot be written .*--resume"):
        quarantine.add("a.jpg", "cut short")
