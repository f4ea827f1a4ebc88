"""Camera files written from a table of keys, with any of them changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from edge_runtime.camera import CameraModel, load_camera

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BASE: dict[str, Any] = {
    "name": "front",
    "id": 100,
    "width": 1280,
    "height": 720,
    "fx": 820.0,
    "fy": 820.0,
    "cx": 650.0,
    "cy": 355.0,
    "mount": "forward",
    "distortion": {"model": "brown", "coefficients": [-0.32, 0.12, 0.0, 0.0]},
}


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {toml(v)}" for key, v in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value).replace("NaN", "nan").replace("Infinity", "inf")


def camera_text(**changes: Any) -> str:
    """A camera file with some keys replaced; None leaves one out."""
    values = {**BASE, **changes}
    return "".join(f"{key} = {toml(value)}\n" for key, value in values.items() if value is not None)


@pytest.fixture
def make_camera(tmp_path: Path) -> Callable[..., CameraModel]:
    """`make_camera(key=value, ...)`: the camera loaded from such a file."""

    def make(**changes: Any) -> CameraModel:
        path = tmp_path / "cam.toml"
        path.write_text(camera_text(**changes))
        return load_camera(path)

    return make
