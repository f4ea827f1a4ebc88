"""Pictures of a board ──calibrate──▶ Calibration ──save──▶ cam.toml and its picture, both or neither."""

from __future__ import annotations

import datetime
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from edge_runtime.camera.camfile import parse, to_toml
from edge_runtime.camera.fit import Fit, fit_views
from edge_runtime.camera.model import CameraModel
from edge_runtime.camera.picture import draw_calibration
from edge_runtime.camera.reach import first_without_inverse
from edge_runtime.camera.views import Found, choose_views, find_views
from edge_runtime.errors import SinkError, SourceError
from edge_runtime.place import staged

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edge_runtime.camera.chessboard import Board
    from edge_runtime.camera.mount import Matrix

log = logging.getLogger(__name__)

FAR_CORNER = 0.15  # of the diagonal: a corner of the picture no board came nearer to is told


@dataclass(frozen=True)
class Calibration:
    """What came of it: the camera, how well it fits, and what was looked at."""

    camera: CameraModel
    fit: Fit
    found: Found
    board: Board

    def as_dict(self) -> dict[str, Any]:
        """JSON-able summary."""
        return {
            "camera": self.camera.name,
            "calib": self.camera.calib,
            "size": [self.camera.width, self.camera.height],
            "lens": self.fit.lens,
            "fx": self.camera.fx,
            "fy": self.camera.fy,
            "cx": self.camera.cx,
            "cy": self.camera.cy,
            "coefficients": list(self.camera.coefficients),
            "rms_px": round(self.fit.rms_px, 4),
            "pictures": self.found.looked,
            "with_board": len(self.found.views) + len(self.found.blurred),
            "blurred": list(self.found.blurred),
            "views": [
                {
                    "name": view.view.name,
                    "rms_px": round(view.rms_px, 4),
                    "slant_deg": round(view.slant_deg, 1),
                    "used": used,
                }
                for views, used in ((self.fit.views, True), (self.fit.rejected, False))
                for view in views
            ],
        }


def calibrate(
    targets: Sequence[str], board: Board, *, lens: str, name: str, camera_id: int, mount: Matrix, most: int
) -> Calibration:
    """Find the board, choose views, fit the lens, and check that the result can be flown with.

    Args:
        targets: pictures, folders, globs or videos.
        lens: one of `fit.LENSES`.
        most: views to fit; more take longer and add little.

    Raises:
        SourceError: what `find_views` and `fit_views` refuse, or a lens that cannot be undone.
    """
    found = find_views(targets, board)
    chosen = choose_views(found.views, found.size, most)
    log.info("board in %d of %d pictures, fitting %d views", len(found.views), found.looked, len(chosen))
    fit = fit_views(chosen, found.size, lens)
    camera = _camera(fit, found.size, name, camera_id, mount)
    if lens == "brown" and first_without_inverse(camera) is not None:
        log.info("five coefficients fold over at the rim of the picture: fitting four")
        fit = fit_views(chosen, found.size, lens, fixed_k3=True)
        camera = _camera(fit, found.size, name, camera_id, mount)
    bad = first_without_inverse(camera)
    if bad is not None:
        raise SourceError(
            f"the fitted lens cannot be undone at pixel ({bad[0]:.0f}, {bad[1]:.0f}); show the board in the "
            "corners of the picture, too, or try --fisheye for a very wide lens"
        )
    for corner in _far_corners(fit, found.size):
        log.warning("no board came near the %s corner of the picture: bearings there are a guess", corner)
    return Calibration(camera, fit, found, board)


def _camera(fit: Fit, size: tuple[int, int], name: str, camera_id: int, mount: Matrix) -> CameraModel:
    return CameraModel(
        name=name,
        id=camera_id,
        width=size[0],
        height=size[1],
        fx=float(fit.matrix[0, 0]),
        fy=float(fit.matrix[1, 1]),
        cx=float(fit.matrix[0, 2]),
        cy=float(fit.matrix[1, 2]),
        distortion="fisheye" if fit.lens == "fisheye" else "brown",
        coefficients=fit.coefficients,
        mount=mount,
    )


def _far_corners(fit: Fit, size: tuple[int, int]) -> list[str]:
    seen = np.concatenate([view.view.corners.pixels for view in fit.views])
    corners = {
        f"{end} {side}": (x, y)
        for end, y in (("top", 0), ("bottom", size[1]))
        for side, x in (("left", 0), ("right", size[0]))
    }
    far = FAR_CORNER * float(np.hypot(*size))
    return [name for name, at in corners.items() if np.linalg.norm(seen - at, axis=1).min() > far]


def check_targets(paths: Sequence[Path], *, force: bool) -> None:
    """Refuse files that exist, or whose folder does not, before the work begins."""
    for path in paths:
        if path.exists() and (path.is_dir() or not force):
            what = (
                "is a folder"
                if path.is_dir()
                else "exists; choose another name or add --force to overwrite it"
            )
            raise SinkError(f"{path} {what}")
        if not path.parent.is_dir():
            raise SinkError(f"{path}: no folder {path.parent}; make it first")


def save(calibration: Calibration, out: Path, picture: Path) -> None:
    """Write the camera file and the picture.

    Raises:
        DipsEdgeError: cannot be written; nothing was changed.
    """
    camera, fit = calibration.camera, calibration.fit
    notes: dict[str, str | int | float] = {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "board": str(calibration.board),
        "views": len(fit.views),
        "rms_px": round(fit.rms_px, 4),
        "opencv": cv2.__version__,
    }
    text = to_toml(camera, notes, "Made by `dips-edge calibrate-camera`. Set `mount` to how the camera sits.")
    with staged({out: text.encode(), picture: draw_calibration(fit, (camera.width, camera.height))}) as parts:
        from edge_runtime.cliutil import read_toml

        if parse(read_toml(parts[out]), str(out)) != camera:
            raise SinkError(f"{out}: does not read back as written; report this")
