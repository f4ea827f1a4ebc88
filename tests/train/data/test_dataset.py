"""Both layouts are read whole, and the boxes of train stay closed."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge_runtime.errors import DatasetError
from tests.train.photos import HEIGHT, WIDTH, with_exif_orientation, write_folders, write_photo, write_wsol
from train.data.dataset import Dataset, load_dataset

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def counts(dataset: Dataset) -> dict[str, int]:
    return {split: len(images) for split, images in dataset.splits.items()}


def test_class_folders_give_labels_sizes_and_the_negative_class(tmp_path: Path) -> None:
    dataset = load_dataset(write_folders(tmp_path))
    assert dataset.classes == ("background", "tower")
    assert dataset.negative == 0
    assert counts(dataset) == {"train": 4, "val": 4, "test": 4}
    first = dataset.splits["train"][0]
    assert (first.image_id, first.label) == ("train/background/0.jpg", 0)
    assert (first.width, first.height) == (WIDTH, HEIGHT)
    assert not any(dataset.has_boxes(split) for split in ("train", "val", "test"))


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".png", ".webp", ".bmp"])
def test_every_photo_format_is_found_at_any_depth(tmp_path: Path, suffix: str) -> None:
    write_folders(tmp_path)
    write_photo(tmp_path / "train" / "tower" / "flight 2" / f"a{suffix}", width=33, height=21)
    found = [
        i for i in load_dataset(tmp_path).splits["train"] if i.image_id.startswith("train/tower/flight 2/")
    ]
    assert [(i.width, i.height) for i in found] == [(33, 21)]


def test_links_are_followed_and_a_loop_of_links_ends(tmp_path: Path) -> None:
    root = write_folders(tmp_path / "set")
    shutil.move(root / "train" / "tower", tmp_path / "elsewhere")
    (root / "train" / "tower").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "again").symlink_to(tmp_path / "elsewhere")
    assert counts(load_dataset(root))["train"] == 4


def test_hidden_files_and_files_that_are_no_photos_are_ignored_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_folders(tmp_path)
    for name in (".DS_Store", "._0.jpg", "notes.txt", "Thumbs.db"):
        (tmp_path / "train" / "tower" / name).write_text("x")
    with caplog.at_level(logging.DEBUG):
        assert counts(load_dataset(tmp_path))["train"] == 4
    assert "2 files that are no photos" in caplog.text


def test_class_folders_alone_are_split_once_stratified_and_reproducibly(tmp_path: Path) -> None:
    for name, count in (("background", 20), ("tower", 40), ("rare", 2)):
        for k in range(count):
            write_photo(tmp_path / name / f"{k}.png")
    first = load_dataset(tmp_path, seed=3)
    per_split = {s: Counter(first.classes[i.label] for i in v) for s, v in first.splits.items()}
    assert per_split == {
        "train": {"background": 14, "tower": 28, "rare": 2},
        "val": {"background": 3, "tower": 6},
        "test": {"background": 3, "tower": 6},
    }
    ids = {s: [i.image_id for i in v] for s, v in first.splits.items()}
    again = load_dataset(tmp_path, seed=99)  # the saved split wins over another seed
    assert {s: [i.image_id for i in v] for s, v in again.splits.items()} == ids
    (tmp_path / "split.json").unlink()
    other = load_dataset(tmp_path, seed=99)
    assert [i.image_id for i in other.splits["val"]] != ids["val"]


def test_photos_added_after_the_split_go_to_train_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "b"):
        for k in range(8):
            write_photo(tmp_path / name / f"{k}.png")
    before = load_dataset(tmp_path)
    write_photo(tmp_path / "a" / "new.png")
    (tmp_path / "b" / "0.png").unlink()
    after = load_dataset(tmp_path)
    assert "a/new.png" in {i.image_id for i in after.splits["train"]}
    assert {i.image_id for i in after.splits["test"]} <= {i.image_id for i in before.splits["test"]}
    assert "a/new.png" in caplog.text
    assert "b/0.png" in caplog.text


def test_a_folder_that_cannot_be_written_still_gives_the_same_split_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "b"):
        for k in range(8):
            write_photo(tmp_path / name / f"{k}.png")
    (tmp_path / ".split.json.partial").mkdir()  # in the way of the file, for root too
    one, two = (load_dataset(tmp_path, seed=1) for _ in range(2))
    assert [i.image_id for i in one.splits["test"]] == [i.image_id for i in two.splits["test"]]
    assert "split.json: cannot be written" in caplog.text
    assert not (tmp_path / "split.json").exists()


@pytest.mark.parametrize(
    "prefix",
    [
        pytest.param("val/tower/", id="relative to the root"),
        pytest.param("tower/", id="relative to the split folder"),
        pytest.param("tower\\", id="written on Windows"),
    ],
)
@pytest.mark.parametrize("header", ["", "path,x0,y0,x1,y1\n"])
def test_boxes_csv_gives_several_boxes_per_photo_and_none_for_negatives(
    tmp_path: Path, prefix: str, header: str
) -> None:
    write_folders(tmp_path)
    lines = f"{prefix}0.jpg,0,0,40,30\r\n{prefix}1.jpg,1,2,3,4\r\n\r\n{prefix}1.jpg,5,6,7,8\r\n"
    (tmp_path / "val" / "boxes.csv").write_bytes(("\ufeff" + header + lines).encode())
    dataset = load_dataset(tmp_path)
    boxes = {i.image_id: i.boxes for i in dataset.splits["val"]}
    assert {k: v.tolist() for k, v in boxes.items() if v is not None} == {
        "val/background/0.jpg": [],
        "val/background/1.jpg": [],
        "val/tower/0.jpg": [[0, 0, 40, 30]],
        "val/tower/1.jpg": [[1, 2, 3, 4], [5, 6, 7, 8]],
    }
    assert all(v is not None and v.dtype == np.int32 and v.shape[1] == 4 for v in boxes.values())
    assert dataset.has_boxes("val")
    assert all(i.boxes is None for i in dataset.splits["test"])


def test_coco_json_boxes_are_rounded_and_filtered_by_the_class_of_the_photo(tmp_path: Path) -> None:
    write_folders(tmp_path, count=1)
    coco = {
        "images": [{"id": 7, "file_name": "tower/0.jpg", "width": WIDTH, "height": HEIGHT}],
        "categories": [{"id": 1, "name": "tower"}, {"id": 2, "name": "antenna"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 1, "bbox": [1.4, 2.0, 10.2, 5.0]},
            {"id": 2, "image_id": 7, "category_id": 2, "bbox": [0, 0, 3, 3]},
        ],
    }
    (tmp_path / "test" / "boxes.json").write_text(json.dumps(coco))
    tower = next(i for i in load_dataset(tmp_path).splits["test"] if i.label == 1)
    assert tower.boxes is not None
    assert tower.boxes.tolist() == [[1, 2, 12, 7]]


def test_wsol_metadata_gives_labels_sizes_and_boxes(tmp_path: Path) -> None:
    dataset = load_dataset(write_wsol(tmp_path))
    assert (dataset.classes, dataset.negative) == (("background", "tower"), 0)
    assert counts(dataset) == {"train": 4, "val": 4, "test": 4}
    image = dataset.splits["val"][1]
    assert image.path == tmp_path / "images" / "val" / "1.jpg"
    assert (image.image_id, image.label, image.width, image.height) == ("val/1.jpg", 1, WIDTH, HEIGHT)
    assert image.boxes is not None
    assert image.boxes.tolist() == [[1, 2, 30, 20]]


def test_corners_of_wsol_boxes_belong_to_them_so_that_one_pixel_is_a_box(tmp_path: Path) -> None:
    root = write_wsol(tmp_path)
    (root / "metadata" / "val" / "localization.txt").write_text("val/1.jpg,7,2,7,20\nval/3.jpg,5,6,5,6\n")
    boxes = [image.boxes for image in load_dataset(root).splits["val"] if image.label == 1]
    assert [b.tolist() for b in boxes if b is not None] == [[[7, 2, 7, 20]], [[5, 6, 5, 6]]]


def test_wsol_metadata_as_ilsvrc_has_it_is_read_unchanged(tmp_path: Path) -> None:
    """Photos directly under the root, a proxy list, no classes.txt, several boxes for one photo."""
    root = write_wsol(tmp_path)
    for split in ("train", "val", "test"):
        shutil.move(root / "images" / split, root / split)
    (root / "metadata" / "classes.txt").unlink()
    (root / "metadata" / "train" / "image_ids_proxy.txt").write_text("train/0.jpg\n")
    every = "".join(f"test/{k}.jpg,{k},1,30,20\n" for k in range(4))
    (root / "metadata" / "test" / "localization.txt").write_text(every + "test/0.jpg,3,3,9,9\n")
    (root / "metadata" / "val" / "localization.txt").unlink()
    dataset = load_dataset(root)
    assert (dataset.classes, dataset.negative) == (("0", "1"), None)
    assert counts(dataset)["train"] == 4
    first = dataset.splits["test"][0]
    assert first.boxes is not None
    assert len(first.boxes) == 2
    assert not dataset.has_boxes("val")
    assert load_dataset(root, splits=("test",)).classes == ("0", "1")


def test_openimages_masks_are_kept_in_place_of_boxes(tmp_path: Path) -> None:
    root = write_wsol(tmp_path)
    for name in ("m0.png", "m1.png", "ignore.png"):
        write_photo(root / "masks" / "test" / name)
    (root / "metadata" / "test" / "localization.txt").write_text(
        "test/1.jpg,test/m0.png,test/ignore.png\ntest/1.jpg,test/m1.png,\n"
    )
    image = load_dataset(root).splits["test"][1]
    assert [m.name for m in image.masks] == ["m0.png", "m1.png"]
    assert image.ignore_mask == root / "masks" / "test" / "ignore.png"
    assert image.boxes is None


TRAIN_POISON = "no box,file\x00at,all\n"


def poison_wsol(root: Path) -> str:
    (write_wsol(root) / "metadata" / "train" / "localization.txt").write_text(TRAIN_POISON)
    return "localization.txt"


def poison_csv(root: Path) -> str:
    (write_folders(root) / "train" / "boxes.csv").write_text(TRAIN_POISON)
    return "boxes.csv"


def poison_json(root: Path) -> str:
    (write_folders(root) / "train" / "annotations.json").write_text(TRAIN_POISON)
    return "annotations.json"


LIST_OPENED = """
import sys
from pathlib import Path
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
from train.data.dataset import load_dataset
dataset = load_dataset(Path(sys.argv[1]))
assert all(image.boxes is None for image in dataset.splits["train"])
print("\\n".join(opened))
"""


@pytest.mark.parametrize("poison", [poison_wsol, poison_csv, poison_json])
def test_training_never_opens_the_boxes_of_train(tmp_path: Path, poison: Callable[[Path], str]) -> None:
    """Every file the process opens is recorded by the interpreter itself."""
    name = poison(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", LIST_OPENED, str(tmp_path)], capture_output=True, text=True, check=True
    )
    opened = done.stdout.splitlines()
    assert not [path for path in opened if path.startswith(str(tmp_path / "metadata/train")) and name in path]
    assert not [path for path in opened if path.startswith(str(tmp_path / "train")) and name in path]
    label_source = "metadata/train/class_labels.txt" if name == "localization.txt" else "train/tower/0.jpg"
    assert str(tmp_path / label_source) in opened  # the record does see what is read


def test_one_class_alone_can_be_evaluated(tmp_path: Path) -> None:
    write_folders(tmp_path, classes=("tower",))
    assert counts(load_dataset(tmp_path, splits=("test",))) == {"train": 0, "val": 0, "test": 2}


def test_the_negative_class_may_have_any_name(tmp_path: Path) -> None:
    write_folders(tmp_path, classes=("sky", "tower"))
    assert load_dataset(tmp_path).negative is None
    assert load_dataset(tmp_path, negative_class="sky").negative == 0
    with pytest.raises(DatasetError, match="no class 'nothing' to be the negative one; classes: sky, tower"):
        load_dataset(tmp_path, negative_class="nothing")


def test_an_unreadable_train_photo_is_skipped_by_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_folders(tmp_path)
    (tmp_path / "train" / "tower" / "0.jpg").write_bytes(b"")
    assert counts(load_dataset(tmp_path))["train"] == 3
    assert "train/tower/0.jpg: not a readable image" in caplog.text


def test_a_rotated_photo_keeps_its_stored_size_and_is_mentioned(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    photo = write_folders(tmp_path) / "val" / "tower" / "0.jpg"
    photo.write_bytes(with_exif_orientation(photo.read_bytes(), 6))
    image = next(i for i in load_dataset(tmp_path).splits["val"] if i.path == photo)
    assert (image.width, image.height) == (WIDTH, HEIGHT)
    assert "1 photos carry an EXIF rotation" in caplog.text


def test_a_photo_in_two_splits_is_mentioned(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_wsol(tmp_path)
    for name in ("image_ids.txt", "class_labels.txt", "image_sizes.txt"):
        shutil.copy(root / "metadata" / "train" / name, root / "metadata" / "test" / name)
    (root / "metadata" / "test" / "localization.txt").unlink()
    load_dataset(root)
    assert "4 photos of test are in another split too, the first is train/0.jpg" in caplog.text


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "expected", "boxes"),
    [
        pytest.param(
            "towerline", {"train": 540, "val": 99, "test": 136}, {"val": 90, "test": 129}, id="towerline"
        ),
        pytest.param(
            "critters", {"train": 216, "val": 52, "test": 43}, {"val": 63, "test": 53}, id="critters"
        ),
    ],
)
def test_the_research_sets_are_read_whole(
    research_data: Path, name: str, expected: dict[str, int], boxes: dict[str, int]
) -> None:
    dataset = load_dataset(research_data / name)
    assert counts(dataset) == expected
    for split, count in boxes.items():
        assert sum(len(i.boxes) for i in dataset.splits[split] if i.boxes is not None) == count
