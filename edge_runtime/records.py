"""The product's public interface: one JSON object per captured frame, also when nothing is found.

Frame + Decision + stage times ──RecordBuilder──▶ dict ──encode──▶ one line

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
from typing import TYPE_CHECKING, Any

from edge_runtime import __version__
from edge_runtime.clock import UtcClock, boot_id

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_runtime.boxes import Candidate, Decision
    from edge_runtime.contract import ModelContract
    from edge_runtime.frames import Frame
    from edge_runtime.sources.base import Source

Record = dict[str, Any]

VERSION = 1
MAX_AGE_MS = 150.0  # older results are no longer `valid`: design default of the guidance contract

_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode


@dataclass(frozen=True)
class StageTimes:
    """Monotonic nanoseconds at which one frame passed from stage to stage."""

    taken: int  # by the inference thread
    preprocessed: int
    inferred: int
    decoded: int


def encode(record: Record) -> bytes:
    """One record or header as a UTF-8 JSON line, newline included."""
    return _encode(record).encode() + b"\n"


def header(
    contract: ModelContract, source: Source, *, model: Record, max_age_ms: float = MAX_AGE_MS
) -> Record:
    """The first line of every stream of records: what the lines after it cannot repeat.

    Args:
        contract: of the model, with the thresholds in force.
        model: what tells the model file apart: `name`, `sha256`, `backend`.
    """
    now_ns = time.monotonic_ns()
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
        },
        "source": {
            "name": source.name,
            "live": source.live,
            "fps": source.fps,
            "size": None if source.size is None else list(source.size),
        },
        "calib": None,
        "mount": None,
    }


class RecordBuilder:
    """Builds the records of one run; owned by the inference thread."""

    def __init__(self, contract: ModelContract, *, max_age_ms: float = MAX_AGE_MS) -> None:
        self._names = contract.classes
        objects = [i for i, name in enumerate(contract.classes) if name != contract.negative_class]
        self._objects = objects or [0]
        self._max_age_ms = max_age_ms
        self._utc = UtcClock()
        self._seq = 0
        self._last_detection_ns: int | None = None

    def build(
        self,
        frame: Frame,
        decision: Decision,
        class_probs: NDArray[np.float32],
        times: StageTimes,
        flags: tuple[str, ...] = (),
    ) -> Record:
        """The record of one frame, emitted now.

        Args:
            decision: what the map says; its first candidate becomes the record's box.
            class_probs: (K,) float32, softmax over the contract's classes.
            flags: what the pipeline has to say, e.g. `("dropped",)`; flags of the box are added here.
        """
        found = decision.candidates[0] if decision.present else None
        captured_ns = frame.t_capture_ns
        if found is not None:
            self._last_detection_ns = captured_ns
            if _touches_border(found):
                flags = (*flags, "truncated")
        height, width = frame.image_bgr_u8.shape[:2]
        place: Record = {"idx": frame.index, "w": width, "h": height}
        if frame.name is not None:
            place["name"] = frame.name
        emitted_ns = time.monotonic_ns()
        age_ms = _ms(emitted_ns - captured_ns)
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
            "state": "SEARCHING" if found is None else "TRACKING",
            "valid": found is not None and age_ms <= self._max_age_ms,
            "tid": None,
            "since_det_ms": self._since_detection_ms(captured_ns),
            "cls": None if found is None else self._class_name(class_probs),
            "score": None if found is None else round(found.score, 4),
            "box": None if found is None else _box(found),
            "box_src": None if found is None else "det",
            "bearing": None,
            "cov": None,
            "los": None,
            "range_m": None,
            "cam": {"id": None, "calib": None, "att_q": None},
            "flags": list(flags),
            "presence": _finite(decision.presence),
            "class_probs": [_finite(p) for p in class_probs.tolist()],
            "others": [{"box": _box(c), "score": round(c.score, 4)} for c in decision.candidates[1:]],
        }

    def _since_detection_ms(self, captured_ns: int) -> float | None:
        return None if self._last_detection_ns is None else _ms(captured_ns - self._last_detection_ns)

    def _class_name(self, class_probs: NDArray[np.float32]) -> str:
        """The likeliest class other than the negative one: the map has already said that one is there."""
        return self._names[max(self._objects, key=lambda i: class_probs[i])]


def _latencies(captured_ns: int, times: StageTimes, age_ms: float) -> dict[str, float]:
    return {
        "cap": _ms(times.taken - captured_ns),
        "pre": _ms(times.preprocessed - times.taken),
        "infer": _ms(times.inferred - times.preprocessed),
        "post": _ms(times.decoded - times.inferred),
        "tot": age_ms,
    }


def _touches_border(found: Candidate) -> bool:
    x0, y0, x1, y1 = found.box_xyxy
    return x0 <= 0.0 or y0 <= 0.0 or x1 >= 1.0 or y1 >= 1.0


def _box(found: Candidate) -> list[float]:
    return [round(v, 6) for v in found.box_xyxy]


def _ms(duration_ns: int) -> float:
    return round(duration_ns / 1e6, 3)


def _finite(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
