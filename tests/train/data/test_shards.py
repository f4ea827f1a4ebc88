"""WebDataset shards: the same data set as the folders they were made of; what is wrong with them is named."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import train.data.shard_index
from edge_runtime.errors import DatasetError
from tests.train.photos import HEIGHT, WIDTH, write_folders, write_photo
from tests.train.shards import folders_to_shards, write_tar
from tests.train.tiny import write_tiny_set
from train.data.dataset import load_dataset
from train.data.imageio import read_image_bgr
from train.data.tarphoto import TarPhoto

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def jpeg(tmp_path: Path) -> bytes:
    return write_photo(tmp_path / "one.jpg").read_bytes()


def _write(root: Path, jpeg: bytes, **splits: list[tuple[str, bytes]]) -> Path:
    """One shard per split; train is there and in order unless given."""
    whole = [("a.jpg", jpeg), ("a.cls", b"tower"), ("b.jpg", jpeg), ("b.cls", b"background")]
    for split, members in ({"train": whole} | splits).items():
        write_tar(root / f"{split}-000.tar", members)
    return root


def test_shards_hold_the_same_photos_labels_sizes_and_boxes_as_the_folders(tmp_path: Path) -> None:
    folders = write_tiny_set(tmp_path / "folders")
    there = load_dataset(folders)
    here = load_dataset(folders_to_shards(folders, tmp_path / "shards"))
    assert (here.classes, here.negative) == (there.classes, there.negative)
    for split in ("train", "val", "test"):
        for a, b in zip(there.splits[split], here.splits[split], strict=True):
            assert (a.image_id, a.label, a.width, a.height) == (b.image_id, b.label, b.width, b.height)
            assert a.path.read_bytes() == b.path.read_bytes()
            assert np.array_equal(read_image_bgr(a.path), read_image_bgr(b.path))
            assert (a.boxes is None) == (b.boxes is None)
            assert a.boxes is None or a.boxes.tolist() == b.boxes.tolist()  # type: ignore[union-attr]


def test_shards_may_lie_in_folders_of_splits_and_classes_be_numbers_with_names(
    tmp_path: Path, jpeg: bytes
) -> None:
    members = [("x/1.jpg", jpeg), ("x/1.cls", b"1\n"), ("x/0.JPEG", jpeg), ("x/0.json", b'{"label": 0}')]
    write_tar(tmp_path / "train" / "b.tar", members)
    write_tar(tmp_path / "train" / "a.tar", [("y.part.jpg", jpeg), ("y.cls", b"0")])
    assert load_dataset(tmp_path).classes == ("0", "1")
    (tmp_path / "classes.txt").write_text("background\ntower\n")
    dataset = load_dataset(tmp_path)
    assert (dataset.classes, dataset.negative) == (("background", "tower"), 0)
    assert [(i.image_id, i.label, i.width, i.height) for i in dataset.splits["train"]] == [
        ("train/y.part.jpg", 0, WIDTH, HEIGHT),
        ("train/x/1.jpg", 1, WIDTH, HEIGHT),
        ("train/x/0.JPEG", 0, WIDTH, HEIGHT),
    ]


def test_photos_without_boxes_in_a_split_that_has_some_are_without_an_object(
    tmp_path: Path, jpeg: bytes
) -> None:
    val = [
        ("t.jpg", jpeg),
        ("t.json", b'{"class": "tower", "boxes": [[1, 2, 30, 20], [3.4, 4, 9, 9]]}'),
        ("n.jpg", jpeg),
        ("n.cls", b"background"),
    ]
    boxes = [i.boxes for i in load_dataset(_write(tmp_path, jpeg, val=val)).splits["val"]]
    assert [b.tolist() for b in boxes if b is not None] == [[[1, 2, 30, 20], [3, 4, 9, 9]], []]


def test_boxes_of_train_are_not_looked_at(tmp_path: Path, jpeg: bytes) -> None:
    """With .cls the json is not even parsed; without, only its label is used and kept."""
    train_items = [
        ("a.jpg", jpeg),
        ("a.cls", b"tower"),
        ("a.json", b"{ not json"),
        ("b.jpg", jpeg),
        ("b.json", b'{"label": "background", "boxes": "nonsense"}'),
    ]
    dataset = load_dataset(_write(tmp_path, jpeg, train=train_items))
    assert [(i.label, i.boxes) for i in dataset.splits["train"]] == [(1, None), (0, None)]
    assert "nonsense" not in (tmp_path / ".train-000.tar.index.json").read_text()


@pytest.mark.parametrize(
    ("members", "item", "said"),
    [
        pytest.param([("c.jpg", b"JPEG")], "train/c.jpg", "no label; expected KEY.cls", id="no label"),
        pytest.param([("c.jpg", b"JPEG"), ("c.cls", b"")], "train/c.jpg", "no label", id="empty label"),
        pytest.param([("c.cls", b"tower")], "train/c", "a label without a photo", id="no photo"),
        pytest.param(
            [("c.jpg", b"\xff\xd8 no"), ("c.cls", b"tower")],
            "train/c.jpg",
            "not a readable image",
            id="no image",
        ),
        pytest.param(
            [("a.jpg", b"JPEG")],
            "train/a.jpg",
            "is in the tar twice; the first one counts",
            id="same name twice",
        ),
        pytest.param(
            [("a.png", b"JPEG"), ("c.jpg", b"JPEG"), ("c.cls", b"tower")],
            "train/a.jpg",
            "two photos with one key: a.jpg and a.png",
            id="same key twice",
        ),
        pytest.param(
            [("c.jpg", b"JPEG"), ("c.json", b"[1]")], "train/c.jpg", "not a JSON object", id="no object"
        ),
        pytest.param(
            [("c.jpg", b"JPEG"), ("c.json", b'{"label": 1.5}')], "train/c.jpg", "label 1.5", id="odd label"
        ),
    ],
)
def test_an_item_of_train_that_cannot_be_used_is_left_out_with_its_reason(
    members: list[tuple[str, bytes]], item: str, said: str, tmp_path: Path, jpeg: bytes
) -> None:
    real = [(name, jpeg if data == b"JPEG" else data) for name, data in members]
    whole = [("a.jpg", jpeg), ("a.cls", b"tower"), ("b.jpg", jpeg), ("b.cls", b"background")]
    more = [("d.jpg", jpeg), ("d.cls", b"tower")]
    _write(tmp_path, jpeg, train=[*whole, *real, *more])
    for _ in range(2):  # the second time from the kept index
        dataset = load_dataset(tmp_path)
        assert [name for name, _ in dataset.broken] == [item]
        assert said in dataset.broken[0][1]
        assert "train/d.jpg" in [i.image_id for i in dataset.splits["train"]]


def test_a_key_that_another_shard_has_too_is_left_out(tmp_path: Path, jpeg: bytes) -> None:
    write_tar(_write(tmp_path, jpeg) / "train-001.tar", [("a.jpg", jpeg), ("a.cls", b"background")])
    dataset = load_dataset(tmp_path)
    assert [i.label for i in dataset.splits["train"]] == [1, 0]
    assert dataset.broken[0][0] == "train/a.jpg"
    assert "train-001.tar:a.jpg: its key is already in" in dataset.broken[0][1]


@pytest.mark.parametrize(
    "kept",
    [
        pytest.param(lambda data: data[: len(data) // 2], id="in the middle of a member"),
        pytest.param(lambda data: data[: 512 * ((len(data) // 2) // 512)], id="on a block"),
        pytest.param(
            lambda data: data.rstrip(b"\0") + bytes(-len(data.rstrip(b"\0")) % 512), id="no end mark"
        ),
    ],
)
def test_a_shard_cut_short_gives_what_is_whole_and_is_named(
    kept: Callable[[bytes], bytes], tmp_path: Path, jpeg: bytes
) -> None:
    members = [item for k in range(9) for item in ((f"{k}.jpg", jpeg), (f"{k}.cls", b"%d" % (k % 2)))]
    tar = _write(tmp_path, jpeg, train=members) / "train-000.tar"
    tar.write_bytes(kept(tar.read_bytes()))
    dataset = load_dataset(tmp_path)
    assert 3 <= len(dataset.splits["train"]) <= 9
    names, reasons = zip(*dataset.broken, strict=True)
    assert "train/train-000.tar" in names
    assert any("cut short" in reason and "copy it again" in reason for reason in reasons)
    assert all(len(image.path.read_bytes()) == len(jpeg) for image in dataset.splits["train"])


@pytest.mark.parametrize(
    ("members", "said"),
    [
        pytest.param([("c.jpg", b"JPEG")], "no label.*val must be whole to be judged", id="no label"),
        pytest.param(
            [("c.jpg", b"JPEG"), ("c.json", b'{"label": "tower", "boxes": [[1, 2, 90, 20]]}')],
            r"c.jpg: x1 = 90 lies outside the image \(40 px wide\)",
            id="box outside",
        ),
        pytest.param(
            [("c.jpg", b"JPEG"), ("c.json", b'{"label": "tower", "boxes": [[1, 2]]}')],
            r"box \[1, 2\], expected \[x0, y0, x1, y1\]",
            id="half a box",
        ),
        pytest.param(
            [("c.jpg", b"JPEG"), ("c.json", b'{"label": "tower", "boxes": 7}')],
            "boxes 7, expected",
            id="no list",
        ),
        pytest.param(
            [("c.jpg", b"JPEG"), ("c.cls", b"tower"), ("c.json", b'{"label": "background"}')],
            "'tower' in .cls, but 'background' in .json",
            id="two labels",
        ),
        pytest.param(
            [("c.jpg", b"JPEG"), ("c.cls", b"7")], "use one kind, or list the names", id="two kinds"
        ),
    ],
)
def test_val_must_be_whole(members: list[tuple[str, bytes]], said: str, tmp_path: Path, jpeg: bytes) -> None:
    real = [(name, jpeg if data == b"JPEG" else data) for name, data in members]
    with pytest.raises(DatasetError, match=said):
        load_dataset(_write(tmp_path, jpeg, val=real))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\x1f\x8b\x08 compressed", id="gzip"),
        pytest.param(b"", id="empty"),
        pytest.param(b"x" * 2000, id="noise"),
    ],
)
def test_what_is_no_plain_tar_is_said(content: bytes, tmp_path: Path, jpeg: bytes) -> None:
    (_write(tmp_path, jpeg) / "train-001.tar").write_bytes(content)
    with pytest.raises(DatasetError, match=r"train-001.tar: not a plain tar file"):
        load_dataset(tmp_path)


def test_a_class_beyond_the_names_is_said(tmp_path: Path, jpeg: bytes) -> None:
    _write(tmp_path, jpeg, train=[("a.jpg", jpeg), ("a.cls", b"0"), ("b.jpg", jpeg), ("b.cls", b"2")])
    (tmp_path / "classes.txt").write_text("background\ntower\n")
    with pytest.raises(DatasetError, match=r"b.jpg: class 2 is not among the 2 of .*classes.txt"):
        load_dataset(tmp_path)


def test_the_index_is_made_once_and_again_when_the_tar_changes(
    tmp_path: Path, jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    original = train.data.shard_index._make

    def make(tar: Path, *rest: Any) -> Any:
        made.append(tar.name)
        return original(tar, *rest)

    monkeypatch.setattr(train.data.shard_index, "_make", make)
    first = load_dataset(_write(tmp_path, jpeg)).splits["train"]
    second = load_dataset(tmp_path).splits["train"]
    assert made == ["train-000.tar"]
    assert [(i.image_id, i.path) for i in first] == [(i.image_id, i.path) for i in second]
    os.utime(tmp_path / "train-000.tar", (1, 1))
    load_dataset(tmp_path)
    (tmp_path / ".train-000.tar.index.json").write_text(json.dumps({"about": 1}))
    load_dataset(tmp_path)
    assert made == ["train-000.tar"] * 3


def test_a_folder_that_cannot_be_written_is_read_all_the_same(
    tmp_path: Path, jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.getpid", lambda: 7)
    _write(tmp_path, jpeg)
    (tmp_path / ".train-000.tar.index.json.7.partial").mkdir()  # in the way, for root too
    with pytest.raises(IsADirectoryError):
        (tmp_path / ".train-000.tar.index.json.7.partial").write_text("")
    assert len(load_dataset(tmp_path).splits["train"]) == 2


def test_a_tar_that_became_shorter_is_an_unreadable_photo(tmp_path: Path, jpeg: bytes) -> None:
    tar = _write(tmp_path, jpeg) / "train-000.tar"
    photo = load_dataset(tmp_path).splits["train"][1].path
    tar.write_bytes(tar.read_bytes()[:1024])
    with pytest.raises(DatasetError, match=r"train-000.tar:b.jpg: cannot be read \(.*the tar is cut short"):
        read_image_bgr(photo)


def test_an_archive_beside_class_folders_is_no_shard(tmp_path: Path, jpeg: bytes) -> None:
    root = write_folders(tmp_path)
    write_tar(root / "backup.tar", [("a.jpg", jpeg)])
    assert load_dataset(root).splits["train"][0].image_id == "train/background/0.jpg"


def test_a_photo_in_a_tar_is_only_read() -> None:
    with pytest.raises(ValueError, match="only read"):
        TarPhoto(None, "a.jpg", 0, 1).open("wb")  # type: ignore[arg-type]
