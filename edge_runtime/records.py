"""The product's public interface: one JSON object per captured frame, also when nothing is found.

Frame + detections + TrackUpdate + stage times ──RecordBuilder──▶ dict ──encode──▶ one line

Schema version 1: `record.schema.json` beside this file; every field is described in this room's README.
Invariants: `valid` means state TRACKING, a detected box, and an age of at most the header's `max_age_ms`;
`box` is there exactly in the states TRACKING and COASTING; unknown is null, never NaN; `seq` rises by one,
`frame.idx` rises strictly and a gap is a lost frame.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict

from edge_runtime import __version__
from edge_runtime.camera.bearing import bearing_of
from edge_runtime.clock import UtcClock, boot_id
from edge_runtime.presence import object_probability

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from edge_runtime.camera.model import CameraModel
    from edge_runtime.contract import ModelContract
    from edge_runtime.frames import Frame
    from edge_runtime.sources.base import Source
    from edge_runtime.tracking import Detection, TrackUpdate

Record = Dict[str, Any]

VERSION = 1
MAX_AGE_MS = 150.0  # older results are no longer `valid`: design default of the guidance contract

_NO_BEARING: Record = {
    "bearing": None,
    "cov": None,
    "los": None,
    "range_m": None,
    "range_src": None,
    "range_std_m": None,
    "cam": {"id": None, "calib": None, "att_q": None},
}
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode


@dataclass(frozen=True)
class StageTimes:
    """Monotonic nanoseconds at which one frame passed from stage to stage."""

    taken: int  # by the inference thread
    preprocessed: int
    inferred: int
    decoded: int
    prepared_before: int = 0  # a duration: resized by the capture thread already, in so long


def encode(record: Record) -> bytes:
    """One record or header as a UTF-8 JSON line, newline included."""
    return _encode(record).encode() + b"\n"


def header(
    contract: ModelContract,
    source: Source,
    *,
    model: Record,
    max_age_ms: float = MAX_AGE_MS,
    camera: CameraModel | None = None,
    tracking: Record | None = None,
) -> Record:
    """The first line of every stream of records: what the lines after it cannot repeat.

    Args:
        contract: of the model, with the thresholds in force.
        model: what tells the model file apart: `name`, `sha256`, `backend`.
        tracking: settings of the tracker; None where frames are judged one by one.
    """
    now_ns = time.monotonic_ns()
    calibration = contract.presence_calibration
    return {
        "v": VERSION,
        "type": "header",
        "software": {"name": "dips-edge", "version": __version__},
        "t_mono_ns": now_ns,
        "t_utc_ns": UtcClock().from_monotonic_ns(now_ns),
        "clock": {"mono": "CLOCK_MONOTONIC", "utc": "CLOCK_REALTIME"},
        "boot_id": boot_id(),
        "max_age_ms": max_age_ms,
        "model": {
            **model,
            "precision": contract.precision,
            "run_id": contract.run_id,
            "classes": list(contract.classes),
            "negative_class": contract.negative_class,
            "input": [contract.input_height, contract.input_width],
            "decision_threshold": contract.decision_threshold,
            "presence_threshold": contract.presence_threshold,
            "presence_prior": None if calibration is None else round(calibration.prior, 4),
        },
        "source": {
            "name": source.name,
            "live": source.live,
            "fps": source.fps,
            "size": None if source.size is None else list(source.size),
        },
        "tracking": tracking,
        **({"calib": None, "mount": None} if camera is None else camera.header_fields()),
    }


class RecordBuilder:
    """Builds the records of one run; owned by the inference thread."""

    def __init__(
        self, contract: ModelContract, *, max_age_ms: float = MAX_AGE_MS, camera: CameraModel | None = None
    ) -> None:
        """`camera`: gives bearings; None leaves them null."""
        self._names = contract.classes
        objects = [i for i, name in enumerate(contract.classes) if name != contract.negative_class]
        self._objects = objects or [0]
        self._negative = contract.negative
        self._calibration = contract.presence_calibration
        self._max_age_ms = max_age_ms
        self._camera = camera
        self._no_bearing = _NO_BEARING if camera is None else {**_NO_BEARING, "cam": camera.cam_record()}
        self._utc = UtcClock()
        self._seq = 0
        self._class_name: str | None = None  # of the newest detection

    def build(
        self,
        frame: Frame,
        presence: float,
        detections: Sequence[Detection],
        update: TrackUpdate,
        class_probs: NDArray[np.float32],
        times: StageTimes,
        flags: tuple[str, ...] = (),
    ) -> Record:
        """The record of one frame, emitted now.

        Args:
            presence: `Decision.presence` of its map; NaN where there is none.
            detections: of this frame; the one that `update` accepted is the record's, the rest are `others`.
            update: what the tracker makes of them.
            class_probs: (K,) float32, softmax over the contract's classes.
            flags: what the pipeline has to say, e.g. `("dropped",)`; flags of the box are added here.
        """
        captured_ns = frame.t_capture_ns
        detected = update.box_src == "det"
        if detected:
            self._class_name = self._likeliest(class_probs)
        box = None if update.box_xyxy is None else _box(update.box_xyxy)
        seen = box if update.accepted is None else detections[update.accepted].box_xyxy
        if box is not None and (_touches_border(box) or _touches_border(seen or box)):
            flags = (*flags, "truncated")
        height, width = frame.image_bgr_u8.shape[:2]
        place: Record = {"idx": frame.index, "w": width, "h": height}
        if frame.name is not None:
            place["name"] = frame.name
        geometry, geometry_flags = self._geometry(update, width, height)
        others = [_other(found) for i, found in enumerate(detections) if i != update.accepted]
        probs = [_finite(p) for p in class_probs.tolist()]
        emitted_ns = max(time.monotonic_ns(), captured_ns)
        age_ms = _ms(emitted_ns - captured_ns)
        judged_ms = age_ms if frame.circumstances is None else frame.circumstances.age_ms
        self._seq += 1
        return {
            "v": VERSION,
            "type": "track",
            "seq": self._seq - 1,
            "frame": place,
            "t_cap_mono_ns": captured_ns,
            "t_cap_utc_ns": self._utc.from_monotonic_ns(captured_ns),
            "t_emit_mono_ns": emitted_ns,
            "age_ms": age_ms,
            "lat_ms": _latencies(captured_ns, times, age_ms),
            "state": update.state,
            "valid": detected and update.state == "TRACKING" and judged_ms <= self._max_age_ms,
            "tid": update.tid,
            "since_det_ms": None if update.since_det_ms is None else round(update.since_det_ms, 3),
            "cls": None if box is None else self._class_name,
            "score": round(update.score, 4) if detected and update.score is not None else None,
            "box": box,
            "box_src": update.box_src,
            **geometry,
            "flags": [*flags, *geometry_flags],
            "presence": _finite(presence),
            "p_present": self._p_present(presence, class_probs),
            "class_probs": probs,
            "others": others,
        }

    def _geometry(self, update: TrackUpdate, width: int, height: int) -> tuple[Record, tuple[str, ...]]:
        """Bearing fields of the record, and flags that say why there are none."""
        camera = self._camera
        if camera is None:
            return _NO_BEARING, ()
        if not camera.fits((width, height)):
            return _NO_BEARING, ("calib_mismatch",)
        if update.box_xyxy is None:
            return self._no_bearing, ()
        bearing = bearing_of(camera, update.box_xyxy, (width, height), update.box_std, self._class_name)
        if bearing is None:
            return self._no_bearing, ()
        return {**self._no_bearing, **bearing.to_record()}, ()

    def _p_present(self, presence: float, class_probs: NDArray[np.float32]) -> float | None:
        if self._calibration is None:
            return None
        p = self._calibration.probability(presence, object_probability(class_probs.tolist(), self._negative))
        return None if p is None else round(p, 4)

    def _likeliest(self, class_probs: NDArray[np.float32]) -> str:
        """The likeliest class other than the negative one: the map has already said that one is there."""
        return self._names[max(self._objects, key=lambda i: class_probs[i])]


def _latencies(captured_ns: int, times: StageTimes, age_ms: float) -> dict[str, float]:
    return {
        "cap": _ms(max(0, times.taken - captured_ns - times.prepared_before)),
        "pre": _ms(times.preprocessed - times.taken + times.prepared_before),
        "infer": _ms(times.inferred - times.preprocessed),
        "post": _ms(times.decoded - times.inferred),
        "tot": age_ms,
    }


def _touches_border(box_xyxy: Sequence[float]) -> bool:
    x0, y0, x1, y1 = box_xyxy
    return x0 <= 0.0 or y0 <= 0.0 or x1 >= 1.0 or y1 >= 1.0


def _box(box_xyxy: Sequence[float]) -> list[float]:
    return [round(v, 6) for v in box_xyxy]


def _other(found: Detection) -> Record:
    return {"box": _box(found.box_xyxy), "score": round(found.score, 4)}


def _ms(duration_ns: int) -> float:
    return round(duration_ns / 1e6, 3)


def _finite(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
