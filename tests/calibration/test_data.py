"""What DATA may be: a data set in either layout, photos in a folder or glob, a clip; and what is refused."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from calibration.data import read_material
from edge_runtime.errors import DatasetError, DipsEdgeError, SourceError
from tests.edge_runtime.conftest import CONTRACT, square_frame, write_clip

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("background", "square")


def write_photos(folder: Path, count: int, shade: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        image = np.full((24, 32, 3), shade, np.uint8)
        image[: i % 24] += 5 + i
        cv2.imwrite(str(folder / f"{i:03}.png"), image)


def read(data: object, count: int | None = 256, val_count: int = 256, **changes: object):  # type: ignore[no-untyped-def]
    contract = dataclasses.replace(CONTRACT, **changes)  # type: ignore[arg-type]
    return read_material(str(data), contract, count=count, val_count=val_count, seed=0)


@pytest.fixture
def split_folders(tmp_path: Path) -> Path:
    """12 + 12 photos to train, 6 + 6 val, and a test split that cannot be read at all."""
    for split, count in (("train", 12), ("val", 6)):
        for k, name in enumerate(NAMES):
            write_photos(tmp_path / split / name, count, 100 * k)
    (tmp_path / "test" / "square").mkdir(parents=True)
    (tmp_path / "test" / "square" / "0.png").write_bytes(b"never looked at")
    return tmp_path


def test_split_folders_calibrate_on_train_and_choose_on_val(split_folders: Path) -> None:
    material = read(split_folders, count=8)
    assert len(material.calibration) == 8
    assert len(material.val) == 12
    assert material.val[0].shape == (64, 64, 3)
    assert material.present == (False,) * 6 + (True,) * 6
    assert material.note == "calibrating on 8 of 24 photos, choosing on 12 (train and val)"


def test_fewer_val_frames_are_spread_over_the_classes(split_folders: Path) -> None:
    material = read(split_folders, val_count=8)
    assert len(material.val) == 8
    assert material.present == (False,) * 4 + (True,) * 4


def test_without_a_negative_class_nothing_is_said_about_presence(split_folders: Path) -> None:
    assert read(split_folders, negative_class=None).present is None


def test_the_metadata_layout_is_read_with_its_labels(tmp_path: Path) -> None:
    for split, count in (("train", 10), ("val", 9)):
        write_photos(tmp_path / "images" / split, count)
        folder = tmp_path / "metadata" / split
        folder.mkdir(parents=True)
        ids = [f"{split}/{i:03}.png" for i in range(count)]
        (folder / "image_ids.txt").write_text("".join(f"{name}\n" for name in ids))
        (folder / "class_labels.txt").write_text("".join(f"{name},{i % 2}\n" for i, name in enumerate(ids)))
    (tmp_path / "metadata" / "classes.txt").write_text("0,background\n1,square\n")
    material = read(tmp_path)
    assert len(material.calibration) == 10
    assert material.present == tuple(i % 2 == 1 for i in range(9))
    (tmp_path / "images" / "train" / "004.png").unlink()
    with pytest.raises(DatasetError, match=r"image_ids\.txt: no photo train/004\.png"):
        read(tmp_path)


def test_class_folders_follow_the_split_that_training_made(tmp_path: Path) -> None:
    for k, name in enumerate(NAMES):
        write_photos(tmp_path / name, 20, 100 * k)
    listed = [f"{name}/{i:03}.png" for name in NAMES for i in range(20)]
    split = {"seed": 0, "train": listed[:10], "val": listed[15:25], "test": listed[25:]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    material = read(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in material.calibration.paths] == listed[:10]
    assert material.present == (False,) * 5 + (True,) * 5
    (tmp_path / "split.json").write_text("{")
    with pytest.raises(DatasetError, match=r"split\.json: damaged"):
        read(tmp_path)


def test_many_photos_without_a_split_are_divided_by_the_seed(tmp_path: Path) -> None:
    write_photos(tmp_path / "a", 50)
    material = read(tmp_path)
    assert (len(material.calibration), len(material.val)) == (40, 10)
    assert material.present is None
    again = read(tmp_path / "a" / "*.png")
    assert material.calibration.paths == again.calibration.paths


def test_few_photos_do_both(tmp_path: Path) -> None:
    write_photos(tmp_path, 9)
    material = read(tmp_path)
    assert (len(material.calibration), len(material.val)) == (9, 9)
    assert "the same photos for both" in material.note


def test_the_end_of_a_clip_chooses(tmp_path: Path) -> None:
    frames = [square_frame(x=2 * i) for i in range(45)]
    material = read(write_clip(tmp_path / "clip.mp4", frames), count=10)
    assert (len(material.calibration), len(material.val)) == (10, 9)
    assert material.present is None


def broken(folder: Path) -> Path:
    write_photos(folder, 7)
    for i in range(7, 20):
        (folder / f"{i:03}.png").write_bytes(b"\x89PNG")
    return folder


@pytest.mark.parametrize(
    ("make", "kind", "said"),
    [
        pytest.param(lambda p: p / "none", SourceError, "no such file or folder", id="nothing there"),
        pytest.param(lambda p: p, DatasetError, "no image in it", id="empty folder"),
        pytest.param(lambda p: p / "*.jpg", DatasetError, "no image matches", id="glob without a match"),
        pytest.param(
            lambda p: (write_photos(p, 5), p)[1], DatasetError, "5 image.* at least 8", id="five photos"
        ),
        pytest.param(broken, DatasetError, "7 image.* at least 8", id="most of them damaged"),
        pytest.param(
            lambda p: write_clip(p / "c.mp4", [square_frame()] * 3), DatasetError, "3 image", id="short clip"
        ),
        pytest.param(
            lambda p: (p / "x.txt").write_text("hello") and p / "x.txt", DipsEdgeError, "x.txt", id="a text"
        ),
    ],
)
def test_data_that_cannot_calibrate_is_refused_in_one_line(  # type: ignore[no-untyped-def]
    tmp_path: Path, make, kind: type[DipsEdgeError], said: str
) -> None:
    with pytest.raises(kind, match=said) as caught:
        read(make(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.data
def test_research_photos_are_taken_from_train_and_val_only(research_data: Path) -> None:
    material = read(research_data / "towerline", count=16, val_count=500)
    assert {path.parent.name for path in material.calibration.paths} == {"train"}
    assert len(material.val) == 99
    assert sum(material.present) == 55
