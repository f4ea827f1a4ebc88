"""Results as the pipeline hands them to sinks, and a header to go before them."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from edge_runtime.boxes import decode_map
from edge_runtime.circumstances import Circumstances
from edge_runtime.frames import Frame
from edge_runtime.records import RecordBuilder, StageTimes
from edge_runtime.sinks import Result
from edge_runtime.tracking import Detection
from edge_runtime.untracked import Untracked
from tests.edge_runtime.conftest import CONTRACT, square_frame

HEADER: dict[str, Any] = {"v": 1, "type": "header", "source": {"fps": 20.0}}


def result(index: int = 0, image: np.ndarray | None = None, *, empty: bool = False) -> Result:
    """One frame with a white square that the map has found, or with nothing (`empty`)."""
    picture = square_frame(side=0 if empty else 32) if image is None else image
    score_map = np.zeros((64, 64), np.float32) if empty else picture[::2, ::2, 0].astype(np.float32) / 255
    frame = Frame(picture, index, time.monotonic_ns())
    taken = time.monotonic_ns()
    decision = decode_map(score_map, CONTRACT.decision_threshold, CONTRACT.presence_threshold)
    times = StageTimes(taken, taken, taken, taken)
    detections = [Detection(found.box_xyxy, found.score) for found in decision.candidates]
    update = Untracked().update(frame.t_capture_ns, detections)
    probs = np.array([0.1, 0.9], np.float32)
    record = RecordBuilder(CONTRACT).build(frame, decision.presence, detections, update, probs, times)
    return Result(frame, score_map, record, Circumstances(frame.t_capture_ns, record["age_ms"]))
