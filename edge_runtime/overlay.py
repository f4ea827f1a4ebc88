"""Draws a record on its frame: where the map is warm, the box, and one line that says what is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Tuple

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_runtime.records import Record

Color = Tuple[int, int, int]

_STATE_BGR: dict[str, Color] = {
    "SEARCHING": (190, 190, 190),
    "TRACKING": (110, 230, 80),
    "COASTING": (60, 190, 255),
    "LOST": (90, 110, 255),
    "FAULT": (70, 70, 255),
}
_INK: Color = (245, 245, 245)
_SHADE: Color = (24, 20, 18)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_TINT = 0.42  # opacity of the map where it is 1


def draw(
    image_bgr_u8: NDArray[np.uint8], score_map: NDArray[np.float32], record: Record
) -> NDArray[np.uint8]:
    """A copy of the frame with heat map, box, label and status line.

    Args:
        image_bgr_u8: (H, W, 3) uint8.
        score_map: (h, w) float32 in [0, 1], over the whole frame.
        record: the track record of this frame (`edge_runtime.records`).
    """
    canvas = _tint(image_bgr_u8, score_map)
    color = _STATE_BGR[record["state"]]
    unit = max(0.8, min(canvas.shape[:2]) / 480)  # line widths and letters grow with the frame
    for other in record.get("others", ()):
        _rectangle(canvas, _pixels(canvas, other["box"]), _SHADE, max(2, round(2 * unit)))
        _rectangle(canvas, _pixels(canvas, other["box"]), _INK, max(1, round(unit)))
    if record["box"] is not None:
        box = _pixels(canvas, record["box"])
        _rectangle(canvas, box, color, max(1, round(unit)))
        _corners(canvas, box, color, max(2, round(3 * unit)))
        _label(canvas, box, record, color, unit)
    _status_line(canvas, record, color, unit)
    return canvas


def _tint(image: NDArray[np.uint8], score_map: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Blend in the colored map, the more the warmer; blended at map size first, which is cheap."""
    level = (np.clip(score_map, 0.0, 1.0) * 255).astype(np.uint8)
    colors = cv2.applyColorMap(level, cv2.COLORMAP_INFERNO)
    opacity = cv2.merge([cv2.convertScaleAbs(level, alpha=_TINT)] * 3)
    size = (image.shape[1], image.shape[0])
    colors_part = cv2.resize(cv2.multiply(colors, opacity, scale=1 / 255), size)
    image_part = cv2.multiply(image, cv2.bitwise_not(cv2.resize(opacity, size)), scale=1 / 255)
    return np.asarray(cv2.add(image_part, colors_part), np.uint8)


def _pixels(canvas: NDArray[np.uint8], box: list[float]) -> tuple[int, int, int, int]:
    height, width = canvas.shape[:2]
    x0, y0, x1, y1 = box
    return round(x0 * width), round(y0 * height), round(x1 * width) - 1, round(y1 * height) - 1


def _rectangle(canvas: NDArray[np.uint8], box: tuple[int, int, int, int], color: Color, thick: int) -> None:
    cv2.rectangle(canvas, box[:2], box[2:], color, thick, cv2.LINE_AA)


def _corners(canvas: NDArray[np.uint8], box: tuple[int, int, int, int], color: Color, thick: int) -> None:
    """Heavier strokes at the four corners: the box stays visible on any background."""
    x0, y0, x1, y1 = box
    reach = max(4, min(x1 - x0, y1 - y0) // 5)
    for x, dx in ((x0, reach), (x1, -reach)):
        for y, dy in ((y0, reach), (y1, -reach)):
            cv2.line(canvas, (x, y), (x + dx, y), color, thick, cv2.LINE_AA)
            cv2.line(canvas, (x, y), (x, y + dy), color, thick, cv2.LINE_AA)


def _label(
    canvas: NDArray[np.uint8], box: tuple[int, int, int, int], record: Record, color: Color, unit: float
) -> None:
    """Class and score on a plate above the box, inside it where there is no room above."""
    score = "" if record["score"] is None else f" {record['score']:.2f}"
    text = f"{record['cls']}{score}"
    pad = round(4 * unit)
    (width, height), _ = cv2.getTextSize(text, _FONT, 0.5 * unit, _stroke(unit))
    left = max(0, min(box[0], canvas.shape[1] - width - 2 * pad))
    bottom = box[1] if box[1] >= height + 2 * pad else min(box[1] + height + 2 * pad, canvas.shape[0])
    cv2.rectangle(canvas, (left, bottom - height - 2 * pad), (left + width + 2 * pad, bottom), color, -1)
    _write(canvas, text, (left + pad, bottom - pad), _SHADE, unit)


def _status_line(canvas: NDArray[np.uint8], record: Record, color: Color, unit: float) -> None:
    """State on the left, age and frame number on the right, on a darkened strip at the bottom."""
    tall = round(22 * unit)
    strip = canvas[-tall:]
    strip[:] = strip // 4 + np.array(_SHADE, np.uint8)
    base = canvas.shape[0] - round(7 * unit)
    pad = round(8 * unit)
    stale = record["state"] == "TRACKING" and not record["valid"]
    state = f"{record['state']} (stale)" if stale else record["state"]
    cv2.circle(
        canvas, (pad + round(4 * unit), base - round(4 * unit)), round(4 * unit), color, -1, cv2.LINE_AA
    )
    _write(canvas, state, (pad + round(14 * unit), base), color, unit)
    right = f"age {record['age_ms']:.0f} ms   #{record['frame']['idx']}"
    (width, _), _ = cv2.getTextSize(right, _FONT, 0.5 * unit, _stroke(unit))
    if 2 * width < canvas.shape[1]:
        _write(canvas, right, (canvas.shape[1] - width - pad, base), _INK, unit)


def _write(canvas: NDArray[np.uint8], text: str, at: tuple[int, int], color: Color, unit: float) -> None:
    cv2.putText(canvas, text, at, _FONT, 0.5 * unit, color, _stroke(unit), cv2.LINE_AA)


def _stroke(unit: float) -> int:
    return max(1, round(1.2 * unit))
