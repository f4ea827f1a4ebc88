"""Views of the board ──fit──▶ intrinsics and distortion; wrong views are thrown out, guesses refused."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from edge_runtime.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edge_runtime.camera.views import View

log = logging.getLogger(__name__)

LENSES = ("brown", "rational", "fisheye")
FEWEST_VIEWS = 8  # Zhang's method needs 3; outliers and an uneven hand need more
OUTLIER_RATIO, OUTLIER_PX = (
    2.5,
    0.25,
)  # a view is thrown out beyond this times the median and this many pixels
OUTLIER_ROUNDS = 4
SLANTED_DEG, FEWEST_SLANTED = 15.0, 3  # frontal views cannot tell focal length from distance
MAX_FOCAL_STD = 0.005  # of the focal length; one that is uncertain by more makes bearings wrong at the rim
MAX_RMS_PX = 1.0  # per 1280 px of width


@dataclass(frozen=True)
class ViewFit:
    """How one view fits. `residuals`: (N, 2) px, seen minus predicted; `slant_deg`: board against picture."""

    view: View
    residuals: NDArray[np.float64]
    slant_deg: float

    @property
    def rms_px(self) -> float:
        """Root mean square of the distance between seen and predicted corners."""
        return float(np.sqrt((self.residuals**2).sum(axis=1).mean()))


@dataclass(frozen=True)
class Fit:
    """A calibration. `matrix` (3, 3); `coefficients` in the order of `lens.MODELS`; `focal_std`: relative."""

    lens: str
    matrix: NDArray[np.float64]
    coefficients: tuple[float, ...]
    views: tuple[ViewFit, ...]
    rejected: tuple[ViewFit, ...]
    focal_std: float

    @property
    def rms_px(self) -> float:
        """Over all corners of all views kept."""
        return float(np.sqrt(np.mean(np.concatenate([(v.residuals**2).sum(axis=1) for v in self.views]))))


def fit_views(views: Sequence[View], size: tuple[int, int], lens: str, *, fixed_k3: bool = False) -> Fit:
    """Calibrate, throw out views that do not fit, and calibrate again until none is left.

    Args:
        size: (width, height) of the pictures.
        lens: one of `LENSES`; "rational" is Brown with 8 coefficients.
        fixed_k3: leave k3 at 0 (brown), for pictures whose corners no board came near.

    Raises:
        SourceError: too few views, no solution, or one that the views do not determine.
    """
    kept = list(views)
    rejected: list[ViewFit] = []
    for _ in range(OUTLIER_ROUNDS):
        _need_views(len(kept), len(rejected))
        fit = _fit_once(kept, size, lens, fixed_k3)
        limit = max(OUTLIER_PX, OUTLIER_RATIO * float(np.median([view.rms_px for view in fit.views])))
        wrong = [view for view in fit.views if view.rms_px > limit]
        if not wrong:
            break
        rejected += wrong
        kept = [view.view for view in fit.views if view.rms_px <= limit]
    fit = Fit(fit.lens, fit.matrix, fit.coefficients, fit.views, tuple(rejected), fit.focal_std)
    _need_determined(fit, size)
    return fit


def _fit_once(views: Sequence[View], size: tuple[int, int], lens: str, fixed_k3: bool) -> Fit:
    board = [view.corners.board_m.reshape(1, -1, 3) for view in views]
    seen = [view.corners.pixels.reshape(1, -1, 2) for view in views]
    try:
        if lens == "fisheye":
            matrix, bent, turns, shifts, focal_std = _solve_fisheye(board, seen, size)
        else:
            matrix, bent, turns, shifts, focal_std = _solve_brown(board, seen, size, lens, fixed_k3)
    except cv2.error as error:
        raise SourceError(
            f"no {lens} lens fits these {len(views)} views (OpenCV: {error.err or error}); check the size of "
            "--board, and show the board slanted in all directions"
        ) from error
    project: Any = cv2.fisheye.projectPoints if lens == "fisheye" else cv2.projectPoints
    fits = []
    for view, points, where, turn, shift in zip(views, board, seen, turns, shifts):
        predicted = project(points.astype(np.float64), turn, shift, matrix, bent)[0]
        residuals = where.reshape(-1, 2).astype(np.float64) - np.reshape(predicted, (-1, 2))
        facing = abs(float(cv2.Rodrigues(turn)[0][2, 2]))
        fits.append(ViewFit(view, residuals, math.degrees(math.acos(min(1.0, facing)))))
    used = 4 if lens == "fisheye" or fixed_k3 else 8 if lens == "rational" else 5
    coefficients = tuple(float(c) for c in np.ravel(bent)[:used])
    return Fit(lens, matrix, coefficients, tuple(fits), (), focal_std)


def _solve_brown(board: Any, seen: Any, size: tuple[int, int], lens: str, fixed_k3: bool) -> Any:
    flags = cv2.CALIB_RATIONAL_MODEL if lens == "rational" else cv2.CALIB_FIX_K3 if fixed_k3 else 0
    solve: Any = cv2.calibrateCameraExtended
    _, matrix, bent, turns, shifts, deviations, _, _ = solve(board, seen, size, None, None, flags=flags)
    focal_std = float(max(deviations[0, 0] / matrix[0, 0], deviations[1, 0] / matrix[1, 1]))
    return matrix, bent, turns, shifts, focal_std


def _solve_fisheye(board: Any, seen: Any, size: tuple[int, int]) -> Any:
    # OpenCV 4 keeps these in `cv2.fisheye`, OpenCV 5 in `cv2`, with other values
    names = ("CALIB_RECOMPUTE_EXTRINSIC", "CALIB_FIX_SKEW")
    flags = sum(getattr(cv2.fisheye, name, None) or getattr(cv2, name) for name in names)
    solve: Any = cv2.fisheye.calibrate
    points, where = [p.astype(np.float64) for p in board], [p.astype(np.float64) for p in seen]
    steps = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 200, 1e-9)
    _, matrix, bent, turns, shifts = solve(
        points, where, size, np.zeros((3, 3)), np.zeros((4, 1)), flags=flags, criteria=steps
    )
    return matrix, bent, turns, shifts, _fisheye_focal_std(points, where, matrix, bent, turns, shifts)


def _fisheye_focal_std(points: Any, where: Any, matrix: Any, bent: Any, turns: Any, shifts: Any) -> float:
    """Relative standard deviation of the focal length, which OpenCV tells of Brown lenses only.

    From the normal equations of the last step, the poses of the board eliminated (Schur complement).
    """
    normal, squares, equations = np.zeros((8, 8)), 0.0, 0
    for board, seen, turn, shift in zip(points, where, turns, shifts):
        predicted, jacobian = cv2.fisheye.projectPoints(board, turn, shift, matrix, bent)
        lens, pose = jacobian[:, :8], jacobian[:, 8:14]  # f, c, k | rotation, translation | skew
        shared = pose.T @ lens
        normal += lens.T @ lens - shared.T @ np.linalg.pinv(pose.T @ pose) @ shared
        squares += float(((predicted - seen) ** 2).sum())
        equations += len(jacobian) - 6
    try:
        variance = np.diag(np.linalg.inv(normal))[:2] * squares / max(1, equations - 8)
    except np.linalg.LinAlgError:
        return math.inf
    return float(np.max(np.sqrt(np.maximum(variance, 0.0)) / (matrix[0, 0], matrix[1, 1])))


def _need_views(kept: int, rejected: int) -> None:
    if kept < FEWEST_VIEWS:
        without = f" after {rejected} that did not fit" if rejected else ""
        raise SourceError(
            f"{kept} usable view(s) of the board{without}, at least {FEWEST_VIEWS} are needed; take 15 to "
            "30: near, far, in every corner of the picture, slanted to all sides, and sharp"
        )


def _need_determined(fit: Fit, size: tuple[int, int]) -> None:
    slanted = sum(view.slant_deg >= SLANTED_DEG for view in fit.views)
    if slanted < FEWEST_SLANTED or not fit.focal_std <= MAX_FOCAL_STD:
        why = (
            f"{slanted} of {len(fit.views)} views show the board slanted by {SLANTED_DEG:.0f} degrees or more"
            if slanted < FEWEST_SLANTED
            else f"the focal length is uncertain by {fit.focal_std:.1%} (limit {MAX_FOCAL_STD:.1%})"
        )
        raise SourceError(
            f"these views do not determine the focal length: {why}; hold the board slanted by 20 to 45 "
            "degrees to the left, right, up and down, and near"
        )
    limit = MAX_RMS_PX * max(1.0, size[0] / 1280)
    if not fit.rms_px <= limit:
        raise SourceError(
            f"the corners miss the {fit.lens} lens by {fit.rms_px:.2f} px RMS (limit {limit:.2f}); the board "
            "must be flat and still; a very wide lens needs --fisheye or --rational"
        )
