"""The running system: one thread per job, bounded hand-overs between them, a clean end whatever happens.

capture ──mailbox──▶ inference (resize, network, boxes, record) ──mailbox──▶ one thread per sink

A live source keeps only its newest frame and a slow sink loses its oldest result; every loss is counted.
A file loses nothing: capture and inference wait. Capture decodes a frame only when there is room for it,
so the age of a file's frame is its own and not that of a queue.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from dataclasses import dataclass
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from edge_runtime.boxes import Decision, decode_map
from edge_runtime.errors import DipsEdgeError
from edge_runtime.mailbox import Mailbox
from edge_runtime.preprocess import resize_frame
from edge_runtime.records import MAX_AGE_MS, RecordBuilder, StageTimes
from edge_runtime.sinks.base import Result
from edge_runtime.sinks.worker import SinkWorker
from edge_runtime.stats import Stages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge_runtime.backends.base import Backend
    from edge_runtime.contract import ModelContract
    from edge_runtime.frames import Frame
    from edge_runtime.records import Record
    from edge_runtime.sinks.base import Sink
    from edge_runtime.sources.base import Source

log = logging.getLogger(__name__)

DRAIN_S = 1.0  # after a stop, how long results under way may take to reach their sinks
CLOSE_S = 5.0  # after that, how long the sinks may take to end their files
_POLL_S = 0.05


@dataclass(frozen=True)
class Outcome:
    """What a finished run has to tell.

    `error`: what ended it early. `stuck`: threads that would not end; their process must be left hard.
    `sinks`: `SinkWorker.summary` of each. `stages`: `Stages.summary`, durations in ms.
    """

    frames: int
    seconds: float
    detections: int
    valid: int
    dropped: int
    skipped: int
    stages: dict[str, dict[str, Any]]
    sinks: list[dict[str, Any]]
    reader_gone: bool
    error: DipsEdgeError | None
    stuck: tuple[str, ...]

    @property
    def fps(self) -> float | None:
        """Frames per second from the start of capture to the last record."""
        return self.frames / self.seconds if self.frames else None


class Pipeline:
    """One run from a source through a backend to sinks; used once. Closes all three."""

    def __init__(
        self,
        source: Source,
        backend: Backend,
        sinks: Sequence[Sink],
        *,
        contract: ModelContract,
        header: Record,
        max_age_ms: float = MAX_AGE_MS,
        max_frames: int | None = None,
    ) -> None:
        """`contract`: the backend's, with the thresholds in force; `header`: `records.header` of the run."""
        self._source = source
        self._backend = backend
        self._contract = contract
        self._builder = RecordBuilder(contract, max_age_ms=max_age_ms)
        self._max_frames = math.inf if max_frames is None else max_frames
        self._frames: Mailbox[Frame] = Mailbox(1, lossless=not source.live)
        self._workers = [SinkWorker(sink, header, lossless=not source.live) for sink in sinks]
        self._stages = Stages("capture", "wait", "pre", "infer", "post", "record", "age")
        self._stopping = threading.Event()
        self._error: DipsEdgeError | None = None
        self._started_ns = self._ended_ns = 0
        self._processed = self._detections = self._valid = self._dropped_by_sinks = 0
        self._threads = [
            threading.Thread(target=self._guard, args=(self._capture,), name="capture", daemon=True),
            threading.Thread(target=self._guard, args=(self._infer,), name="inference", daemon=True),
            *(worker.thread for worker in self._workers),
        ]

    def run(self, stop_wanted: Callable[[], bool] = lambda: False) -> Outcome:
        """Run until the source ends, `max_frames` are done, something breaks, or `stop_wanted()` is true.

        Never raises for what goes wrong in a thread: that is `Outcome.error` and each sink's `failure`.
        """
        self._started_ns = self._ended_ns = monotonic_ns()
        for thread in self._threads:
            thread.start()
        deadline_s = math.inf
        while any(thread.is_alive() for thread in self._threads):
            next(thread for thread in self._threads if thread.is_alive()).join(_POLL_S)
            if deadline_s == math.inf and (self._stopping.is_set() or stop_wanted()):
                self._stop()
                deadline_s = time.monotonic() + DRAIN_S
            late_s = time.monotonic() - deadline_s
            if late_s > 0 and self._give_up(late_s):
                break
        return self._outcome()

    def _stop(self) -> None:
        """No new frames: capture ends after the one it decodes, the rest of the chain when it is empty."""
        self._stopping.set()
        self._frames.close()

    def _give_up(self, late_s: float) -> bool:
        """After the drain time: sinks only end their files now. True when nothing is left to wait for."""
        for worker in self._workers:
            worker.finish(discard=True)
        return late_s > CLOSE_S or not any(worker.thread.is_alive() for worker in self._workers)

    def _guard(self, job: Callable[[], None]) -> None:
        """Run a thread's job; its first error ends the whole run with one line."""
        try:
            job()
        except Exception as error:  # a thread must not die in silence: kept, and told by the main thread
            name = threading.current_thread().name
            log.debug("%s ended by an error", name, exc_info=error)
            if self._error is None:
                self._error = error if isinstance(error, DipsEdgeError) else _unexpected(name, error)
            self._stopping.set()

    def _capture(self) -> None:
        try:
            frames = iter(self._source)
            while self._frames.wait_for_room() and not self._stopping.is_set():
                started_ns = monotonic_ns()
                frame = next(frames, None)
                if frame is None:
                    break
                self._stages["capture"].add(monotonic_ns() - started_ns)
                self._frames.put(frame)
        finally:
            self._frames.close()
            self._source.close()

    def _infer(self) -> None:
        try:
            expected = 0
            for frame in self._frames:
                self._process(frame, lost=frame.index - expected)
                expected = frame.index + 1
                if self._processed >= self._max_frames or all(worker.failure for worker in self._workers):
                    break
        finally:
            self._frames.close()
            for worker in self._workers:
                worker.finish()
            self._backend.close()

    def _process(self, frame: Frame, lost: int) -> None:
        contract, stages = self._contract, self._stages
        taken_ns = monotonic_ns()
        image = resize_frame(frame.image_bgr_u8, contract.input_height, contract.input_width)
        preprocessed_ns = monotonic_ns()
        maps, class_probs = self._backend.infer(image[None])
        inferred_ns = monotonic_ns()
        decision = decode_map(maps[0], contract.decision_threshold, contract.presence_threshold)
        if not math.isfinite(decision.presence):
            decision = Decision(False, decision.presence, ())
        decoded_ns = monotonic_ns()
        times = StageTimes(taken_ns, preprocessed_ns, inferred_ns, decoded_ns)
        record = self._builder.build(frame, decision, class_probs[0], times, self._flags(decision, lost))
        result = Result(frame, maps[0], record)
        for worker in self._workers:
            worker.put(result)
        emitted_ns: int = record["t_emit_mono_ns"]
        stages["wait"].add(taken_ns - frame.t_capture_ns)
        stages["pre"].add(preprocessed_ns - taken_ns)
        stages["infer"].add(inferred_ns - preprocessed_ns)
        stages["post"].add(decoded_ns - inferred_ns)
        stages["record"].add(emitted_ns - decoded_ns)
        stages["age"].add(emitted_ns - frame.t_capture_ns)
        self._ended_ns = emitted_ns
        self._processed += 1
        self._detections += record["box_src"] == "det"
        self._valid += record["valid"]

    def _flags(self, decision: Decision, lost: int) -> tuple[str, ...]:
        dropped_by_sinks = sum(worker.dropped for worker in self._workers)
        found = {
            "dropped": lost > 0,
            "sink_dropped": dropped_by_sinks > self._dropped_by_sinks,
            "bad_map": not math.isfinite(decision.presence),
        }
        self._dropped_by_sinks = dropped_by_sinks
        return tuple(flag for flag, is_set in found.items() if is_set)

    def _outcome(self) -> Outcome:
        stages = self._stages.summary()
        for worker in self._workers:
            stages[worker.name] = worker.write_times.summary()
        return Outcome(
            frames=self._processed,
            seconds=(self._ended_ns - self._started_ns) / 1e9,
            detections=self._detections,
            valid=self._valid,
            dropped=self._frames.dropped,
            skipped=self._source.skipped,
            stages=stages,
            sinks=[worker.summary() for worker in self._workers],
            reader_gone=any(worker.reader_gone for worker in self._workers),
            error=self._error,
            stuck=tuple(thread.name for thread in self._threads if thread.is_alive()),
        )


def _unexpected(thread_name: str, error: Exception) -> DipsEdgeError:
    reason = str(error).splitlines()[0] if str(error) else "no reason given"
    return DipsEdgeError(f"{thread_name} broke off: {type(error).__name__}: {reason} (-v shows where)")
