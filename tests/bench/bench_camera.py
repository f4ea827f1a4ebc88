"""Cost of a bearing and error of the angles; prints one table: `python -m tests.bench.bench_camera`."""

from __future__ import annotations

import math
import statistics
import time

import numpy as np

from edge_runtime.camera.bearing import bearing_of
from edge_runtime.camera.camfile import parse
from tests.edge_runtime.camera import oracle

BASE = {"name": "bench", "width": 1280, "height": 720, "fx": 820.0, "fy": 820.0, "cx": 650.0, "cy": 355.0}
LENSES = {
    "pinhole": ("none", []),
    "brown 5": ("brown", [-0.32, 0.12, 0.001, -0.0007, 0.0]),
    "brown 8": ("brown", [0.5, 0.02, 0.0003, 0.0002, 0.001, 0.8, 0.1, 0.002]),
    "fisheye": ("fisheye", [0.02, -0.006, 0.001, -0.0002]),
}
BOXES, STD = 4000, (0.003, 0.005, 0.05, 0.05)
TARGET_MS, TARGET_DEG, TARGET_PX = 0.1, 0.05, 1e-3


def main() -> None:
    """Print p50 and p99 of `bearing(...).to_record()`, and the worst errors over a grid of pixels."""
    print(f"{'lens':<9} {'p50 ms':>8} {'p99 ms':>8} {'ArduPilot deg':>14} {'PX4 deg':>9} {'corner px':>10}")
    for name, (model, coefficients) in LENSES.items():
        distortion = {"model": model, "coefficients": coefficients}
        camera = parse({**BASE, "mount": "down", "distortion": distortion}, name)
        times = sorted(_times_ms(camera))
        ardupilot, px4 = _worst_deg(camera)
        corner = max(_round_trip_px(camera, x, y) for x in (0.0, 1.0) for y in (0.0, 1.0))
        p50, p99 = statistics.median(times), times[int(0.99 * len(times))]
        print(f"{name:<9} {p50:>8.4f} {p99:>8.4f} {ardupilot:>14.1e} {px4:>9.1e} {corner:>10.1e}")
    print(
        f"targets: p50 <= {TARGET_MS} ms, angles < {TARGET_DEG} deg, corner there and back < {TARGET_PX} px"
    )


def _times_ms(camera):
    random = np.random.default_rng(0)
    for x, y in random.uniform(0.02, 0.85, (BOXES, 2)).tolist():
        start = time.perf_counter_ns()
        bearing_of(camera, (x, y, x + 0.1, y + 0.12), (1280, 720), STD, "tower").to_record()
        yield (time.perf_counter_ns() - start) / 1e6


def _worst_deg(camera):
    ardupilot, px4 = 0.0, 0.0
    for x in np.linspace(0.01, 0.99, 25):
        for y in np.linspace(0.01, 0.99, 15):
            found = bearing_of(camera, (x - 0.005, y - 0.005, x + 0.005, y + 0.005), (1280, 720))
            told = oracle.ardupilot_down(found.ang_x, found.ang_y)
            ardupilot = max(ardupilot, oracle.apart_deg(told, found.los))
            told = oracle.px4_down(math.tan(found.ang_x), math.tan(found.ang_y))
            px4 = max(px4, oracle.apart_deg(told, found.los))
    return ardupilot, px4


def _round_trip_px(camera, x, y):
    back = camera.project(camera.ray(x, y).direction)
    return math.hypot((back[0] - x) * camera.width, (back[1] - y) * camera.height)


if __name__ == "__main__":
    main()
