"""A printed board and where its corners lie on a picture: chessboard or ChArUco, OpenCV 4 and 5.

"9x6", "25mm" ──parse_board──▶ Board ──open_detector──▶ find(gray) ──▶ Corners
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np

from edge_runtime.errors import SourceError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNITS_M = {"mm": 1e-3, "cm": 1e-2, "m": 1.0}
FEWEST, MOST = 3, 40  # corners or squares along one side
MARKER_SHARE = 0.75  # of a square, when the marker's size is not given
WINDOW_SHARE, WINDOW_MOST_PX = 0.3, 8  # half the window of a corner: of the gap to the next, and in pixels
CHARUCO_WINDOW_SHARE = 0.1  # markers begin at an eighth of a square
SEARCH_PX = 960  # longer side of the picture for the sturdy search
CHARUCO_LEAST = 0.4  # share of a ChArUco board's corners that must be seen
PATCH = 15  # side in pixels, odd, of what is looked at to tell how sharp a corner is


@dataclass(frozen=True)
class Board:
    """`columns` x `rows`: inner corners of a chessboard, squares of a ChArUco board. Lengths in metres."""

    columns: int
    rows: int
    square_m: float
    charuco: str | None = None
    marker_m: float = 0.0

    def __str__(self) -> str:
        kind = "chessboard of inner corners" if self.charuco is None else f"ChArUco board {self.charuco}"
        return f"{self.columns}x{self.rows} {kind}"


@dataclass(frozen=True)
class Corners:
    """Points of the board (N, 3) float32, metres, z = 0, and where they are seen (N, 2) float32, pixels."""

    board_m: NDArray[np.float32]
    pixels: NDArray[np.float32]


class Detector(Protocol):
    """Finds one kind of board."""

    def find(self, gray_u8: NDArray[np.uint8]) -> Corners | None:
        """Corners to a tenth of a pixel or better; None where the board is not in view."""
        ...


def parse_board(size: str, square: str, charuco: str | None = None, marker: str | None = None) -> Board:
    """Read "9x6" and "25mm"; `charuco` is a dictionary such as "5x5_100".

    Raises:
        UsageError: not such a text, or out of range.
    """
    match = re.fullmatch(r"(\d+)\s*[xX]\s*(\d+)", size.strip())
    if not match or not all(FEWEST <= int(side) <= MOST for side in match.groups()):
        raise UsageError(
            f"--board {size!r}: expected columns x rows from {FEWEST} to {MOST} such as 9x6, "
            "inner corners of a chessboard or squares of a ChArUco board"
        )
    square_m = _length(square, "--square")
    marker_m = 0.0
    if charuco is not None:
        marker_m = MARKER_SHARE * square_m if marker is None else _length(marker, "--marker")
        if marker_m >= square_m:
            raise UsageError(f"--marker {marker}: must be smaller than the square ({square})")
    elif marker is not None:
        raise UsageError("--marker is for ChArUco boards; give --charuco DICTIONARY, too")
    return Board(int(match[1]), int(match[2]), square_m, charuco, marker_m)


def _length(text: str, flag: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(mm|cm|m)", text.strip())
    if not match or float(match[1]) == 0.0:
        raise UsageError(f"{flag} {text!r}: expected a length with its unit such as 25mm, 2.5cm or 0.025m")
    return float(match[1]) * UNITS_M[match[2]]


def open_detector(board: Board) -> Detector:
    """The detector for `board`.

    Raises:
        UsageError: an unknown dictionary, or ChArUco with an OpenCV that cannot do it.
    """
    return Chessboard(board) if board.charuco is None else Charuco(board)


class Chessboard:
    """Finds all inner corners of a plain board, or nothing."""

    def __init__(self, board: Board) -> None:
        self._size = (board.columns, board.rows)
        grid = np.mgrid[0 : board.columns, 0 : board.rows].T.reshape(-1, 2)
        self._board_m = np.zeros((len(grid), 3), np.float32)
        self._board_m[:, :2] = grid * board.square_m

    def find(self, gray_u8: NDArray[np.uint8]) -> Corners | None:
        """All corners, or None. The fast search first; the sturdier one finds what it misses."""
        quick = cv2.CALIB_CB_ADAPTIVE_THRESH | cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_FAST_CHECK
        found, pixels = cv2.findChessboardCorners(gray_u8, self._size, flags=quick)
        rough = np.asarray(pixels, np.float32).reshape(-1, 2) if found else self._sturdy(gray_u8)
        return None if rough is None else Corners(self._board_m, _refined(gray_u8, rough, WINDOW_SHARE))

    def _sturdy(self, gray_u8: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        """Corners to a pixel or two, searched on a smaller picture: this search is slow on a large one."""
        scale = min(1.0, SEARCH_PX / max(gray_u8.shape))
        small = cv2.resize(gray_u8, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        found, pixels = cv2.findChessboardCornersSB(small, self._size, flags=cv2.CALIB_CB_NORMALIZE_IMAGE)
        if not found:
            return None
        return np.asarray((np.reshape(pixels, (-1, 2)) + 0.5) / scale - 0.5, np.float32)


def _refined(gray_u8: NDArray[np.uint8], rough: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """Corners to sub-pixels, from a window of `share` of the gap to the next corner to each side."""
    apart = np.linalg.norm(rough[:, None] - rough[None], axis=2) + np.diag(np.full(len(rough), np.inf))
    half = int(np.clip(share * apart.min(), 2, WINDOW_MOST_PX))
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 60, 1e-4)
    refined = cv2.cornerSubPix(gray_u8, rough.reshape(-1, 1, 2).copy(), (half, half), (-1, -1), stop)
    return np.asarray(refined, np.float32).reshape(-1, 2)


class Charuco:
    """Finds those corners of a ChArUco board that are in view; parts of it may be hidden or cut off."""

    def __init__(self, board: Board) -> None:
        aruco: Any = getattr(cv2, "aruco", None)
        if not hasattr(aruco, "CharucoDetector"):
            raise UsageError(
                f"--charuco needs OpenCV 4.7 or newer, this is {cv2.__version__}; use a plain chessboard"
            )
        dictionary = _dictionary(aruco, str(board.charuco))
        size, least = (board.columns, board.rows), (board.columns - 1) * (board.rows - 1) * CHARUCO_LEAST
        boards = []
        for legacy in (False, True):  # OpenCV 4.6 turned the pattern of boards with an even number of rows
            made = aruco.CharucoBoard(size, board.square_m, board.marker_m, dictionary)
            made.setLegacyPattern(legacy)
            boards.append(made)
        self._boards = [(made, aruco.CharucoDetector(made)) for made in boards]
        self._least = max(6, round(least))

    def find(self, gray_u8: NDArray[np.uint8]) -> Corners | None:
        """The corners in view, when they are enough; whichever pattern fits first is kept."""
        for kind in self._boards:
            made, detector = kind
            pixels, ids, _, _ = detector.detectBoard(gray_u8)
            if ids is None or len(ids) < self._least:
                continue
            board_m = np.asarray(made.getChessboardCorners(), np.float32)[np.ravel(ids)]
            if np.ptp(board_m[:, :2], axis=0).min() > 0:  # one row alone has no plane
                self._boards = [kind]
                rough = np.asarray(pixels, np.float32).reshape(-1, 2)  # OpenCV 4.10 is off by half a pixel
                return Corners(board_m, _refined(gray_u8, rough, CHARUCO_WINDOW_SHARE))
        return None


def _dictionary(aruco: Any, name: str) -> Any:
    known = {n[len("DICT_") :].lower(): n for n in dir(aruco) if n.startswith("DICT_")}
    key = re.sub("^dict_", "", name.lower())
    if key not in known:
        raise UsageError(f"--charuco {name!r}: unknown dictionary; known are {', '.join(sorted(known))}")
    return aruco.getPredefinedDictionary(getattr(aruco, known[key]))


def edge_width_px(gray_u8: NDArray[np.uint8], corners: Corners) -> float:
    """How many pixels an edge between black and white takes, median over the corners; 1 to 2 is sharp.

    Contrast of a small patch around each corner over the steepest slope in it.
    """
    half = PATCH // 2
    widths = []
    for x, y in corners.pixels.round().astype(int).tolist():
        patch = gray_u8[max(0, y - half) : y + half + 1, max(0, x - half) : x + half + 1].astype(np.float32)
        if min(patch.shape) < PATCH:
            continue
        slope_y, slope_x = np.gradient(patch)
        low, high = np.percentile(patch, (5, 95))
        widths.append(float((high - low) / max(1e-3, np.hypot(slope_x, slope_y).max())))
    if not widths:
        raise SourceError("the board lies at the rim of the picture; keep it whole in view")
    return float(np.median(widths))
