"""The running system: one thread per job, bounded hand-overs between them, a clean end whatever happens.

capture ──mailbox──▶ inference (`Perception`) ──mailbox──▶ one thread per sink
             └──────── watchdog ────────┘

A live source keeps only its newest frame and a slow sink loses its oldest result; every loss is counted.
A file loses nothing: capture and inference wait. Capture decodes (and resizes, to spare the inference thread)
a frame only when there is room for it, so the age of a file's frame is its own and not that of a queue.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from edge_runtime.engineguard import EngineGuard
from edge_runtime.errors import DipsEdgeError
from edge_runtime.figures import live_figures
from edge_runtime.laps import Laps
from edge_runtime.live import RunContext
from edge_runtime.mailbox import Mailbox
from edge_runtime.outcome import Outcome
from edge_runtime.perception import STAGES, Perception, Prepared
from edge_runtime.records import MAX_AGE_MS, RecordBuilder
from edge_runtime.sinks.worker import SinkWorker
from edge_runtime.stats import Stages
from edge_runtime.summary import live_line
from edge_runtime.systemd import Notifier
from edge_runtime.untracked import Untracked
from edge_runtime.vitals import Vitals
from edge_runtime.watchdog import Watchdog, stall_ms_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge_runtime.backends.base import Backend
    from edge_runtime.camera.model import CameraModel
    from edge_runtime.contract import ModelContract
    from edge_runtime.laps import Observer
    from edge_runtime.perception import Follows
    from edge_runtime.records import Record
    from edge_runtime.sinks.base import Result, Sink
    from edge_runtime.sources.base import Source

log = logging.getLogger(__name__)

DRAIN_S = 1.0  # after a stop, how long results under way may take to reach their sinks
CLOSE_S = 30.0  # after that, how long the sinks may take to end their files
UNBLOCK_S = 0.3  # after a stop, how long a source may still wait for its frame
_POLL_S = 0.05


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
        tracker: Follows | None = None,
        camera: CameraModel | None = None,
        context: RunContext | None = None,
        reopen: Callable[[], Backend] | None = None,
        stall_ms: float | None = None,
        frozen_ms: float | None = None,
        stats_every_s: float | None = None,
        notifier: Notifier | None = None,
        observer: Observer | None = None,
    ) -> None:
        """`contract`: the backend's, with the thresholds in force; `header`: `records.header` of the run.

        Args:
            tracker: None judges every frame by itself.
            camera: gives bearings.
            context: what the sinks were opened with.
            reopen: opens the same model again when the engine broke; None ends the run then.
            stall_ms: live, longest time without a frame or result; None is `stall_ms_for` of the source.
            frozen_ms: live, longest time with the very same picture; None is `stall_ms`, 0 does not look.
            stats_every_s: a log line that often.
            notifier: of the service manager.
            observer: is told how long each stage of each frame took.
        """
        live = source.live
        self._source = source
        self._context = context or RunContext()
        self._context.stats = self.live_stats
        self._max_frames = math.inf if max_frames is None else max_frames
        self._frames: Mailbox[Prepared] = Mailbox(1, lossless=not live)
        self._workers = [SinkWorker(sink, header, lossless=not live, observer=observer) for sink in sinks]
        self._stages = Stages(*STAGES)
        self._laps = Laps("capture", observer)
        self._engine = EngineGuard(backend, reopen, endless=live)
        self._vitals = Vitals(
            frames=lambda: self._processed,
            stages=[*self._stages, *(worker.write_times for worker in self._workers)],
            line=lambda: live_line(self.live_stats()),
            every_s=stats_every_s,
            notifier=notifier or Notifier(),
        )
        stall_ms = stall_ms or stall_ms_for(source.fps)
        self._watchdog = Watchdog(
            self._context.health,
            stall_ms=stall_ms if live else None,
            every_poll=self._vitals.poll,
            engine_down_s=self._engine.down_s,
        )
        self._perception = Perception(
            self._engine,
            tracker or Untracked(),
            RecordBuilder(contract, max_age_ms=max_age_ms, camera=camera),
            contract=contract,
            context=self._context,
            watchdog=self._watchdog,
            stages=self._stages,
            file_fps=None if live else source.fps,
            frozen_ms=(stall_ms if frozen_ms is None else frozen_ms or None) if live else None,
            observer=observer,
        )
        self._stopping = threading.Event()
        self._error: DipsEdgeError | None = None
        self._started_ns = self._ended_ns = 0
        self._processed = self._detections = self._valid = 0
        self._dropped_by_sinks = self._reconnects = 0
        self._threads = [
            threading.Thread(target=self._guard, args=(self._capture,), name="capture", daemon=True),
            threading.Thread(target=self._guard, args=(self._infer,), name="inference", daemon=True),
            *(worker.thread for worker in self._workers),
        ]
        self._watching = threading.Thread(
            target=self._guard, args=(self._watchdog.watch,), name="watchdog", daemon=True
        )

    def run(self, stop_wanted: Callable[[], bool] = lambda: False) -> Outcome:
        """Run until the source ends, `max_frames` are done, something breaks, or `stop_wanted()` is true.

        Never raises for what goes wrong in a thread: that is `Outcome.error` and each sink's `failure`.
        """
        self._started_ns = self._ended_ns = monotonic_ns()
        self._vitals.start(self._started_ns)
        for thread in (*self._threads, self._watching):
            thread.start()
        deadline_s = math.inf
        while any(thread.is_alive() for thread in self._threads):
            next(thread for thread in self._threads if thread.is_alive()).join(_POLL_S)
            if deadline_s == math.inf and (self._stopping.is_set() or stop_wanted()):
                self._stop()
                deadline_s = time.monotonic() + DRAIN_S
            late_s = time.monotonic() - deadline_s
            if late_s > UNBLOCK_S - DRAIN_S and self._source.live and self._threads[0].is_alive():
                self._source.close()
            if late_s > 0 and self._give_up(late_s):
                break
        self._watchdog.end()
        self._watching.join(_POLL_S * 10)
        self._vitals.end()
        return self._outcome()

    def live_stats(self) -> dict[str, Any]:
        """Figures of this moment, as `figures.live_figures` describes them; for any thread."""
        return live_figures(
            source=self._source,
            health=self._context.health,
            engine=self._engine,
            perception=self._perception,
            workers=self._workers,
            stages=self._stages,
            counted={"frames": self._processed, "found": self._detections, "valid": self._valid},
            fps=self._vitals.fps(),
            started_ns=self._started_ns,
            dropped=self._lost_before_inference(),
        )

    def _stop(self) -> None:
        """No new frames: capture ends after the one it decodes, the rest of the chain when it is empty."""
        self._vitals.end()
        self._watchdog.no_more_frames()
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
                started_ns = self._laps.begin()
                frame = next(frames, None)
                if frame is None:
                    break
                now_ns = self._laps.lap("capture", frame.index)
                self._stages["capture"].add(now_ns - started_ns)
                if frame.decode_ns is not None:
                    self._laps.between("decode", now_ns - frame.decode_ns, now_ns)
                self._watchdog.frame(now_ns)
                self._frames.put(Prepared(frame) if self._source.live else self._perception.prepare(frame))
        finally:
            self._watchdog.no_more_frames()
            self._frames.close()
            self._source.close()

    def _infer(self) -> None:
        try:
            expected = 0
            for prepared in self._frames:
                self._watchdog.began(monotonic_ns())
                index = prepared.frame.index
                result = self._perception.see(prepared, self._flags(lost=index - expected))
                self._watchdog.done(monotonic_ns())
                expected = index + 1
                self._hand_over(result)
                if self._processed >= self._max_frames or all(worker.failure for worker in self._workers):
                    break
        finally:
            self._frames.close()
            for worker in self._workers:
                worker.finish()
            self._perception.close()

    def _hand_over(self, result: Result) -> None:
        for worker in self._workers:
            worker.put(result)
        record = result.record
        self._ended_ns = record["t_emit_mono_ns"]
        self._processed += 1
        self._detections += record["box_src"] == "det"
        self._valid += record["valid"]

    def _flags(self, lost: int) -> tuple[str, ...]:
        """What happened between the record before and this one."""
        dropped_by_sinks = sum(worker.dropped for worker in self._workers)
        reconnects = self._source.reconnects
        found = {
            "dropped": lost > 0,
            "sink_dropped": dropped_by_sinks > self._dropped_by_sinks,
            "reconnected": reconnects > self._reconnects,
        }
        self._dropped_by_sinks, self._reconnects = dropped_by_sinks, reconnects
        return tuple(flag for flag, is_set in found.items() if is_set)

    def _lost_before_inference(self) -> int:
        """Frames that gave way to newer ones, in our mailbox or in that of a source with its own thread."""
        in_source: int = getattr(self._source, "dropped", 0)
        return self._frames.dropped + in_source

    def _outcome(self) -> Outcome:
        stages = self._stages.summary()
        for worker in self._workers:
            stages[worker.name] = worker.write_times.total.summary()
        return Outcome(
            frames=self._processed,
            seconds=(self._ended_ns - self._started_ns) / 1e9,
            detections=self._detections,
            valid=self._valid,
            dropped=self._lost_before_inference(),
            skipped=self._source.skipped,
            stages=stages,
            sinks=[worker.summary() for worker in self._workers],
            reader_gone=any(worker.reader_gone for worker in self._workers),
            error=self._error,
            stuck=tuple(thread.name for thread in self._threads if thread.is_alive()),
            faults=self._context.health.faults,
            reconnects=self._reconnects,
            reloads=self._engine.reloads,
        )


def _unexpected(thread_name: str, error: Exception) -> DipsEdgeError:
    reason = str(error).splitlines()[0] if str(error) else "no reason given"
    return DipsEdgeError(f"{thread_name} broke off: {type(error).__name__}: {reason} (-v shows where)")
