"""Views of the board out of pictures or a video: found, sharp, and as different from each other as can be.

frames ──sample──▶ find corners ──sharp enough──▶ View ──choose──▶ the views to calibrate with
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_runtime.camera.chessboard import Board, Corners, edge_width_px, open_detector
from edge_runtime.errors import SourceError
from edge_runtime.sources import open_source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from edge_runtime.frames import Frame

log = logging.getLogger(__name__)

LOOKS_PER_S = 3.0  # of a video: a board moved by hand changes no faster
SPEAK_EVERY_S = 10.0
MAX_LOOKS = 900  # pictures searched for the board
BLURRED_PX = 5.0  # edge width beyond which corners are no longer good to a tenth of a pixel
BLURRED_RATIO = 2.0  # against the median of all views
SAME_VIEW = 0.04  # difference below which a second view adds nothing


@dataclass(frozen=True)
class View:
    """One picture with the board in it. `edge_px`: see `edge_width_px`; `jpeg`: the gray picture."""

    name: str
    corners: Corners
    edge_px: float
    jpeg: bytes


@dataclass(frozen=True)
class Found:
    """All views of the board. `looked`: pictures searched; `size`: (width, height); `blurred`: names."""

    views: tuple[View, ...]
    looked: int
    size: tuple[int, int]
    blurred: tuple[str, ...]


def find_views(targets: Sequence[str], board: Board) -> Found:
    """Search pictures (files, folders, globs) or videos for the board.

    Raises:
        SourceError: nothing to read, pictures of different sizes, a live camera, or not one board.
    """
    detector = open_detector(board)
    views: list[View] = []
    size, looked, spoken = (0, 0), 0, time.monotonic()
    for name, frame in _pictures(targets):
        height, width = frame.image_bgr_u8.shape[:2]
        if looked and (width, height) != size:
            raise SourceError(
                f"{name}: {width}x{height}, the pictures before it are {size[0]}x{size[1]}; "
                "calibrate with pictures of one camera mode"
            )
        size, looked = (width, height), looked + 1
        gray = np.asarray(cv2.cvtColor(frame.image_bgr_u8, cv2.COLOR_BGR2GRAY), np.uint8)
        corners = detector.find(gray)
        log.debug("%s: %s", name, "no board" if corners is None else f"{len(corners.pixels)} corners")
        if corners is not None:
            jpeg = cv2.imencode(".jpg", gray, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
            views.append(View(name, corners, edge_width_px(gray, corners), jpeg))
        if time.monotonic() - spoken > SPEAK_EVERY_S:
            spoken = time.monotonic()
            log.info("looked at %d pictures, board in %d", looked, len(views))
        if looked == MAX_LOOKS:
            log.warning("looked at %d pictures, the rest is left out; cut the video", MAX_LOOKS)
            break
    if not views:
        raise SourceError(
            f"no {board} found in {looked} picture(s); count the inner corners (squares of ChArUco), "
            "keep the whole board with its white rim in view, in even light"
        )
    sharp = _sharp(views)
    blurred = tuple(view.name for view in views if view not in sharp)
    return Found(tuple(sharp), looked, size, blurred)


def _pictures(targets: Sequence[str]) -> Iterator[tuple[str, Frame]]:
    for target in targets:
        source = open_source(target)
        try:
            if source.live:
                raise SourceError(f"{target} is live; record a video of the board first and give that")
            step = 1 if source.fps is None else max(1, round(source.fps / LOOKS_PER_S))
            for count, frame in enumerate(source):
                if count % step == 0:
                    yield frame.name or f"{source.name} frame {frame.index}", frame
        finally:
            source.close()


def _sharp(views: list[View]) -> list[View]:
    limit = min(BLURRED_PX, BLURRED_RATIO * float(np.median([view.edge_px for view in views])))
    return [view for view in views if view.edge_px <= limit]


def choose_views(views: Sequence[View], size: tuple[int, int], most: int) -> list[View]:
    """At most `most` views, each as different as possible from those before it, near copies left out.

    Starts with the sharpest; farthest-point sampling over where, how large and how slanted the board appears.
    """
    traits = np.array([_traits(view.corners, size) for view in views])
    chosen = [int(np.argmin([view.edge_px for view in views]))]
    nearest = np.linalg.norm(traits - traits[chosen[0]], axis=1)
    while len(chosen) < min(most, len(views)):
        following = int(nearest.argmax())
        if nearest[following] < SAME_VIEW:
            break
        chosen.append(following)
        nearest = np.minimum(nearest, np.linalg.norm(traits - traits[following], axis=1))
    return [views[i] for i in sorted(chosen)]


def _traits(corners: Corners, size: tuple[int, int]) -> NDArray[np.float64]:
    """(x, y, log size, slant about both axes): what a view can add to a calibration."""
    board = corners.board_m[:, :2].astype(np.float64)
    board = (board - board.mean(0)) / np.abs(board - board.mean(0)).max()
    pixels = corners.pixels.astype(np.float64) / max(size)
    plane, _ = cv2.findHomography(board, pixels)
    slant = np.zeros(2) if plane is None else plane[2, :2] / plane[2, 2]
    spread = 0.5 * np.log(np.abs(np.linalg.det(np.cov(pixels.T))) + 1e-18)
    return np.array([*pixels.mean(0), 0.3 * spread, *(2.0 * slant)])
