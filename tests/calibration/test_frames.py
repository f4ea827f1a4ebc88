"""Frames that represent a mission: diverse, seeded, read one at a time; damaged photos named and left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from calibration.frames import Photos, choose, describe, k_centre, sample_clip
from edge_runtime.errors import DatasetError
from edge_runtime.frames import Frame

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def scenes(copies: int = 12) -> list[np.ndarray]:
    """Four scenes: `copies` of near-identical gray frames, then a red, a blue and a striped one."""
    rng = np.random.default_rng(0)
    gray = [
        np.full((48, 64, 3), 120, np.uint8) + rng.integers(0, 4, (48, 64, 3), np.uint8) for _ in range(copies)
    ]
    red, blue = np.zeros((2, 48, 64, 3), np.uint8)
    red[..., 2], blue[..., 0] = 220, 220
    striped = np.full((48, 64, 3), 120, np.uint8)
    striped[:, ::8] = striped[:, 1::8] = 30
    return [*gray, red, blue, striped]


@pytest.mark.parametrize("seed", range(5))
def test_four_of_four_scenes_are_one_of_each(seed: int) -> None:
    chosen = choose(scenes(), 4, seed)
    assert len(set(chosen)) == 4
    assert {12, 13, 14} <= set(chosen)


def test_the_same_seed_chooses_the_same_frames_and_another_others() -> None:
    frames = [np.random.default_rng(i).integers(0, 255, (16, 16, 3), np.uint8) for i in range(60)]
    assert choose(frames, 10, 3) == choose(frames, 10, 3)
    assert choose(frames, 10, 3) != choose(frames, 10, 4)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        pytest.param(None, 15, id="all"),
        pytest.param(100, 15, id="more than there are"),
        pytest.param(15, 15, id="exactly as many"),
        pytest.param(5, 5, id="fewer"),
    ],
)
def test_as_many_as_asked_for_without_repeats(count: int | None, expected: int) -> None:
    chosen = choose(scenes(), count, 0)
    assert len(chosen) == len(set(chosen)) == expected


def test_equal_frames_are_all_taken_before_one_is_taken_twice() -> None:
    points = np.zeros((6, 3), np.float32)
    assert sorted(k_centre(points, 6, np.random.default_rng(0))) == list(range(6))


class Counted(Sequence[np.ndarray]):
    """Frames that remember which were read."""

    def __init__(self, length: int) -> None:
        self.length, self.read = length, []  # type: ignore[var-annotated]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]
        self.read.append(index)
        return np.full((8, 8, 3), index % 256, np.uint8)


def test_of_many_frames_only_four_times_the_wanted_are_read_and_each_once() -> None:
    frames, steps = Counted(1000), []
    choose(frames, 10, 0, lambda: steps.append(1))
    assert len(frames.read) == len(set(frames.read)) == len(steps) == 40
    assert max(frames.read) > 500


def test_descriptors_tell_colour_and_edge_direction_apart() -> None:
    flat = np.full((64, 64, 3), 128, np.uint8)
    upright, level = flat.copy(), flat.copy()
    upright[:, ::8], level[::8] = 0, 0
    a, b, c = describe(flat), describe(upright), describe(level)
    assert a.shape == (192 + 256,)
    assert np.isfinite(a).all()
    assert np.abs(a[:192] - b[:192]).sum() > 1  # darker
    assert np.abs(b[:192] - c[:192]).sum() < 1e-3  # equally dark
    assert np.abs(b[192:] - c[192:]).sum() > 10  # but striped the other way


def write_photos(folder: Path, count: int) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        cv2.imwrite(str(folder / f"{i:03}.png"), np.full((20, 30, 3), 20 * i % 250, np.uint8))
    return sorted(folder.iterdir())


def test_photos_come_at_the_size_of_the_network(tmp_path: Path) -> None:
    photos = Photos(write_photos(tmp_path, 3), (32, 64))
    assert len(photos) == 3
    assert photos[0].shape == (32, 64, 3)
    assert photos.take([2, 0]).paths == (photos.paths[2], photos.paths[0])
    assert photos[1:].paths == photos.paths[1:]


def test_photos_that_cannot_be_read_are_named_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = write_photos(tmp_path, 5)
    paths[1].write_bytes(b"no image")
    paths[3].unlink()
    assert choose(Photos(paths, (32, 32)), None, 0) == [0, 2, 4]
    assert "001.png" in caplog.text
    assert "003.png" in caplog.text


def test_a_photo_that_is_no_image_is_an_error_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(b"\xff\xd8\xff")
    with pytest.raises(DatasetError, match=r"x\.jpg: not a whole readable image"):
        Photos([path], (32, 32))[0]


def clip(frames: int) -> Iterator[Frame]:
    for i in range(frames):
        yield Frame(np.full((8, 8, 3), i % 256, np.uint8), i, i)


@pytest.mark.parametrize("length", [1, 9, 10, 11, 25, 40, 79, 200])
def test_a_clip_of_any_length_is_sampled_evenly_from_start_to_end(length: int) -> None:
    kept = [int(frame[0, 0, 0]) for frame in sample_clip(clip(length), (4, 4), 10)]
    assert len(kept) == length if length <= 10 else 5 <= len(kept) <= 10
    assert kept[0] == 0
    steps = set(np.diff(kept).tolist())
    assert len(steps) <= 1
    assert length - kept[-1] <= max(steps, default=1)
