"""Records of a simulated flight, as the pipeline would write them: each keeps every rule of a record."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, Any, Dict

from edge_runtime.sinks.mavlink.messages import DOWN
from edge_runtime.tracking import Detection, Tracker, TrackSettings
from tests.edge_runtime.record_rules import problems, validator

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_runtime.live import Controls

Record = Dict[str, Any]
MAX_AGE_MS = 150.0
WITH_BOX = ("TRACKING", "COASTING")


def header(*, mount: Any = DOWN, calib: str | None = "a1b2c3d4", max_age_ms: float = MAX_AGE_MS) -> Record:
    """Header of a run with a calibrated camera (none with `calib=None`)."""
    made: Record = {
        "v": 1,
        "type": "header",
        "software": {"name": "dips-edge", "version": "1.2.3"},
        "t_mono_ns": time.monotonic_ns(),
        "t_utc_ns": None,
        "clock": {"mono": "CLOCK_MONOTONIC", "utc": "CLOCK_REALTIME"},
        "boot_id": None,
        "max_age_ms": max_age_ms,
        "model": {
            "name": "tower-fp16",
            "sha256": "0" * 64,
            "backend": "cpu",
            "precision": "fp16",
            "run_id": "r1",
            "classes": ["background", "tower"],
            "negative_class": "background",
            "input": [224, 224],
            "decision_threshold": 0.5,
            "presence_threshold": 0.5,
        },
        "source": {"name": "demo", "live": True, "fps": 30.0, "size": [1280, 720]},
        "calib": calib,
        "mount": None if calib is None else [list(map(float, row)) for row in mount],
    }
    validator().validate(made)
    return made


def bearing_of(ray: tuple[float, float], mount: Any = DOWN) -> tuple[Record, list[float]]:
    """Bearing and line of sight of a target at `ray` = (x, y) of the plane one metre before the camera."""
    x, y = ray
    norm = math.sqrt(x * x + y * y + 1)
    los = [sum(row[i] * v for i, v in enumerate((x, y, 1.0))) / norm for row in mount]
    return {
        "frame": "body_frd",
        "az": math.atan2(los[1], los[0]),
        "el": math.atan2(-los[2], math.hypot(los[0], los[1])),
        "ang_x": math.atan(x),
        "ang_y": math.atan(y),
        "size_x": 0.2,
        "size_y": 0.3,
    }, los


def record(
    seq: int = 0,
    state: str = "TRACKING",
    *,
    tid: int = 1,
    age_ms: float = 20.0,
    ray: tuple[float, float] | None = (0.1, -0.2),
    mount: Any = DOWN,
    range_m: float | None = None,
    box: tuple[float, ...] = (0.4, 0.2, 0.6, 0.8),
    captured_ns: int | None = None,
    detected: bool = True,
) -> Record:
    """One record emitted now of a frame captured `age_ms` ago (or at `captured_ns`)."""
    emitted_ns = time.monotonic_ns()
    captured_ns = emitted_ns - int(age_ms * 1e6) if captured_ns is None else captured_ns
    age_ms = round((emitted_ns - captured_ns) / 1e6, 3)
    has_box = state in WITH_BOX
    is_det = state == "TRACKING" and detected
    bearing, los = bearing_of(ray, mount) if has_box and ray is not None else (None, None)
    made: Record = {
        "v": 1,
        "type": "track",
        "seq": seq,
        "frame": {"idx": seq, "w": 1280, "h": 720},
        "t_cap_mono_ns": captured_ns,
        "t_cap_utc_ns": None,
        "t_emit_mono_ns": emitted_ns,
        "age_ms": age_ms,
        "lat_ms": {"cap": 1.0, "pre": 1.0, "infer": 10.0, "post": 1.0, "tot": age_ms},
        "state": state,
        "valid": is_det and age_ms <= MAX_AGE_MS,
        "tid": tid if has_box else None,
        "since_det_ms": 0.0 if is_det else 120.0,
        "cls": "tower" if has_box else None,
        "score": 0.9 if is_det else None,
        "box": list(box) if has_box else None,
        "box_src": None if not has_box else "det" if is_det else "pred",
        "bearing": bearing,
        "cov": None if bearing is None else [1e-5, 0.0, 1e-5],
        "los": los,
        "range_m": range_m,
        "cam": {"id": 100, "calib": None if bearing is None else "a1b2c3d4", "att_q": None},
        "flags": [],
        "others": [],
    }
    assert problems(made, MAX_AGE_MS) == []
    return made


class Feeder:
    """Feeds a sink from a thread as the pipeline does: detections by script, states by the real tracker."""

    def __init__(self, report: Callable[[Record], None], controls: Controls, *, fps: float = 30.0) -> None:
        self.records: list[Record] = []
        self.seen = False  # is the asset in the picture?
        self._report, self._controls, self._period_s = report, controls, 1 / fps
        self._tracker = Tracker(TrackSettings())
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Feeder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(2)

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._ending.wait(max(0.0, due_s - time.monotonic())):
            due_s += self._period_s
            made = self._next()
            self.records.append(made)
            self._report(made)

    def _next(self) -> Record:
        captured_ns = time.monotonic_ns() - 5_000_000
        for request in self._controls.take():
            if request.kind == "stop":
                self._tracker.release(captured_ns)
        seq = len(self.records)
        left = 0.4 + 0.05 * math.sin(seq / 10)
        box = (left, 0.2, left + 0.2, 0.8)
        update = self._tracker.update(captured_ns, [Detection(box, 0.9)] if self.seen else [])
        return record(
            seq,
            update.state,
            tid=update.tid or 0,
            box=update.box_xyxy or (),
            captured_ns=captured_ns,
            detected=update.box_src == "det",
            ray=(left - 0.5, 0.1),
        )
