"""What pre-training looks at: every layout, labels only for the check, videos sampled once."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import cv2
import pytest

from edge_runtime.errors import DatasetError, DipsEdgeError
from tests.train.photos import write_photo
from tests.train.tiny import write_tiny_set
from train.pretrain.config import FramesConfig
from train.pretrain.frames import sample_videos, survey, with_sampled

from .tiny_pretrain import write_clip

if TYPE_CHECKING:
    from pathlib import Path


def test_of_a_data_set_train_teaches_and_val_asks(tmp_path: Path) -> None:
    frames = survey(write_tiny_set(tmp_path, train=3, val=2))
    assert [photo.photo_id for photo in frames.train][:2] == [
        "train/background/0.png",
        "train/background/1.png",
    ]
    assert (len(frames.train), len(frames.val)) == (6, 4)
    assert frames.classes == ("background", "thing")
    assert [photo.label for photo in frames.val] == [0, 0, 1, 1]
    assert not [photo for photo in frames.train if "test" in photo.photo_id or "val" in photo.photo_id]


def test_the_wsol_layout_is_a_data_set_too(tmp_path: Path) -> None:
    for split in ("train", "val"):
        folder = tmp_path / "metadata" / split
        folder.mkdir(parents=True)
        write_photo(tmp_path / "images" / split / "a.png")
        (folder / "image_ids.txt").write_text(f"{split}/a.png\n")
        (folder / "class_labels.txt").write_text(f"{split}/a.png,0\n")
    frames = survey(tmp_path)
    assert [photo.photo_id for photo in (*frames.train, *frames.val)] == ["train/a.png", "val/a.png"]


def test_one_class_is_enough_to_learn_from(tmp_path: Path) -> None:
    write_photo(tmp_path / "train" / "tower" / "0.png")
    assert len(survey(tmp_path).train) == 1


def test_a_folder_is_searched_for_photos_and_videos_and_nothing_is_written_there(tmp_path: Path) -> None:
    write_photo(tmp_path / "monday" / "b.png")
    write_photo(tmp_path / "monday" / "deep" / "a.jpg")
    write_photo(tmp_path / ".hidden" / "c.png")
    (tmp_path / "notes.txt").write_text("no photo")
    write_clip(tmp_path / "tuesday" / "flight.avi", 2)
    before = sorted(tmp_path.rglob("*"))
    frames = survey(tmp_path)
    assert [photo.photo_id for photo in frames.train] == ["monday/b.png", "monday/deep/a.jpg"]
    assert all(photo.label is None for photo in frames.train)
    assert [name for name, _ in frames.videos] == ["tuesday_flight.avi"]
    assert sorted(tmp_path.rglob("*")) == before


def test_class_folders_count_as_classes_once_they_have_been_split(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for k in range(2):
            write_photo(tmp_path / name / f"{k}.png")
    assert survey(tmp_path).classes == ()
    split = {"train": ["a/0.png", "b/0.png"], "val": ["a/1.png", "b/1.png"], "test": []}
    (tmp_path / "split.json").write_text(json.dumps(split))
    frames = survey(tmp_path)
    assert (frames.classes, len(frames.train), len(frames.val)) == (("a", "b"), 2, 2)


@pytest.mark.parametrize(("every", "numbers"), [(1, range(20)), (6, [0, 6, 12, 18]), (50, [0])])
def test_every_nth_frame_of_a_video_becomes_a_photo(every: int, numbers: list[int], tmp_path: Path) -> None:
    frames = survey(write_clip(tmp_path / "flight.avi"))
    sample_videos(frames, tmp_path / "run", FramesConfig(every=every, side=32), shown=False)
    sampled = with_sampled(frames, tmp_path / "run").train
    assert [photo.photo_id for photo in sampled] == [f"flight/{n:06}.jpg" for n in numbers]
    assert cv2.imread(str(sampled[0].path)).shape == (32, 36, 3)


def test_sampling_is_done_once_and_goes_on_after_a_kill(tmp_path: Path) -> None:
    for name in ("one.avi", "two.avi"):
        write_clip(tmp_path / "clips" / name)
    frames, run = survey(tmp_path / "clips"), tmp_path / "run"
    sample_videos(frames, run, FramesConfig(every=5), shown=False)
    whole = {photo.photo_id for photo in with_sampled(frames, run).train}
    assert len(whole) == 8
    (run / "frames" / "one.avi" / "000000.jpg").write_bytes(b"kept as it is")
    shutil.rmtree(run / "frames" / "two.avi")
    sample_videos(frames, run, FramesConfig(every=5), shown=False)
    assert {photo.photo_id for photo in with_sampled(frames, run).train} == whole
    assert (run / "frames" / "one.avi" / "000000.jpg").read_bytes() == b"kept as it is"


def test_other_photos_are_told_by_the_digest(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.png")
    before = survey(tmp_path).digest
    assert survey(tmp_path).digest == before
    write_photo(tmp_path / "b.png")
    assert survey(tmp_path).digest != before


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param("nowhere", None, "no such file or folder", id="nothing there"),
        pytest.param("photo.png", b"x", "one photo teaches nothing", id="one photo"),
        pytest.param("clip.mp4", b"this is no video", "not a video that can be read", id="no video"),
        pytest.param("clip.mp4", b"", "the file is empty", id="an empty video"),
        pytest.param("folder/readme.txt", b"x", "no photo and no video in this folder", id="no photo"),
        pytest.param("folder/clip.mp4", b"this is no video", "not a video that can be read", id="bad video"),
    ],
)
def test_what_cannot_be_learned_from_is_named(
    name: str, content: bytes | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DipsEdgeError, match=message):
        survey(path.parent if "/" in name else path)


def test_a_faulty_data_set_is_not_taken_for_a_folder(tmp_path: Path) -> None:
    write_tiny_set(tmp_path)
    (tmp_path / "val" / "boxes.csv").write_text("path,x0,y0,x1,y1\nthing/0.png,5,5,4,9\n")
    with pytest.raises(DatasetError, match=r"boxes\.csv line 2"):
        survey(tmp_path)
