"""Real lines of the metadata of CUB-200-2011 and ILSVRC, and pictures of the stated sizes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge_runtime.errors import DatasetError
from tests.train.photos import write_photo
from train.data.dataset import load_dataset
from train.data.imageheader import read_header
from train.data.imageio import read_image_bgr
from train.data.wsol import read_metadata
from train.evaluation.metrics import scale_boxes

if TYPE_CHECKING:
    from train.data.types import Image

SAMPLE = Path(__file__).parent / "wsol_sample"
FIRST = {
    ("CUB", "val"): [
        ("001.Black_footed_Albatross/30107316117.jpg", 0, (560, 419), [[176, 136, 459, 291]]),
        ("001.Black_footed_Albatross/33844942958.jpg", 0, (576, 432), [[44, 183, 426, 254]]),
        ("001.Black_footed_Albatross/44272303765.jpg", 0, (999, 587), [[437, 42, 834, 422]]),
    ],
    ("CUB", "test"): [
        (
            "001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg",
            0,
            (500, 335),
            [[60, 27, 385, 331]],
        ),
        (
            "001.Black_footed_Albatross/Black_Footed_Albatross_0002_55.jpg",
            0,
            (500, 347),
            [[14, 112, 402, 298]],
        ),
        (
            "001.Black_footed_Albatross/Black_Footed_Albatross_0085_92.jpg",
            0,
            (500, 470),
            [[33, 53, 284, 448]],
        ),
    ],
    ("ILSVRC", "val"): [
        ("val2/0/0.jpeg", 0, (500, 375), [[156, 163, 318, 230]]),
        ("val2/0/1.jpeg", 0, (500, 375), [[143, 142, 394, 248]]),
        ("val2/0/2.jpeg", 0, (500, 375), [[28, 94, 485, 303]]),
    ],
    ("ILSVRC", "test"): [
        ("val/ILSVRC2012_val_00000001.JPEG", 65, (500, 375), [[111, 108, 441, 193]]),
        ("val/ILSVRC2012_val_00000002.JPEG", 970, (500, 375), [[45, 49, 499, 162], [2, 69, 437, 207]]),
        ("val/ILSVRC2012_val_00000003.JPEG", 230, (500, 375), [[38, 19, 385, 373]]),
    ],
}


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """ROOT by name, as the protocol lays a set out: metadata beside the photos, CUB's under images/."""
    made = {}
    for name, photos in (("CUB", "images"), ("ILSVRC", "")):
        root = tmp_path_factory.mktemp(name)
        shutil.copytree(SAMPLE / name, root / "metadata")
        for sizes in (root / "metadata").glob("*/image_sizes.txt"):
            for line in sizes.read_text().split():
                image_id, width, height = line.split(",")
                write_photo(root / photos / image_id, width=int(width), height=int(height))
        made[name] = root
    return made


def _entry(image: Image) -> tuple[str, int, tuple[int, int], list[list[int]]]:
    assert image.boxes is not None
    return image.image_id, image.label, (image.width, image.height), image.boxes.tolist()


def _lines(name: str, split: str, file: str) -> list[str]:
    return (SAMPLE / name / split / f"{file}.txt").read_text().split()


@pytest.mark.parametrize(("name", "split"), FIRST)
def test_the_first_entries_are_those_of_the_published_metadata(
    roots: dict[str, Path], name: str, split: str
) -> None:
    images = load_dataset(roots[name], splits=(split,)).splits[split]
    assert [_entry(image) for image in images[:3]] == FIRST[name, split]


@pytest.mark.parametrize(("name", "split"), FIRST)
def test_every_line_comes_back_and_every_picture_has_its_size(
    roots: dict[str, Path], name: str, split: str
) -> None:
    images = load_dataset(roots[name], splits=(split,)).splits[split]
    assert [image.image_id for image in images] == _lines(name, split, "image_ids")
    assert [f"{i.image_id},{i.label}" for i in images] == _lines(name, split, "class_labels")
    assert [f"{i.image_id},{i.width},{i.height}" for i in images] == _lines(name, split, "image_sizes")
    boxes = [",".join(map(str, [i.image_id, *box])) for i in images for box in _entry(i)[3]]
    assert boxes == _lines(name, split, "localization")
    for image in images:
        header = read_header(image.path)
        assert (header.width, header.height) == (image.width, image.height)
        pixels = read_image_bgr(image.path, expected_wh=(image.width, image.height))
        assert pixels.shape == (image.height, image.width, 3)
        assert image.boxes is not None
        assert (image.boxes[:, 2:] <= np.array([image.width, image.height]) - 1).all()  # corners belong to it
        assert (image.boxes[:, :2] <= image.boxes[:, 2:]).all()


def test_train_photos_come_with_label_and_size_and_without_boxes(roots: dict[str, Path]) -> None:
    _, found = read_metadata(roots["CUB"], ("train",))
    images = found["train"]
    assert [f"{i.image_id},{i.label}" for i in images] == _lines("CUB", "train", "class_labels")
    assert [f"{i.image_id},{i.width},{i.height}" for i in images] == _lines("CUB", "train", "image_sizes")
    assert all(image.boxes is None for image in images)


@pytest.mark.parametrize(
    ("name", "classes"),
    [pytest.param("CUB", 200, id="CUB"), pytest.param("ILSVRC", 971, id="ILSVRC, as far as the sample goes")],
)
def test_labels_count_from_0_to_the_last_class(roots: dict[str, Path], name: str, classes: int) -> None:
    dataset = load_dataset(roots[name], splits=("val", "test"))
    assert dataset.classes == tuple(str(k) for k in range(classes))
    assert dataset.negative is None


def test_the_first_box_of_cub_is_judged_where_the_protocol_judges_it(roots: dict[str, Path]) -> None:
    first = load_dataset(roots["CUB"], splits=("test",)).splits["test"][0]
    assert first.boxes is not None
    scaled = scale_boxes(first.boxes, (first.width, first.height))
    assert np.asarray(scaled).tolist() == [[26, 18, 172, 221]]


def test_a_picture_one_pixel_off_is_not_judged(roots: dict[str, Path], tmp_path: Path) -> None:
    first = load_dataset(roots["CUB"], splits=("test",)).splits["test"][0]
    other = write_photo(tmp_path / "other.jpg", width=first.width, height=first.height + 1)
    with pytest.raises(DatasetError, match="500 x 336 px, but the data set states 500 x 335"):
        read_image_bgr(other, expected_wh=(first.width, first.height))
