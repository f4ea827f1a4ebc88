"""What DATA means to calibration: a data set in either layout, photos in a folder or glob, or a video.

DATA ──▶ frames to calibrate on (train), frames to choose on (val), is the object in each? ──▶ Material
The test split of a data set is never touched, and no box is read.
"""

from __future__ import annotations

import glob
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from calibration.frames import CANDIDATES_PER_FRAME, Photos, choose, sample_clip
from calibration.photolists import Photo, dataset_photos
from edge_runtime.errors import DatasetError, SourceError
from edge_runtime.imagefile import SUFFIXES
from edge_runtime.progress import Progress
from edge_runtime.sources import open_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edge_runtime.contract import ModelContract

log = logging.getLogger(__name__)

FEWEST = 8  # frames below which ranges and agreement mean nothing
SHARED_BELOW = 40  # so few frames both calibrate and choose
VAL_SHARE = 0.2  # of what is not divided into train and val
CLIP_MEMORY = 384 << 20  # bytes of frames of a clip that are held at most


@dataclass(frozen=True)
class Material:
    """Frames at the network's input size, (height, width, 3) uint8 BGR each.

    `calibration`: sequence, decoded when asked for. `val`: what methods and thresholds are chosen on.
    `present`: per val frame, is an object in it? None where nothing tells. `note`: where all came from.
    """

    calibration: Sequence[NDArray[np.uint8]]
    val: Sequence[NDArray[np.uint8]]
    present: tuple[bool, ...] | None
    note: str


def read_material(
    data: str, contract: ModelContract, *, count: int | None, val_count: int, seed: int
) -> Material:
    """Choose frames for a model.

    Args:
        count: frames to calibrate on, None takes all. val_count: at most so many to choose on.
        seed: of every draw.

    Raises:
        DatasetError, SourceError: nothing there, or fewer than `FEWEST` frames that can be read.
    """
    input_hw = (contract.input_height, contract.input_width)
    splits = _find_photos(data, contract.negative_class)
    if splits is None:
        return _from_clip(data, input_hw, count, val_count, seed)
    train, val, origin = _divide(splits, seed)
    frames = Photos([photo.path for photo in train], input_hw)
    with Progress("looking at photos", _looked_at(len(frames), count)) as progress:
        chosen = choose(frames, count, seed, progress.step)
    _require(data, len(chosen))
    spread = [val[i] for i in _spread(len(val), val_count)]
    val_frames, present = _decode(spread, input_hw)
    _require(data, len(val_frames))
    note = f"calibrating on {len(chosen)} of {len(train)} photos, choosing on {len(val_frames)} ({origin})"
    return Material(frames.take(chosen), val_frames, present, note)


def _find_photos(data: str, negative: str | None) -> dict[str, list[Photo]] | None:
    """Photos by split ("" where there are no splits); None when DATA is no folder, image or glob."""
    path = Path(data)
    if path.is_dir():
        return dataset_photos(path, negative)
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        return {"": [Photo(path)]}
    if not path.exists() and glob.has_magic(data):
        matches = sorted(glob.glob(data, recursive=True))  # noqa: PTH207 Path.glob takes no absolute pattern
        found = [Photo(Path(match)) for match in matches if Path(match).suffix.lower() in SUFFIXES]
        if not found:
            raise DatasetError(f"{data}: no image matches, expected {', '.join(sorted(SUFFIXES))}")
        return {"": found}
    return None


def _divide(splits: dict[str, list[Photo]], seed: int) -> tuple[list[Photo], list[Photo], str]:
    """(to calibrate on, to choose on, where from in words)."""
    train, val = splits.get("train", []), splits.get("val", [])
    if len(train) >= FEWEST and len(val) >= FEWEST:
        return train, val, "train and val"
    pool = [*splits.get("", []), *train, *val]
    if len(pool) < SHARED_BELOW:
        return pool, pool, "the same photos for both: there are few"
    order = np.random.default_rng(seed).permutation(len(pool)).tolist()
    held_out = max(FEWEST, round(VAL_SHARE * len(pool)))
    first, rest = sorted(order[:held_out]), sorted(order[held_out:])
    return [pool[i] for i in rest], [pool[i] for i in first], f"divided with seed {seed}"


def _decode(
    photos: Sequence[Photo], input_hw: tuple[int, int]
) -> tuple[list[NDArray[np.uint8]], tuple[bool, ...] | None]:
    """Frames of the photos that can be read, and whether an object is in each, where all are labelled."""
    frames: list[NDArray[np.uint8]] = []
    present: list[bool] = []
    for photo in photos:
        try:
            frames.append(Photos([photo.path], input_hw)[0])
        except DatasetError as error:
            log.warning("skipped: %s", error)
            continue
        if photo.present is not None:
            present.append(photo.present)
    return frames, tuple(present) if len(present) == len(frames) else None


def _from_clip(
    data: str, input_hw: tuple[int, int], count: int | None, val_count: int, seed: int
) -> Material:
    """The last fifth of the clip chooses, what comes before calibrates: neighbours look alike."""
    wanted = 10**9 if count is None else int(CANDIDATES_PER_FRAME * count / (1 - VAL_SHARE))
    most = max(FEWEST, min(wanted, CLIP_MEMORY // (3 * input_hw[0] * input_hw[1])))
    source = open_source(data)
    try:
        if source.live:
            raise SourceError(f"{data}: a live source; record a clip of it first and give that")
        frames = sample_clip(source, input_hw, most)
    finally:
        source.close()
    _require(data, len(frames))
    if len(frames) < SHARED_BELOW:
        train, val, origin = frames, frames, "the same frames for both: there are few"
    else:
        cut = round((1 - VAL_SHARE) * len(frames))
        train, val, origin = frames[:cut], frames[cut:], "the last fifth of the clip chooses"
    chosen = choose(train, count, seed)
    val = [val[i] for i in _spread(len(val), val_count)]
    note = f"calibrating on {len(chosen)} frames, choosing on {len(val)} ({origin})"
    return Material([train[i] for i in chosen], val, None, note)


def _looked_at(available: int, count: int | None) -> int:
    return available if count is None else min(available, CANDIDATES_PER_FRAME * count)


def _spread(available: int, most: int) -> list[int]:
    """At most `most` indices, evenly spread over `available`."""
    return [int(i) for i in np.unique(np.linspace(0, available - 1, min(available, most)).round())]


def _require(data: str, readable: int) -> None:
    if readable < FEWEST:
        raise DatasetError(
            f"{data}: {readable} image(s) that can be read, expected at least {FEWEST} that show what the "
            "camera will see"
        )
