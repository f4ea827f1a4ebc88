"""What pre-training looks at: a data set without its labels, a folder of photos and videos, or one video.

SOURCE ──survey──▶ photos and videos ──sample──▶ RUN/frames/<video>/<number>.jpg ──▶ Frames

Of a data set only train teaches; labels of train and val answer and ask the k-NN check, nothing else.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2

from edge_runtime.errors import DatasetError, TrainingError
from edge_runtime.preprocess import resize_frame
from edge_runtime.progress import Progress
from edge_runtime.sources.video import Video
from train.checkpoint import write_text
from train.data import folders, shards, wsol
from train.data.imageheader import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from train.data.types import Broken, Image, PhotoFile
    from train.pretrain.config import FramesConfig

VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".mov", ".avi", ".m4v", ".webm", ".mpg", ".mpeg", ".ts"})
FOLDER, DONE_FILE = "frames", "done.json"
JPEG_QUALITY = 95
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Photo:
    """`photo_id`: unique in the source. `label`: for the check only; None where nobody gave one."""

    path: PhotoFile
    photo_id: str
    label: int | None = None


@dataclass(frozen=True)
class Frames:
    """`train` teaches. `val` only asks the check; empty without a labelled data set.

    `videos`: files that are not photos yet, by the name of their folder below RUN/frames.
    """

    train: tuple[Photo, ...]
    val: tuple[Photo, ...] = ()
    classes: tuple[str, ...] = ()
    videos: tuple[tuple[str, Path], ...] = ()

    @property
    def digest(self) -> str:
        """Changes when other photos teach."""
        names = "\n".join(photo.photo_id for photo in self.train)
        return hashlib.sha256(names.encode()).hexdigest()[:16]


def survey(source: Path) -> Frames:
    """Photos of `source`, and its videos, which are opened once each to see that they can be read.

    Raises:
        DatasetError: nothing there to learn from, or a data set that is faulty.
        SourceError: a video that cannot be read.
    """
    if source.is_file():
        return _of_file(source)
    if not source.is_dir():
        raise DatasetError(f"{source}: no such file or folder; expected frames, a video or a data set")
    frames = _of_dataset(source)
    if frames is None or not frames.train:
        frames = _of_folder(source)
    if not frames.train and not frames.videos:
        kinds = " ".join(sorted(SUFFIXES | VIDEO_SUFFIXES))
        raise DatasetError(f"{source}: no photo and no video in this folder or below; expected {kinds}")
    for _, path in frames.videos:
        Video(path).close()
    return frames


def _of_file(source: Path) -> Frames:
    if source.suffix.lower() in SUFFIXES:
        raise DatasetError(f"{source}: one photo teaches nothing; give its folder, or a video")
    Video(source).close()
    return Frames((), videos=((source.stem, source),))


def _of_dataset(root: Path) -> Frames | None:
    """Train and val of a data set in one of our layouts; None when `root` is none.

    Class folders without splits count only once `dips-edge train` has split them: before, they may as well
    be flights.
    """
    wanted = ("train", "val")
    broken: Broken = []
    if wsol.has_metadata(root):
        classes, found = wsol.read_metadata(root, wanted)
    elif (root / "train").is_dir() and folders.class_folders(root / "train"):
        classes, found = folders.read_split_folders(root, wanted, broken)
    elif shards.has_shards(root):
        classes, found = shards.read_shards(root, wanted, broken)
    elif (root / folders.SPLIT_FILE).is_file():
        classes, found = folders.read_flat_folders(root, wanted, 0, broken)
    else:
        return None
    for photo_id, why in broken:
        _log.warning("%s: left out: %s", photo_id, why)
    return Frames(_labelled(found["train"]), _labelled(found["val"]), tuple(classes))


def _labelled(images: Sequence[Image]) -> tuple[Photo, ...]:
    return tuple(Photo(image.path, image.image_id, image.label) for image in images)


def _of_folder(root: Path) -> Frames:
    photos: list[Photo] = []
    videos: list[tuple[str, Path]] = []
    for path in folders.files_below(root):
        name = path.relative_to(root)
        if path.suffix.lower() in SUFFIXES:
            photos.append(Photo(path, name.as_posix()))
        elif path.suffix.lower() in VIDEO_SUFFIXES:
            videos.append((name.as_posix().replace("/", "_"), path))
    return Frames(tuple(photos), videos=tuple(videos))


def sample_videos(frames: Frames, out: Path, settings: FramesConfig, *, shown: bool) -> None:
    """Every n-th frame of each video into `out`; videos that are done are left alone.

    Raises:
        TrainingError: a frame cannot be written. SourceError: a video broke off at once.
    """
    for name, path in frames.videos:
        folder = out / FOLDER / name
        if (folder / DONE_FILE).exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        video, kept = Video(path), 0
        try:
            with Progress(f"sampling {path.name}", video.frames_promised, shown) as progress:
                for frame in video:
                    if frame.index % settings.every == 0:
                        _write(folder / f"{frame.index:06}.jpg", frame.image_bgr_u8, settings.side)
                        kept += 1
                    progress.step(f"{kept} kept")
        finally:
            video.close()
        write_text(
            folder / DONE_FILE, json.dumps({"video": path.name, "every": settings.every, "kept": kept})
        )


def _write(path: Path, image_bgr_u8: NDArray[np.uint8], side: int) -> None:
    height, width = image_bgr_u8.shape[:2]
    shrink = side / min(height, width)
    if shrink < 1:
        image_bgr_u8 = resize_frame(image_bgr_u8, round(height * shrink), round(width * shrink))
    done, data = cv2.imencode(".jpg", image_bgr_u8, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    try:
        path.write_bytes(data.tobytes() if done else b"")
    except OSError as error:
        raise TrainingError(
            f"{path}: cannot be written ({error.strerror}); make room and --resume"
        ) from error


def with_sampled(frames: Frames, out: Path) -> Frames:
    """`frames` with the photos that `sample_videos` has left below `out`."""
    sampled = [
        Photo(path, f"{name}/{path.name}")
        for name, _ in frames.videos
        for path in folders.files_below(out / FOLDER / name)
        if path.suffix == ".jpg"
    ]
    return replace(frames, train=(*frames.train, *sampled))
