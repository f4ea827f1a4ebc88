"""One profile from settings to report: engine alone, layers, the whole pipeline, the board meanwhile.

ProfileSettings ──measure──▶ Profile: report (a dict of its schema), spans for a trace
"""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from edge_runtime import __version__, records
from edge_runtime.backends import open_backend
from edge_runtime.board.sampler import BoardSampler, energy
from edge_runtime.errors import ProfileError
from edge_runtime.live import RunContext
from edge_runtime.modelfile import sha256_of
from edge_runtime.pipeline import Pipeline
from edge_runtime.profiling.engine_alone import PARTS, measure_engine, measure_layers
from edge_runtime.profiling.machine import machine_facts
from edge_runtime.profiling.meter import Meter
from edge_runtime.profiling.settings import FPS
from edge_runtime.sinks import open_sink
from edge_runtime.sources import open_source
from edge_runtime.sources.looped import Looped
from edge_runtime.sources.paced import Paced
from edge_runtime.sources.synthetic import Synthetic
from edge_runtime.tracking import Tracker, TrackSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge_runtime.backends.base import Backend
    from edge_runtime.outcome import Outcome
    from edge_runtime.profiling.settings import ProfileSettings
    from edge_runtime.profiling.spans import Span
    from edge_runtime.sinks import Sink
    from edge_runtime.sources.base import Source

log = logging.getLogger(__name__)

ORDER = ("capture", "decode", "wait", "pre", "infer", "boxes", "track", "record", "age")
ENGINE_S = 10.0  # of the engine alone, where time is given and not a count
INTERRUPTED = "interrupted"


@dataclass
class Profile:
    """What a session has to tell.

    `spans`: the newest of the pipeline, only where a trace is wanted. `begin_ns`: when the board's sensors
    were first read, monotonic; 0 when never.
    """

    report: dict[str, Any]
    spans: Sequence[Span] = field(default=())
    begin_ns: int = 0

    @property
    def partial(self) -> str | None:
        """Why not all was measured."""
        why: str | None = self.report["partial"]
        return why


def measure(settings: ProfileSettings, stop_wanted: Callable[[], bool] = lambda: False) -> Profile:
    """Measure what the settings ask for; what was measured before something went wrong is kept.

    Args:
        stop_wanted: asked between frames; true ends measuring, and the profile is partial.

    Raises:
        DipsEdgeError: model, source or a sink cannot be opened, or nothing at all was measured.
    """
    started = datetime.now(timezone.utc)
    session = _Session(settings, stop_wanted)
    with contextlib.closing(session):
        session.run()
        report = session.report(started.strftime("%Y-%m-%dT%H:%M:%SZ"))
    if report["engine"] is None and report["pipeline"] is None:
        raise ProfileError(session.partial or "nothing was measured")
    return Profile(report, session.spans, session.board_begin_ns)


class _Session:
    def __init__(self, settings: ProfileSettings, stop_wanted: Callable[[], bool]) -> None:
        self._settings, self._stop_wanted = settings, stop_wanted
        self._reopen = functools.partial(
            open_backend,
            settings.model,
            settings.device,
            settings.threads,
            settings.precision,
            settings.engine_dir,
            settings.dla,
        )
        self.partial: str | None = None
        self.spans: Sequence[Span] = ()
        self.board_begin_ns = 0
        self._sampler = BoardSampler()
        self._closing = contextlib.ExitStack()
        self._engine: dict[str, Any] | None = None
        self._layers: dict[str, Any] | None = None
        self._pipeline: dict[str, Any] | None = None
        with self._closing:
            self._backend = self._reopen()
            self._closing.callback(self._backend.close)
            self._model = _model_facts(self._backend)
            self._machine = machine_facts(self._backend)
            self._sinks: list[Sink] = []
            self._source: Source | None = None
            if settings.mode != "engine":
                self._source = _open_source(settings)
                self._closing.callback(self._source.close)
                self._sinks = [self._opened(uri) for uri in settings.sinks]
            self._closing = self._closing.pop_all()

    def _opened(self, uri: str) -> Sink:
        sink = open_sink(uri, context=RunContext())
        self._closing.callback(sink.close)
        return sink

    def close(self) -> None:
        self._sampler.stop()
        self._closing.close()

    def run(self) -> None:
        settings = self._settings
        if settings.mode != "pipeline":
            self._measure_engine()
            if settings.layers and not self._stop_wanted():
                self._layers = measure_layers(self._backend)
        if settings.mode != "engine" and not self._stop_wanted():
            self._measure_pipeline()
        self._sampler.stop()  # of the engine alone
        if self._stop_wanted():
            self.partial = self.partial or INTERRUPTED

    def report(self, t_utc: str) -> dict[str, Any]:
        settings, source = self._settings, self._source
        by_time = settings.seconds is not None
        board, measured = self._sampler.result(), self._pipeline or self._engine
        return {
            "v": 1,
            "type": "profile",
            "software": {"name": "dips-edge", "version": __version__},
            "t_utc": t_utc,
            "partial": self.partial,
            "machine": self._machine,
            "model": self._model,
            "source": {
                "name": "none" if source is None else source.name,
                "live": source is not None and source.live,
                "fps": None if source is None else source.fps,
                "size": None if source is None or source.size is None else list(source.size),
            },
            "settings": {
                "warmup": settings.warmup,
                "count": None if by_time else settings.count,
                "duration_s": settings.duration_s,
                "soak_s": settings.soak_s,
                "deadline_ms": settings.deadline_ms,
            },
            "engine": self._engine,
            "pipeline": self._pipeline,
            "layers": self._layers,
            "board": board,
            "energy": energy(board, measured["frames"], measured["seconds"]) if measured else None,
        }

    def _measure_engine(self) -> None:
        settings = self._settings
        seconds = settings.seconds
        count = settings.count if seconds is None else None
        meter = Meter("total", warmup=settings.warmup, deadline_ms=settings.deadline_ms)
        if settings.mode == "engine":
            self._watch_board()
        measure_engine(
            self._backend,
            meter,
            count=count,
            seconds=None if seconds is None else min(seconds, ENGINE_S),
            stop_wanted=self._stop_wanted,
        )
        if not meter.frames:
            self.partial = f"{INTERRUPTED} while the engine warmed up"
            return
        if count is not None and meter.frames < count:
            self.partial = f"{INTERRUPTED} after {meter.frames} of {count} runs of the engine"
        self._engine = meter.report(("total", *PARTS), dict.fromkeys(PARTS, "total"))

    def _measure_pipeline(self) -> None:
        settings, source = self._settings, self._source
        assert source is not None
        meter = Meter(
            "age",
            warmup=settings.warmup,
            deadline_ms=settings.deadline_ms,
            keep_spans=settings.keep_spans,
        )
        outcome = self._fly(source, meter)
        meter.finish()
        self.partial = self.partial or self._shortfall(meter, outcome)
        if not meter.frames:
            return
        self.spans = meter.spans
        self._pipeline = {
            **meter.report(ORDER, {"decode": "capture"}),
            "found": outcome.detections,
            "valid": outcome.valid,
            "dropped": outcome.dropped,
            "cpu": meter.process_cpu(),
        }

    def _fly(self, source: Source, meter: Meter) -> Outcome:
        settings, backend = self._settings, self._backend
        follows = settings.track and (source.live or source.fps is not None)
        header = records.header(backend.contract, source, model=self._model_of_header())
        pipeline = Pipeline(
            source,
            backend,
            self._sinks,
            contract=backend.contract,
            header=header,
            max_frames=settings.warmup + settings.count if settings.seconds is None else None,
            tracker=Tracker(TrackSettings()) if follows else None,
            reopen=self._reopen,
            observer=meter,
            frozen_ms=0.0 if isinstance(source, Paced) else None,  # a file may well stand still
        )
        self._closing.pop_all()  # from here on the pipeline closes them
        return pipeline.run(stop_wanted=lambda: self._poll(meter))

    def _poll(self, meter: Meter) -> bool:
        """Asked by the main thread some 20 times a second: is it time to stop?"""
        if meter.begin_ns is not None and not self.board_begin_ns:
            self._watch_board()
        return self._stop_wanted() or self._is_over(meter)

    def _watch_board(self) -> None:
        self.board_begin_ns = time.monotonic_ns()
        self._sampler.start()

    def _is_over(self, meter: Meter) -> bool:
        seconds = self._settings.seconds
        if seconds is None or meter.begin_ns is None:
            return False
        return time.monotonic_ns() - meter.begin_ns >= seconds * 1e9

    def _shortfall(self, meter: Meter, outcome: Outcome) -> str | None:
        """What was asked for and not done, in words."""
        settings, name = self._settings, self._source.name if self._source else ""
        why = INTERRUPTED if self._stop_wanted() else f"{name} ended"
        if outcome.error is not None:
            why = str(outcome.error)
        if not meter.frames:
            done = settings.warmup - meter.warmed_up
            return f"{why} after {done} frame(s), within the warm-up of {settings.warmup}; lower --warmup"
        if settings.seconds is None:
            short = meter.frames < settings.count
            return f"{why} after {meter.frames} of {settings.count} frames" if short else None
        if self._is_over(meter):
            return None
        assert meter.begin_ns is not None
        lasted_s = (meter.end_ns - meter.begin_ns) / 1e9
        return f"{why} after {lasted_s:.1f} of {settings.seconds:g} s"

    def _model_of_header(self) -> records.Record:
        return {key: self._model[key] for key in ("name", "sha256", "backend")}


def _open_source(settings: ProfileSettings) -> Source:
    """Files begin again at their end and are played like a camera; photos where a rate is given."""
    uri = settings.source
    if uri is None:
        endless: Synthetic | Looped = Synthetic(settings.size, settings.fps or FPS)
    else:
        source = open_source(uri)
        if source.live:
            return source
        source.close()
        endless = Looped(lambda: open_source(uri))
        endless.fps = settings.fps or endless.fps
    return endless if settings.flat_out or endless.fps is None else Paced(endless)


def _model_facts(backend: Backend) -> dict[str, Any]:
    contract = backend.contract
    return {
        "name": backend.path.name,
        "sha256": sha256_of(backend.path),
        "engine_sha256": getattr(backend, "engine_sha256", None),
        "precision": contract.precision,
        "backend": backend.name,
        "input": [contract.input_height, contract.input_width],
        "run_id": contract.run_id,
        "threads": getattr(backend, "threads", None),
    }
