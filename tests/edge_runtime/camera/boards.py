"""Renders a printed board as a known camera would see it: lens by bisection, not by the code under test.

Camera ──rays of every sub-pixel──▶ hit the plane of the board ──▶ black, white or desk ──average──▶ picture
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np

FINE = 2  # sub-pixels along one side; the texture is smoothed, too
SMOOTH = 1.5  # texels: about half of a sub-pixel at the distances used


@dataclass(frozen=True)
class Camera:
    """A made-up camera: radial distortion only, `radial` k1 k2 (k3) of Brown or k1..k4 of a fisheye."""

    width: int = 640
    height: int = 480
    fx: float = 460.0
    fy: float = 462.0
    cx: float = 325.0
    cy: float = 236.0
    radial: tuple[float, ...] = (-0.28, 0.09)
    fisheye: bool = False

    def bend(self, radius: Any) -> Any:
        """Distorted radius of an ideal radius (Brown) or of an angle off the axis (fisheye)."""
        factor = sum(k * radius ** (2 * i + 2) for i, k in enumerate(self.radial))
        return radius * (1 + factor)

    def unbend(self, bent: Any) -> Any:
        """Inverse of `bend` by bisection."""
        low, high = np.zeros_like(bent), np.full_like(bent, 1.5)
        for _ in range(50):
            middle = (low + high) / 2
            under = self.bend(middle) < bent
            low, high = np.where(under, middle, low), np.where(under, high, middle)
        return (low + high) / 2

    def rays(self, u: Any, v: Any) -> Any:
        """(..., 3) directions seen at pixels (u, v), the centre of the first pixel being (0, 0)."""
        x, y = (u - self.cx) / self.fx, (v - self.cy) / self.fy
        bent = np.hypot(x, y)
        table = np.linspace(0.0, bent.max() + 1e-6, 4000)
        ideal = np.interp(bent, table, self.unbend(table))
        side, ahead = (np.sin(ideal), np.cos(ideal)) if self.fisheye else (ideal, np.ones_like(ideal))
        ratio = side / np.maximum(bent, 1e-12)
        return np.stack([x * ratio, y * ratio, ahead], axis=-1)

    @cached_property
    def fine_rays(self) -> Any:
        """Rays of all sub-pixels, (height * FINE, width * FINE, 3) float32."""
        offsets = (np.arange(FINE) + 0.5) / FINE - 0.5
        u = (np.arange(self.width)[:, None] + offsets).ravel()
        v = (np.arange(self.height)[:, None] + offsets).ravel()
        return self.rays(*np.meshgrid(u, v)).astype(np.float32)

    def photograph(self, board: Any, turn: tuple[float, float, float], at: tuple[float, float, float]) -> Any:
        """Gray picture (height, width) of a board (h, w) uint8 texture, 1000 texels per unit of length.

        `turn`: rotation vector in degrees; `at`: where the board's middle is, camera axes.
        """
        rotation = cv2.Rodrigues(np.radians(np.array(turn, np.float64)))[0]
        to_board = np.column_stack([rotation[:, 0], rotation[:, 1], np.array(at)])  # plane to camera
        hit = self.fine_rays @ np.linalg.inv(to_board).T.astype(np.float32)
        with np.errstate(divide="ignore", invalid="ignore"):
            x, y = hit[..., 0] / hit[..., 2], hit[..., 1] / hit[..., 2]
        behind = ~(hit[..., 2] > 0)
        map_x = np.where(behind, -1e4, x * 1000 + board.shape[1] / 2 - 0.5).astype(np.float32)
        map_y = np.where(behind, -1e4, y * 1000 + board.shape[0] / 2 - 0.5).astype(np.float32)
        fine = cv2.remap(board, map_x, map_y, cv2.INTER_LINEAR, borderValue=90)
        picture = cv2.resize(fine, (self.width, self.height), interpolation=cv2.INTER_AREA)
        noise = np.random.default_rng(0).normal(0, 2, picture.shape)
        return np.clip(cv2.GaussianBlur(picture, (0, 0), 0.6) * 0.8 + 20 + noise, 0, 255).astype(np.uint8)


def chessboard(columns: int = 8, rows: int = 6, square: int = 100) -> Any:
    """Texture with `columns` x `rows` inner corners and a white rim of a square."""
    i, j = np.mgrid[0 : (rows + 1) * square, 0 : (columns + 1) * square] // square
    texture = np.pad(((i + j) % 2 * 255).astype(np.uint8), square, constant_values=255)
    return cv2.GaussianBlur(texture, (0, 0), SMOOTH)


def charuco(columns: int = 8, rows: int = 6, square: int = 140) -> Any:
    """Texture of a ChArUco board of `columns` x `rows` squares, 5x5_100, markers 0.75 of a square."""
    words = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_100)
    board = cv2.aruco.CharucoBoard((columns, rows), 1.0, 0.75, words)
    image = board.generateImage((columns * square, rows * square), marginSize=0)
    return cv2.GaussianBlur(np.pad(np.asarray(image, np.uint8), square, constant_values=255), (0, 0), SMOOTH)


SLANTS = [(0, 0), (28, 0), (-28, 0), (0, 28), (0, -28), (22, 22), (-22, 22), (22, -22), (-22, -22)]
PLACES = [(-1, -1), (1, 1), (0, 0), (1, -1), (-1, 1), (0, -1), (-1, 0), (1, 0), (0, 1)]


def poses(count: int, slant: float = 1.0, reach: float = 0.7, near: float = 1.0) -> list[tuple[Any, Any]]:
    """(turn, at) of views all over the picture, near and far, slanted to all sides.

    `reach`: tangent of the half field of view to fill; `near`: scales distances.
    """
    made = []
    for k in range(count):
        tilt_x, tilt_y = SLANTS[k % len(SLANTS)]
        far = near * (1.5, 1.8, 2.2, 1.3)[k % 4]
        x, y = PLACES[(k * 2 + k // 9) % len(PLACES)]
        at = (x * (reach * far - 0.44), y * (0.75 * reach * far - 0.36), far)
        made.append(((tilt_x * slant, tilt_y * slant, 11 * (k % 5 - 2)), at))
    return made
