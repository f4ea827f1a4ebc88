"""Orbit clips: the drone circles a tower, may look away and back; a video and one line of truth per frame.

seed ──▶ Scene + flight ──▶ PATH.mp4 and PATH.gt.jsonl (frame, t, objects, present)
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_runtime.errors import DatasetError
from train.synth import buildings
from train.synth.camera import Camera, aimed, orientation
from train.synth.groundmap import TEXEL_M
from train.synth.land import random_land
from train.synth.mast import build_tower
from train.synth.mastplan import MastPlan, random_plan
from train.synth.placing import Around
from train.synth.scene import Picture, Scene, lay_out
from train.synth.scenery import CLEAR_M, random_scenery
from train.synth.sensor import Sensor, expose, exposure_gain
from train.synth.weather import random_weather

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

FPS = 25.0
SHUTTER = 0.25  # share of the frame time
SHAKE_HZ = np.array([0.7, 1.9, 4.3, 7.1])
SHAKE_RAD = np.array([12e-4, 6e-4, 4e-4, 3e-4])
MAP_TEXELS = 1536
FOURCC = "mp4v"  # MPEG-4 part 2: every OpenCV wheel writes and reads it; H.264 encoders are missing from them


@dataclass(frozen=True)
class Flight:
    """A path around the mast and how the camera looks along it; angles in radians, lengths in metres."""

    mast_m: float
    start_rad: float
    sweep_rad: float
    distance_m: tuple[float, float]
    altitude_m: tuple[float, float]
    focal_px: float
    look_away_rad: float  # how far the camera turns off the tower in the middle of the clip; 0: never
    wobble: NDArray[np.float64]  # (3, 4) phases of the hand-made shake

    def camera(self, t: float, seconds: float, size: tuple[int, int]) -> Camera:
        """Where the camera is at `t` seconds."""
        s = t / seconds
        bearing = self.start_rad + self.sweep_rad * s
        distance = self.distance_m[0] + (self.distance_m[1] - self.distance_m[0]) * _ease(s)
        altitude = self.altitude_m[0] + (self.altitude_m[1] - self.altitude_m[0]) * _ease(s)
        eye = np.array([distance * math.sin(bearing), distance * math.cos(bearing), altitude])
        drift_x = 0.5 + 0.12 * math.sin(2 * math.pi * (0.8 * s + self.wobble[0, 0]))
        drift_y = 0.5 + 0.06 * math.sin(2 * math.pi * (1.1 * s + self.wobble[0, 1]))
        pixel = (size[0] * drift_x, size[1] * drift_y)
        target = np.array([0.0, 0.0, 0.52 * self.mast_m])
        camera = aimed(eye, target, pixel, focal_px=self.focal_px, size=size)
        forward = camera.camera_from_world[2]
        yaw, pitch = math.atan2(forward[0], forward[1]), math.asin(forward[2])
        yaw += self.look_away_rad * _pulse(s)
        waves = SHAKE_RAD * np.sin(2.0 * math.pi * (SHAKE_HZ * t + self.wobble))
        shake_yaw, shake_pitch, shake_roll = (float(v) for v in waves.sum(axis=1))
        turned = orientation(yaw + shake_yaw, pitch + shake_pitch, 2.0 * shake_roll)
        return replace(camera, camera_from_world=turned)


def render_orbit_clip(
    path: Path,
    seed: int | tuple[int, ...],
    seconds: float,
    size: tuple[int, int] = (640, 480),
    *,
    leave: bool = True,
    fps: float = FPS,
) -> None:
    """Write `path` (mp4) and, beside it, `<stem>.gt.jsonl`.

    Args:
        seed: same seed, same pixels before encoding.
        size: (width, height), even numbers.
        leave: the camera turns away until the tower is out of view, and back.

    Raises:
        DatasetError: OpenCV cannot write the video, or not all of it.
        OSError: the truth file cannot be written.
    """
    partial = path.with_name(f".partial-{path.name}")
    writer = cv2.VideoWriter(str(partial), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*FOURCC), fps, size)
    if not writer.isOpened():
        raise DatasetError(
            f"{path}: this OpenCV cannot write {FOURCC} video there; check the folder and the cv2 build"
        )
    lines = []
    try:
        for number, (image, truth) in enumerate(orbit_frames(seed, seconds, size, leave=leave, fps=fps)):
            writer.write(image)
            lines.append(json.dumps({"frame": number, "t": round(number / fps, 4), **truth}))
        writer.release()
        _check_whole(partial, path, len(lines))
        path.with_name(f"{path.stem}.gt.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        partial.replace(path)
    finally:
        writer.release()
        partial.unlink(missing_ok=True)


def _check_whole(written: Path, path: Path, frames: int) -> None:
    """OpenCV says nothing when the disk is full: ask the file how many frames it holds."""
    video = cv2.VideoCapture(str(written), cv2.CAP_FFMPEG)
    found = round(video.get(cv2.CAP_PROP_FRAME_COUNT)) if video.isOpened() else 0
    video.release()
    if found != frames:
        raise DatasetError(f"{path}: expected {frames} frames in the video, found {found}; is the disk full?")


def orbit_frames(
    seed: int | tuple[int, ...],
    seconds: float,
    size: tuple[int, int],
    *,
    leave: bool = True,
    fps: float = FPS,
) -> Iterator[tuple[NDArray[np.uint8], dict[str, object]]]:
    """Frames (H, W, 3) uint8 BGR, each with its truth as `frame_truth` gives it."""
    scene, flight, rng = plan_orbit(seed, size, leave=leave)
    sensor = Sensor((0.0, 0.0), 0.4 * size[0] / 640, 1.0, 124.0, 1.03, 0.95, 0.08, np.ones(3, np.float32))
    gain: float | None = None  # the first frame's exposure is kept
    for number in range(round(seconds * fps)):
        t = number / fps
        camera = flight.camera(t, seconds, size)
        later = flight.camera(t + SHUTTER / fps, seconds, size)
        picture = scene.render(camera)
        gain = exposure_gain(picture.image, sensor) if gain is None else gain
        shot = replace(sensor, shake_px=_flow_px(camera, later))
        yield expose(picture.image, shot, rng, gain=gain), frame_truth(scene, camera, picture)


def plan_orbit(
    seed: int | tuple[int, ...], size: tuple[int, int], *, leave: bool
) -> tuple[Scene, Flight, np.random.Generator]:
    """World and flight of a clip, and the generator that goes on to drive the sensor's noise."""
    rng = np.random.default_rng(seed)
    plan = random_plan(rng)
    flight = _random_flight(rng, plan, size, leave)
    return _orbit_scene(rng, plan, max(flight.distance_m)), flight, rng


def _random_flight(rng: np.random.Generator, plan: MastPlan, size: tuple[int, int], leave: bool) -> Flight:
    fov = math.radians(float(rng.uniform(56.0, 68.0)))
    focal = size[0] / (2.0 * math.tan(fov / 2.0))
    far = plan.height_m * focal / (float(rng.uniform(0.45, 0.6)) * size[1])
    near = plan.height_m * focal / (float(rng.uniform(0.65, 0.8)) * size[1])
    turn = float(rng.choice((-1.0, 1.0)))
    return Flight(
        mast_m=plan.height_m,
        start_rad=float(rng.uniform(0.0, 2.0 * math.pi)),
        sweep_rad=turn * math.radians(float(rng.uniform(50.0, 90.0))),
        distance_m=(far, near),
        altitude_m=(
            float(rng.uniform(0.4, 0.7)) * plan.height_m,
            float(rng.uniform(0.75, 1.15)) * plan.height_m,
        ),
        focal_px=focal,
        look_away_rad=turn * 1.02 * fov if leave else 0.0,
        wobble=rng.uniform(0.0, 1.0, (3, 4)),
    )


def _orbit_scene(rng: np.random.Generator, plan: MastPlan, radius_m: float) -> Scene:
    weather, land = random_weather(rng), random_land(rng, pad=True)
    tower = build_tower(plan, rng)

    def clear(foot: NDArray[np.float64], radius: float, tall: float) -> bool:
        gap = float(np.hypot(*foot))
        if gap < CLEAR_M * 0.6 + radius:
            return False
        return gap > radius_m * 1.1 + radius + 15.0 or tall < 0.22 * plan.height_m

    scenery = random_scenery(rng, land, Around(None), clear)
    compound = buildings.compound(np.zeros(3), float(rng.uniform(0.0, 6.3)), rng)
    maps = lay_out(weather, land, scenery, tower, [(0.0, 0.0)] * len(TEXEL_M), MAP_TEXELS)
    return Scene(weather, land, scenery, tower, compound, float(rng.uniform(0.02, 0.08)), maps)


def frame_truth(scene: Scene, camera: Camera, picture: Picture) -> dict[str, object]:
    """`objects`: none or one, with `box` (x0, y0, x1, y1 inclusive) and `visible`, the share of the whole
    tower's box inside the frame; `present`: at least half of it is.
    """
    if picture.box is None or scene.tower is None:
        return {"objects": [], "present": False}
    points, _ = camera.project(scene.tower.points())
    low, high = points.min(axis=0), points.max(axis=0)
    edge = np.array([camera.width - 0.5, camera.height - 0.5])
    inside = np.clip(high, -0.5, edge) - np.clip(low, -0.5, edge)
    visible = float(np.prod(inside) / max(1e-9, float(np.prod(high - low))))
    return {"objects": [{"box": list(picture.box), "visible": round(visible, 4)}], "present": visible >= 0.5}


def _flow_px(camera: Camera, later: Camera) -> tuple[float, float]:
    """How far the picture's middle moves while the shutter is open, seen at the mast's distance."""
    depth = float(np.hypot(*camera.position_m[:2]))
    point = camera.position_m + camera.camera_from_world[2] * depth
    (x, y), _ = later.project(point)
    return float(x) - camera.centre_px[0], float(y) - camera.centre_px[1]


def _ease(s: float) -> float:
    return s * s * (3.0 - 2.0 * s)


def _pulse(s: float) -> float:
    """0 outside the middle of the clip, 1 while the camera looks away."""
    return _ease(min(max((s - 0.34) / 0.16, 0.0), 1.0)) * (1.0 - _ease(min(max((s - 0.62) / 0.16, 0.0), 1.0)))
