"""Frame to result: resize, network, boxes, track, bearing, record. Owned by the inference thread.

Frame ──Perception.see──▶ Result
  FAULT (no frame, no result, frozen camera, broken engine) ends the track and is told in every record
"""

from __future__ import annotations

import logging
import math
from collections import deque
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from edge_runtime.boxes import Decision, decode_map
from edge_runtime.circumstances import ENGINE_FAILED, Circumstances
from edge_runtime.frozen import FreezeDetector
from edge_runtime.laps import Laps
from edge_runtime.preprocess import resize_frame
from edge_runtime.records import StageTimes
from edge_runtime.sinks.base import Result
from edge_runtime.tracking import FAULT, SEARCHING, Detection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edge_runtime.contract import ModelContract
    from edge_runtime.engineguard import EngineGuard
    from edge_runtime.frames import Frame
    from edge_runtime.laps import Observer
    from edge_runtime.live import Request, RunContext
    from edge_runtime.records import RecordBuilder
    from edge_runtime.stats import Stages
    from edge_runtime.tracking import TrackUpdate
    from edge_runtime.tracking.update import Box
    from edge_runtime.watchdog import Watchdog

log = logging.getLogger(__name__)

MOST_TRANSITIONS = 20
STAGES = ("capture", "wait", "pre", "infer", "post", "record", "age")


class Prepared(NamedTuple):
    """A frame on its way to the network. `image`: resized already, in `took_ns`; None when still to do."""

    frame: Frame
    image: NDArray[np.uint8] | None = None
    took_ns: int = 0


class Follows(Protocol):
    """What `Tracker` and `Untracked` can do; see there."""

    def update(self, t_capture_ns: int, detections: Sequence[Detection]) -> TrackUpdate: ...

    def fault(self, reason: str, now_ns: int) -> TrackUpdate: ...

    def healthy(self, now_ns: int) -> TrackUpdate: ...

    def release(self, now_ns: int) -> TrackUpdate: ...

    def seed(self, box_xyxy: Box, now_ns: int) -> TrackUpdate: ...


class Perception:
    """Sees one frame after the other.

    `state`: of the newest record. `transitions`: the newest changes of state, see `figures.live_figures`.
    """

    def __init__(
        self,
        engine: EngineGuard,
        tracker: Follows,
        builder: RecordBuilder,
        *,
        contract: ModelContract,
        context: RunContext,
        watchdog: Watchdog,
        stages: Stages,
        file_fps: float | None,
        frozen_ms: float | None,
        observer: Observer | None = None,
    ) -> None:
        """`file_fps`: the tracker runs on the file's own time; None where capture times are real.

        `frozen_ms`: identical frames for longer than this are a fault; None does not look.
        `observer`: is told how long each part took.
        """
        self.state = SEARCHING
        self.transitions: deque[dict[str, Any]] = deque(maxlen=MOST_TRANSITIONS)
        self._engine = engine
        self._tracker = tracker
        self._builder = builder
        self._contract = contract
        self._context = context
        self._watchdog = watchdog
        self._stages = stages
        self._laps = Laps("inference", observer)
        self._before = Laps("capture", observer)
        self._file_fps = file_fps
        self._frozen_limit_ms = frozen_ms
        self._freeze = FreezeDetector()
        shape = (contract.input_height, contract.input_width)
        self._no_map: NDArray[np.float32] = np.zeros(shape, np.float32)
        self._no_probs: NDArray[np.float32] = np.full(len(contract.classes), np.nan, np.float32)

    def prepare(self, frame: Frame) -> Prepared:
        """Resize a frame for the network; any thread may, and so spare the inference thread the work."""
        started_ns = self._before.begin(frame.index)
        image = self._resized(frame)
        return Prepared(frame, image, self._before.lap("pre") - started_ns)

    def see(self, prepared: Prepared, flags: tuple[str, ...] = ()) -> Result:
        """The result of one frame, emitted now; `flags` are what happened on the way here.

        Raises:
            Exception: what the engine raised, where it cannot or may not be loaded again.
        """
        contract, stages, laps = self._contract, self._stages, self._laps
        frame, image, before_ns = prepared
        taken_ns = laps.begin(frame.index)
        replayed = frame.circumstances
        flags = flags + self._look_at_camera(frame) if replayed is None else replayed.flags
        if image is None:
            image = self._resized(frame)
        preprocessed_ns = laps.lap("pre") if prepared.image is None else laps.begin(frame.index)
        seen = self._infer(image, replayed)
        inferred_ns = laps.lap("infer")
        bad_map: tuple[str, ...] = ()
        if seen is None:
            score_map, class_probs = self._no_map, self._no_probs
            decision = Decision(False, math.nan, ())
            flags += () if ENGINE_FAILED in flags else (ENGINE_FAILED,)
        else:
            score_map, class_probs = seen
            decision = decode_map(score_map, contract.decision_threshold, contract.presence_threshold)
            if not math.isfinite(decision.presence):
                decision = Decision(False, decision.presence, ())
                bad_map = ("bad_map",)
        detections = [Detection(found.box_xyxy, found.score) for found in decision.candidates]
        laps.lap("boxes")
        t_track_ns = self._time_of(frame)
        update, fault, requests = self._follow(t_track_ns, detections, replayed)
        decoded_ns = laps.lap("track")
        times = StageTimes(taken_ns, preprocessed_ns, inferred_ns, decoded_ns, before_ns)
        record = self._builder.build(
            frame, decision.presence, detections, update, class_probs, times, flags + bad_map
        )
        emitted_ns: int = record["t_emit_mono_ns"]
        laps.lap("record")
        laps.between("wait", frame.t_capture_ns + before_ns, taken_ns)
        laps.between("age", frame.t_capture_ns, emitted_ns)
        stages["wait"].add(taken_ns - frame.t_capture_ns - before_ns)
        stages["pre"].add(preprocessed_ns - taken_ns + before_ns)
        stages["infer"].add(inferred_ns - preprocessed_ns)
        stages["post"].add(decoded_ns - inferred_ns)
        stages["record"].add(emitted_ns - decoded_ns)
        stages["age"].add(emitted_ns - frame.t_capture_ns)
        told = Circumstances(t_track_ns, record["age_ms"], flags, fault, requests)
        return Result(frame, score_map, record, told)

    def close(self) -> None:
        """Release the engine."""
        self._engine.close()

    def _infer(
        self, image: NDArray[np.uint8], replayed: Circumstances | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """Map and class probabilities; None while the engine is down, or was when the frame was recorded."""
        if replayed is not None and ENGINE_FAILED in replayed.flags:
            return None
        seen = self._engine.infer(image)
        if seen is None:
            self._watchdog.fault(f"engine: {self._engine.reason}")
        return seen

    def _resized(self, frame: Frame) -> NDArray[np.uint8]:
        return resize_frame(frame.image_bgr_u8, self._contract.input_height, self._contract.input_width)

    def _look_at_camera(self, frame: Frame) -> tuple[str, ...]:
        if self._frozen_limit_ms is None:
            return ()
        frozen_ms = self._freeze.frozen_ms(frame)
        if frozen_ms > self._frozen_limit_ms:
            self._watchdog.fault(f"the camera is frozen: the same picture for {self._frozen_limit_ms:.0f} ms")
        return ("frozen",) if frozen_ms > 0 else ()

    def _time_of(self, frame: Frame) -> int:
        """When the tracker is to think it was captured: a file is not younger for being read fast."""
        if frame.circumstances is not None:
            return frame.circumstances.t_track_ns
        return frame.t_capture_ns if self._file_fps is None else int(frame.index / self._file_fps * 1e9)

    def _follow(
        self, t_ns: int, detections: list[Detection], replayed: Circumstances | None
    ) -> tuple[TrackUpdate, str | None, tuple[Request, ...]]:
        """What the tracker makes of it; the fault it was told, and the requests it was given before."""
        tracker, health = self._tracker, self._context.health
        requests: tuple[Request, ...] = ()
        if replayed is not None and replayed.fault is not None:
            self._watchdog.fault(replayed.fault)
        fault = self._watchdog.take_fault()
        if fault is not None:
            update = tracker.fault(fault, t_ns)
        else:
            if not health.healthy() and tracker.healthy(t_ns).state != FAULT:
                health.recover()
            requests = tuple(self._context.controls.take()) if replayed is None else replayed.requests
            for request in requests:
                if request.kind == "seed" and request.box_xyxy is not None:
                    tracker.seed(request.box_xyxy, t_ns)
                else:
                    tracker.release(t_ns)
            update = tracker.update(t_ns, detections)
        self._note(update)
        return update, fault, requests

    def _note(self, update: TrackUpdate) -> None:
        """Keep a change of state for the live figures."""
        before, self.state = self.state, update.state
        if update.state == before:
            return
        changed = {"t_mono_ns": monotonic_ns(), "from": before, "to": update.state, "tid": update.tid}
        self.transitions.append({**changed, "reason": update.reason})
        log.debug("%s -> %s (track %s)", before, update.state, update.tid)
