"""Where the frames of the comparison come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edge_runtime.errors import DatasetError, SourceError
from export.frames import COUNT, comparison_photos
from tests.train.photos import HEIGHT, WIDTH, write_folders, write_photo, write_wsol

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("count", "expected"), [pytest.param(2, 4, id="a few"), pytest.param(9, COUNT, id="many")]
)
def test_the_photos_of_the_run_serve_when_nothing_is_given(tmp_path: Path, count: int, expected: int) -> None:
    found = comparison_photos(None, str(write_folders(tmp_path, count=count)))
    assert [photo.shape for photo in found] == [(HEIGHT, WIDTH, 3)] * expected


def test_a_data_set_of_either_layout_or_a_folder_of_photos_may_be_given(tmp_path: Path) -> None:
    assert len(comparison_photos(str(write_wsol(tmp_path / "wsol")), None)) == 4
    assert len(comparison_photos(str(write_folders(tmp_path / "folders")), None)) == 4
    write_photo(tmp_path / "photos" / "a.jpg")
    assert len(comparison_photos(str(tmp_path / "photos"), None)) == 1


@pytest.mark.parametrize(
    ("given", "error"), [("gone", SourceError), ("set", DatasetError), ("empty", SourceError)]
)
def test_what_is_given_must_be_readable(tmp_path: Path, given: str, error: type[Exception]) -> None:
    (tmp_path / "empty").mkdir()
    write_wsol(tmp_path / "set")
    (tmp_path / "set" / "images" / "val" / "0.jpg").unlink()
    with pytest.raises(error, match=given):
        comparison_photos(str(tmp_path / given), None)
