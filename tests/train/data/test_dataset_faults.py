"""Whatever is wrong with a data set is named in one line, with the file and the line at fault."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_runtime.errors import DatasetError
from tests.train.photos import write_folders, write_photo, write_wsol
from train.data.dataset import load_dataset

Fault = tuple[Callable[[Path], None], str]


def edit(path: str, text: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / path).write_text(text)

    return change


def cut_line(path: str, line: int) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        lines = (root / path).read_text().splitlines()
        del lines[line - 1]
        (root / path).write_text("\n".join(lines))

    return change


def remove(path: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        target = root / path
        shutil.rmtree(target) if target.is_dir() else target.unlink()

    return change


def empty_class(root: Path) -> None:
    (root / "train" / "mast").mkdir()


CSV, LOC = "val/boxes.csv", "metadata/val/localization.txt"
HEAD = "path,x0,y0,x1,y1\n"

FOLDER_FAULTS: dict[str, Fault] = {
    "box outside": (
        edit(CSV, HEAD + "tower/0.jpg,1,1,902,9\n"),
        r"boxes.csv line 2: x1 = 902 lies outside the image \(40 px wide\)",
    ),
    "negative": (edit(CSV, "tower/0.jpg,1,-1,9,9\n"), r"boxes.csv line 1: y0 = -1 lies outside"),
    "empty box": (
        edit(CSV, HEAD + "\ntower/0.jpg,9,1,9,9\n"),
        r"boxes.csv line 3: x1 = 9 is not greater than x0 = 9",
    ),
    "upside down": (edit(CSV, "tower/0.jpg,1,9,9,8\n"), r"line 1: y1 = 8 is not greater than y0"),
    "unknown path": (edit(CSV, "tower/9.jpg,1,1,9,9\n"), r"line 1: unknown path 'tower/9.jpg'"),
    "ambiguous name": (edit(CSV, "0.jpg,1,1,9,9\n"), r"line 1: '0.jpg' names several photos"),
    "not integer": (edit(CSV, "tower/0.jpg,1,1,9.5,9\n"), r"line 1: x1 = '9.5' is not an integer"),
    "comma in path": (edit(CSV, "to,wer/0.jpg,1,1,9,9\n"), r"line 1: 6 fields, expected 5"),
    "box on a negative": (
        edit(CSV, "background/0.jpg,1,1,9,9\n"),
        r"val/background/0.jpg has a box but belongs to the negative class",
    ),
    "positive without box": (
        edit(CSV, "tower/0.jpg,1,1,9,9\n"),
        r"1 photos of val have no box, .* val/tower/1.jpg",
    ),
    "broken json": (
        edit("val/boxes.json", '{"images": [],\n "annotations": ['),
        r"boxes.json line 2: not valid json",
    ),
    "another json": (edit("val/boxes.json", "[]"), r"boxes.json: not COCO json"),
    "annotation of nothing": (
        edit("val/boxes.json", '{"images": [], "annotations": [{"image_id": 3}]}'),
        r"boxes.json annotation 1: expected a known image_id",
    ),
    "class without images": (empty_class, r"train/mast: class folder without a readable image"),
    "no train": (remove("train"), r"folder 'train' is missing"),
    "class only in val": (remove("train/tower"), r"val/tower: class 'tower' has no folder under"),
    "unreadable test photo": (
        edit("test/tower/0.jpg", "not a photo"),
        r"test/tower/0.jpg: not a readable image",
    ),
}


@pytest.mark.parametrize(("fault", "message"), FOLDER_FAULTS.values(), ids=FOLDER_FAULTS)
def test_a_fault_in_class_folders_is_named(
    tmp_path: Path, fault: Callable[[Path], None], message: str
) -> None:
    write_folders(tmp_path)
    load_dataset(tmp_path)
    fault(tmp_path)
    with pytest.raises(DatasetError, match=message):
        load_dataset(tmp_path)


META = "metadata/val/"
WSOL_FAULTS: dict[str, Fault] = {
    "box outside": (
        edit(LOC, "val/1.jpg,1,1,9,9\nval/3.jpg,1,1,41,9\n"),
        r"localization.txt line 2: x1 = 41 lies outside the image \(40 px wide\)",
    ),
    "swapped": (edit(LOC, "val/1.jpg,9,1,1,9\n"), r"line 1: x1 = 1 is less than x0 = 9"),
    "unknown path": (edit(LOC, "val/8.jpg,1,1,9,9\n"), r"line 1: unknown path 'val/8.jpg'"),
    "not integer": (edit(LOC, "val/1.jpg,1,1,nan,9\n"), r"line 1: x1 = 'nan' is not an integer"),
    "fields": (edit(LOC, "val/1.jpg,1,1,9\n"), r"line 1: 4 fields, expected path,x0,y0,x1,y1"),
    "mask is not there": (edit(LOC, "val/1.jpg,m.png,\n"), r"line 1: no mask m.png"),
    "box on a negative": (edit(LOC, "val/0.jpg,1,1,9,9\n"), r"belongs to the negative class"),
    "no box": (cut_line(LOC, 2), r"1 photos of val have no box, the first is val/3.jpg"),
    "image without label": (
        cut_line(META + "class_labels.txt", 2),
        r"image_ids.txt line 2: val/1.jpg has no line in class",
    ),
    "label without image": (
        cut_line(META + "image_ids.txt", 3),
        r"class_labels.txt line 3: val/2.jpg is not listed",
    ),
    "image without size": (
        cut_line(META + "image_sizes.txt", 1),
        r"image_ids.txt line 1: val/0.jpg has no line in",
    ),
    "duplicated id": (
        edit(META + "image_ids.txt", "val/0.jpg\nval/0.jpg\n"),
        r"line 2: val/0.jpg is already on line 1",
    ),
    "comma in path": (edit(META + "image_ids.txt", "val/a,b.jpg\n"), r"image_ids.txt line 1: comma in path"),
    "empty list": (edit(META + "image_ids.txt", "\n"), r"image_ids.txt: empty"),
    "class name for a number": (
        edit(META + "class_labels.txt", "val/0.jpg,tower\n"),
        r"labels.txt line 1: class = 'tower' is not",
    ),
    "class beyond the names": (
        edit(META + "class_labels.txt", "".join(f"val/{k}.jpg,2\n" for k in range(4))),
        r"classes.txt: 2 classes, but class 2 is used",
    ),
    "no photo": (remove("images/val/2.jpg"), r"image_ids.txt line 3: no photo val/2.jpg under"),
    "order": (edit("metadata/classes.txt", "1,a\n0,b\n"), r"classes.txt line 1: class number '1'"),
    "same name": (edit("metadata/classes.txt", "a\na\n"), r"classes.txt line 2: class name 'a'"),
    "no labels": (remove("metadata/train/class_labels.txt"), r"class_labels.txt: cannot be read"),
    "no train": (remove("metadata/train"), r"metadata/train/image_ids.txt: missing"),
}


@pytest.mark.parametrize(("fault", "message"), WSOL_FAULTS.values(), ids=WSOL_FAULTS)
def test_a_fault_in_wsol_metadata_is_named(
    tmp_path: Path, fault: Callable[[Path], None], message: str
) -> None:
    write_wsol(tmp_path)
    load_dataset(tmp_path)
    fault(tmp_path)
    with pytest.raises(DatasetError, match=message):
        load_dataset(tmp_path)


def latin1_labels(root: Path) -> None:
    (write_wsol(root) / "metadata" / "classes.txt").write_bytes("0,h\xe4user\n".encode("latin-1"))


def one_class(root: Path) -> None:
    write_folders(root, classes=("tower",))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda root: root.rmdir(), "no such folder", id="missing"),
        pytest.param(lambda root: None, "no data set here", id="empty"),
        pytest.param(
            lambda root: (root.rmdir(), root.write_text("x")), "is a file, not a folder", id="a file"
        ),
        pytest.param(
            lambda root: write_photo(root / "a.jpg"), "no data set here", id="photos without classes"
        ),
        pytest.param(one_class, r"one class only \(tower\)", id="one class only"),
        pytest.param(
            lambda root: write_photo(root / "a" / "0.jpg"), r"one class only \(a\)", id="one flat class"
        ),
        pytest.param(latin1_labels, r"classes.txt: not UTF-8 text \(byte 3\)", id="not UTF-8"),
    ],
)
def test_a_root_without_a_usable_data_set_is_refused(
    tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    root = tmp_path / "set"
    root.mkdir()
    make(root)
    with pytest.raises(DatasetError, match=message):
        load_dataset(root)
