"""The camera file: what it may say, checked once.

cam.toml ──load_camera──▶ keys ──parse──▶ checked CameraModel ──to_toml──▶ text that reads back equal
"""

from __future__ import annotations

import difflib
import json
import math
from typing import TYPE_CHECKING, Any

from edge_runtime.camera.lens import MODELS
from edge_runtime.camera.model import CameraModel
from edge_runtime.camera.mount import DOWN, FORWARD, is_3x3, parse_mount
from edge_runtime.camera.reach import first_without_inverse
from edge_runtime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

CAMERA_IDS = (100, 105)  # MAV_COMP_ID_CAMERA .. CAMERA6
INTRINSICS = ("fx", "fy", "cx", "cy")
REQUIRED = ("name", "width", "height", "mount")
OPTIONAL = ("id", *INTRINSICS, "K", "noise_px", "distortion", "heights_m", "calibration")
DISTORTION_KEYS = ("model", "coefficients")
MAX_PIXEL_ASPECT = 2.0  # fx / fy: beyond it K is of another picture
WANTED = (
    "expected the TOML file of one camera; measure one with `dips-edge calibrate-camera`, "
    "or fill in a copy of jetson/cam.example.toml"
)


def load_camera(path: Path) -> CameraModel:
    """Read and check a camera file; its keys are described in `edge_runtime/README.md`.

    Raises:
        UsageError: not there, not TOML, or any value that cannot be; one line that names it.
    """
    from edge_runtime.cliutil import read_toml

    return parse(read_toml(path, "camera file", WANTED), str(path))


def parse(raw: Mapping[str, Any], origin: str) -> CameraModel:
    """Check the keys and values of the camera file `origin`.

    Raises:
        UsageError: a key missing or unknown, or a value that cannot be.
    """
    _check_keys(raw, (*REQUIRED, *OPTIONAL), origin, "key")
    missing = [key for key in REQUIRED if key not in raw]
    if missing:
        raise UsageError(f"{origin}: {', '.join(missing)} missing; see jetson/cam.example.toml")
    name = raw["name"]
    if not isinstance(name, str) or not name.strip():
        raise UsageError(f"{origin}: name = {name!r}, expected a text such as 'front'")
    width, height = (_integer(raw[key], f"{origin}: {key}", 16, 65536) for key in ("width", "height"))
    fx, fy, cx, cy = _intrinsics(raw, origin)
    model, coefficients = _distortion(raw.get("distortion", {"model": "none"}), origin)
    camera = CameraModel(
        name=name.strip(),
        id=_integer(raw.get("id", CAMERA_IDS[0]), f"{origin}: id", *CAMERA_IDS),
        width=width,
        height=height,
        fx=fx,
        fy=fy,
        cx=cx,
        cy=cy,
        distortion=model,
        coefficients=coefficients,
        mount=parse_mount(raw["mount"], origin),
        noise_px=_positive(raw.get("noise_px", 1.0), f"{origin}: noise_px"),
        heights_m=_heights(raw.get("heights_m", {}), origin),
    )
    _check_geometry(camera, origin)
    return camera


def _check_keys(raw: Mapping[str, Any], known: Iterable[str], origin: str, what: str) -> None:
    known = list(known)
    for key in raw:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise UsageError(f"{origin}: unknown {what} {key!r}; {hint}")


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise UsageError(f"{what} = {value!r}, expected a finite number")
    return float(value)


def _positive(value: Any, what: str) -> float:
    if _number(value, what) <= 0:
        raise UsageError(f"{what} = {value!r}, expected more than 0")
    return float(value)


def _integer(value: Any, what: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise UsageError(f"{what} = {value!r}, expected a whole number from {least} to {most}")
    return value


def _intrinsics(raw: Mapping[str, Any], origin: str) -> tuple[float, float, float, float]:
    given = [key for key in INTRINSICS if key in raw]
    if "K" not in raw:
        missing = [key for key in INTRINSICS if key not in raw]
        if missing:
            raise UsageError(
                f"{origin}: {', '.join(missing)} missing; give fx, fy, cx, cy, or K as three rows"
            )
        values = {key: _number(raw[key], f"{origin}: {key}") for key in INTRINSICS}
    else:
        if given:
            raise UsageError(f"{origin}: both K and {', '.join(given)}; give one or the other")
        values = _from_matrix(raw["K"], origin)
    for key in ("fx", "fy"):
        if values[key] == 0.0:
            raise UsageError(
                f"{origin}: the camera matrix is singular: {key} = 0; calibrate the camera again"
            )
        _positive(values[key], f"{origin}: {key}")
    return values["fx"], values["fy"], values["cx"], values["cy"]


def _from_matrix(rows: Any, origin: str) -> dict[str, float]:
    shape = "K is [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]"
    if not is_3x3(rows):
        raise UsageError(f"{origin}: K = {rows!r}, expected three rows of three numbers; {shape}")
    (fx, skew, cx), (zero, fy, cy), last = ([_number(v, f"{origin}: K") for v in row] for row in rows)
    if skew or zero or last[:2] != [0.0, 0.0] or last[2] not in (0.0, 1.0):
        raise UsageError(f"{origin}: K = {rows!r} has skew or another last row; {shape}")
    if last[2] == 0.0:
        raise UsageError(f"{origin}: the camera matrix is singular: its last row is 0; {shape}")
    return {"fx": fx, "fy": fy, "cx": cx, "cy": cy}


def _distortion(raw: Any, origin: str) -> tuple[str, tuple[float, ...]]:
    if not isinstance(raw, dict):
        raise UsageError(f"{origin}: distortion = {raw!r}, expected a table with model and coefficients")
    _check_keys(raw, DISTORTION_KEYS, f"{origin}: distortion", "key")
    model, values = raw.get("model"), raw.get("coefficients", [])
    if not isinstance(model, str) or model not in MODELS:
        raise UsageError(f"{origin}: distortion.model = {model!r}, expected {', '.join(MODELS)}")
    counts = MODELS[model]
    if not isinstance(values, list) or len(values) not in counts:
        wanted = " or ".join(map(str, counts))
        raise UsageError(f"{origin}: distortion.coefficients = {values!r}, {model!r} takes {wanted} of them")
    return model, tuple(_number(v, f"{origin}: distortion.coefficients") for v in values)


def _heights(raw: Any, origin: str) -> dict[str, float]:
    if not isinstance(raw, dict):
        raise UsageError(f"{origin}: heights_m = {raw!r}, expected a table of class = metres")
    return {name: _positive(value, f"{origin}: heights_m.{name}") for name, value in raw.items()}


def _check_geometry(camera: CameraModel, origin: str) -> None:
    """Refuse intrinsics of another picture size, and a distortion that folds over inside the picture."""
    size = f"{camera.width}x{camera.height}"
    if not (0 <= camera.cx <= camera.width and 0 <= camera.cy <= camera.height):
        raise UsageError(
            f"{origin}: the principal point ({camera.cx:g}, {camera.cy:g}) lies outside the {size} picture; "
            "width and height must be those of the calibration"
        )
    if not 1 / MAX_PIXEL_ASPECT <= camera.fx / camera.fy <= MAX_PIXEL_ASPECT:
        raise UsageError(
            f"{origin}: fx = {camera.fx:g} and fy = {camera.fy:g} cannot be of one {size} picture"
        )
    bad = first_without_inverse(camera)
    if bad is not None:
        raise UsageError(
            f"{origin}: the distortion cannot be undone at pixel ({bad[0]:.0f}, {bad[1]:.0f}) of the {size} "
            "picture; calibrate again with the board in the corners, too"
        )


def to_toml(camera: CameraModel, notes: Mapping[str, str | int | float], comment: str = "") -> str:
    """The camera file of `camera`; `notes` become its table `calibration`, which nothing reads back."""
    lines = [f"# {line}" for line in comment.splitlines()]
    lines += [f"{key} = {json.dumps(getattr(camera, key), ensure_ascii=False)}" for key in ("name", "id")]
    lines += [f"{key} = {getattr(camera, key)}" for key in ("width", "height")]
    lines += [f"{key} = {getattr(camera, key)!r}" for key in (*INTRINSICS, "noise_px")]
    names = {FORWARD: '"forward"', DOWN: '"down"'}
    lines.append(f"mount = {names.get(camera.mount, [list(row) for row in camera.mount])}")
    lines += ["", "[distortion]", f'model = "{camera.distortion}"']
    lines.append(f"coefficients = {list(camera.coefficients)}")
    if camera.heights_m:
        lines += ["", "[heights_m]"]
        lines += [f"{json.dumps(name)} = {value!r}" for name, value in camera.heights_m.items()]
    if notes:
        lines += ["", "[calibration]"]
        lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in notes.items()]
    return "\n".join(lines) + "\n"
