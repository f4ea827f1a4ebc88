"""The picture of a calibration: where the corners were, which way they miss, and one view made straight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_runtime.camera.fit import Fit, ViewFit

PANEL_WIDTH = 960
ARROW_PX = 18.0  # length on the picture of the RMS residual
BAND_PX = 36
_INK, _BAND = (245, 245, 245), (24, 20, 18)
_DOT, _ARROW, _LINE = (90, 200, 90), (60, 120, 255), (80, 220, 255)


def draw_calibration(fit: Fit, size: tuple[int, int]) -> bytes:
    """PNG of two panels: residuals of every corner over one view, and that view undistorted with its rows."""
    shown = max(fit.views, key=lambda view: view.slant_deg)
    gray = cv2.imdecode(np.frombuffer(shown.view.jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert gray is not None
    scale = PANEL_WIDTH / size[0]
    left = _panel(gray, scale)
    zoom = ARROW_PX / max(1e-3, fit.rms_px * scale)
    for view in fit.views:
        _residuals(left, view, scale, zoom)
    caption = f"{len(fit.views)} views, RMS {fit.rms_px:.3f} px, arrows {zoom:.0f} x"
    _write(left, caption)
    straight, rows = _straightened(gray, fit, shown, size)
    right = _panel(straight, scale)
    for row in rows:
        cv2.polylines(right, [_fixed(row * scale)], False, _LINE, 1, cv2.LINE_AA, 4)
    _write(right, f"undistorted: {shown.view.name}")
    return cv2.imencode(".png", np.hstack([left, right]))[1].tobytes()


def _panel(gray: Any, scale: float) -> NDArray[np.uint8]:
    height = round(gray.shape[0] * scale)
    resized = cv2.resize(gray, (PANEL_WIDTH, height), interpolation=cv2.INTER_AREA)
    dimmed = cv2.convertScaleAbs(resized, alpha=0.7)
    return np.asarray(cv2.cvtColor(dimmed, cv2.COLOR_GRAY2BGR), np.uint8)


def _residuals(canvas: NDArray[np.uint8], view: ViewFit, scale: float, zoom: float) -> None:
    starts = view.view.corners.pixels * scale
    ends = starts + view.residuals * scale * zoom
    for start, end in zip(_fixed(starts).tolist(), _fixed(ends).tolist()):
        cv2.line(canvas, start, end, _ARROW, 1, cv2.LINE_AA, 4)
        cv2.circle(canvas, start, 24, _DOT, -1, cv2.LINE_AA, 4)


def _straightened(gray: Any, fit: Fit, shown: ViewFit, size: tuple[int, int]) -> tuple[Any, list[Any]]:
    """The view without distortion, a little smaller so that its rim stays in, and the board's rows on it."""
    matrix, bent = fit.matrix, np.array(fit.coefficients)
    fisheye = fit.lens == "fisheye"
    smaller = matrix.copy()
    smaller[0, 0] *= 0.5 if fisheye else 0.8
    smaller[1, 1] *= 0.5 if fisheye else 0.8
    module: Any = cv2.fisheye if fisheye else cv2
    maps = module.initUndistortRectifyMap(matrix, bent, np.eye(3), smaller, size, cv2.CV_32FC1)
    straight = cv2.remap(gray, maps[0], maps[1], cv2.INTER_LINEAR)
    pixels = shown.view.corners.pixels.astype(np.float64).reshape(-1, 1, 2)
    points = module.undistortPoints(pixels, matrix, bent, R=np.eye(3), P=smaller).reshape(-1, 2)
    heights = shown.view.corners.board_m[:, 1]
    return straight, [points[heights == h] for h in np.unique(heights)]


def _fixed(points: Any) -> NDArray[np.int32]:
    """Pixels with 4 fractional bits, as OpenCV's drawing takes them."""
    return np.asarray(np.clip(np.round(np.asarray(points) * 16), -(2**20), 2**20), np.int32)


def _write(canvas: NDArray[np.uint8], text: str) -> None:
    """One line in a dark band along the bottom."""
    height, width = canvas.shape[:2]
    cv2.rectangle(canvas, (0, height - BAND_PX), (width, height), _BAND, -1)
    cv2.putText(canvas, text, (14, height - 11), cv2.FONT_HERSHEY_SIMPLEX, 0.65, _INK, 1, cv2.LINE_AA)
