"""The whole set on disk, in the folder layout that `train` reads; appears complete or not at all.

OUT/{train,val,test}/{tower,background}/*.jpg · OUT/{val,test}/boxes.csv · OUT/clips/ · OUT/synth.json
"""

from __future__ import annotations

import csv
import json
import multiprocessing
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

import cv2

from edge_runtime.errors import DatasetError
from train.synth.clips import render_orbit_clip
from train.synth.scene import Box
from train.synth.stills import render_still

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

VERSION = 2  # raised whenever the same seed gives other pictures
SPLITS = ("train", "val", "test")
CLASSES = ("background", "tower")
CLIP_SECONDS = 7.0
MANIFEST = "synth.json"
Job = Callable[[], Box | None]


@dataclass(frozen=True)
class SetPlan:
    """What to render: photos per class and split, clips, picture size (width, height)."""

    train: int = 160
    val: int = 32
    test: int = 32
    clips: int = 2
    size: tuple[int, int] = (640, 480)
    seed: int = 0
    quality: int = 90  # JPEG

    def photos(self) -> Iterator[tuple[str, str, int]]:
        """Every (split, class, number)."""
        for split in SPLITS:
            for name in CLASSES:
                yield from ((split, name, k) for k in range(getattr(self, split)))


def write_set(
    out: Path,
    plan: SetPlan,
    *,
    workers: int,
    force: bool = False,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Render `plan` into a hidden folder beside `out` and rename it once everything is there.

    Args:
        out: new or empty folder; with `force`, an earlier set is replaced at the very end.
        workers: processes; the result does not depend on it.
        progress: called with 1 after every photo and clip.

    Raises:
        DatasetError: `out` is in use, or cannot be written.
    """
    _check_free(out, force)
    out = out.absolute()
    unfinished = out.with_name(f".{out.name}.partial")
    try:
        if unfinished.exists():  # a killed run left it
            shutil.rmtree(unfinished)
        unfinished.mkdir(parents=True)
        _render(unfinished, plan, workers, progress or (lambda _: None))
        manifest = {"version": VERSION, "classes": CLASSES, "negative_class": "background", **asdict(plan)}
        (unfinished / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        _put_in_place(unfinished, out)
    except OSError as error:
        raise DatasetError(
            f"{out}: cannot write the rendered set: {error.strerror or error}; nothing was kept"
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _check_free(out: Path, force: bool) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise DatasetError(f"{out}: expected a new or empty folder, found a file; choose another place")
    if not any(out.iterdir()):
        return
    if not force:
        raise DatasetError(
            f"{out}: expected a new or empty folder, found files in it; choose another or add --force"
        )
    if not (out / MANIFEST).is_file():
        raise DatasetError(
            f"{out}: --force replaces only a set rendered before, and there is no {MANIFEST} in it"
        )


def _put_in_place(finished: Path, out: Path) -> None:
    old = out.with_name(f".{out.name}.old")
    if out.exists():
        shutil.rmtree(old, ignore_errors=True)
        out.rename(old)
    finished.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def _render(root: Path, plan: SetPlan, workers: int, progress: Callable[[int], None]) -> None:
    photos = list(plan.photos())
    for split, name, _ in photos:
        (root / split / name).mkdir(parents=True, exist_ok=True)
    jobs: list[Job] = [partial(_write_clip, root, plan, k) for k in range(plan.clips)]  # the longest first
    jobs += [partial(_write_photo, root, plan, *photo) for photo in photos]
    boxes: dict[str, list[tuple[str, Box]]] = {split: [] for split in SPLITS}
    for number, box in _results(jobs, workers):
        if box is not None:
            split, name, count = photos[number - plan.clips]
            boxes[split].append((photo_name(split, name, count), box))
        progress(1)
    for split in SPLITS[1:]:
        if getattr(plan, split):
            _write_boxes(root / split / "boxes.csv", sorted(boxes[split]))


def _results(jobs: Sequence[Job], workers: int) -> Iterator[tuple[int, Box | None]]:
    """(job number, result) as jobs finish; leaves no process behind when the caller stops early."""
    if workers == 1:
        yield from ((number, job()) for number, job in enumerate(jobs))
        return
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")  # forked children of a threaded OpenCV can hang
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_set_up_worker)
    try:
        numbers = {pool.submit(job): number for number, job in enumerate(jobs)}
        for future in as_completed(numbers):
            yield numbers[future], future.result()
    except BrokenProcessPool as error:
        raise DatasetError(
            "a rendering process was stopped from outside; try again with fewer --workers"
        ) from error
    except BaseException:
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _set_up_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    cv2.setNumThreads(1)


def photo_name(split: str, name: str, number: int) -> str:
    """Path of a photo inside its split folder, e.g. `tower/val-0003.jpg`."""
    return f"{name}/{split}-{number:04d}.jpg"


def _write_photo(root: Path, plan: SetPlan, split: str, name: str, number: int) -> Box | None:
    seed = (plan.seed, SPLITS.index(split), CLASSES.index(name), number)
    still = render_still(seed, plan.size, tower=name == "tower")
    path = root / split / photo_name(split, name, number)
    path.write_bytes(cv2.imencode(".jpg", still.image, [cv2.IMWRITE_JPEG_QUALITY, plan.quality])[1].tobytes())
    return still.box


def _write_clip(root: Path, plan: SetPlan, number: int) -> None:
    """Even clips lose sight of the tower and find it again, odd ones keep it in view."""
    path = root / "clips" / f"orbit-{number:02d}.mp4"
    path.parent.mkdir(exist_ok=True)
    render_orbit_clip(path, (plan.seed, len(SPLITS), number), CLIP_SECONDS, plan.size, leave=number % 2 == 0)


def _write_boxes(path: Path, boxes: list[tuple[str, Box]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["path", "x0", "y0", "x1", "y1"])
        writer.writerows([photo, *box] for photo, box in boxes)
