"""One whole run: opens model, source and sinks in that order, runs the pipeline, tells how it went.

RunSettings ──fly──▶ records in the sinks, summary on stderr, an error when anything was lost
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_runtime import records, summary
from edge_runtime.backends import open_backend
from edge_runtime.errors import SinkError, UsageError
from edge_runtime.flags import track_settings, with_flags
from edge_runtime.live import RunContext
from edge_runtime.modelfile import DEMO, sha256_of
from edge_runtime.pipeline import Pipeline
from edge_runtime.recording.check import ReplayCheck
from edge_runtime.recording.format import RECORDS
from edge_runtime.sinks import open_sink
from edge_runtime.sources import open_source
from edge_runtime.sources.paced import Paced
from edge_runtime.sources.replay import Replay
from edge_runtime.stopping import StopSignals
from edge_runtime.systemd import Notifier
from edge_runtime.tracking import Tracker

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edge_runtime.backends.base import Backend
    from edge_runtime.camera.model import CameraModel
    from edge_runtime.contract import ModelContract
    from edge_runtime.outcome import Outcome
    from edge_runtime.sinks.base import Sink
    from edge_runtime.sources.base import Source

log = logging.getLogger(__name__)

STATS_EVERY_S = 60.0


@dataclass(frozen=True)
class RunSettings:
    """The flags of one run, as the command line or `--config` gave them; None is the default of its flag."""

    source: str
    model: str | None = None
    precision: str | None = None
    sinks: tuple[str, ...] = ("jsonl:-",)
    device: str = "auto"
    threads: int | None = None
    max_frames: int | None = None
    threshold: float | None = None
    presence: float | None = None
    max_age_ms: float = records.MAX_AGE_MS
    realtime: bool = False
    summary_json: Path | None = None
    force: bool = False
    engine_dir: Path | None = None
    dla: int | None = None
    track: tuple[str, ...] = ()
    no_track: bool = False
    camera: Path | None = None
    landing_target: str | None = None
    web_token: str | None = None
    stall_ms: float | None = None
    frozen_ms: float | None = None
    stats_every: float | None = None
    record: Path | None = None
    record_codec: str = "huffyuv"


def fly(settings: RunSettings) -> None:
    """Run until the source ends or a signal asks to stop.

    Raises:
        DipsEdgeError: something could not be opened (nothing is written then), the run broke off, or a sink
            failed.
        BrokenPipeError: the reader of the only sink went away.
    """
    if settings.summary_json is not None:
        summary.check_target(settings.summary_json, force=settings.force)
    tracking = track_settings(settings.track)
    camera = _camera(settings)
    context = RunContext()
    uris = with_flags(settings.sinks, landing_target=settings.landing_target, web_token=settings.web_token)
    reopen = functools.partial(
        open_backend,
        _model(settings),
        settings.device,
        settings.threads,
        settings.precision,
        settings.engine_dir,
        settings.dla,
    )
    with contextlib.ExitStack() as opened:
        backend = reopen()
        opened.callback(backend.close)
        contract = _contract(backend, settings)
        source = _open_source(settings)
        opened.callback(source.close)
        if camera is not None and source.size is not None:
            camera.check_frame(source.size)
        tracker = Tracker(tracking) if _follows(source, settings) else None
        sinks = _open_sinks((*_recording(settings), *uris), settings.force, context)
        if isinstance(source, Replay):
            sinks.append(ReplayCheck(source.folder))
        for sink in sinks:
            opened.callback(sink.close)
            if camera is None and getattr(sink, "needs_camera", False):
                raise UsageError(
                    f"{sink.name}: angles need a camera file; measure one with `dips-edge calibrate-camera` "
                    "and pass --camera cam.toml"
                )
        header = records.header(
            contract,
            source,
            model={"name": backend.path.name, "sha256": sha256_of(backend.path), "backend": backend.name},
            max_age_ms=settings.max_age_ms,
            camera=camera,
            tracking=None if tracker is None else dataclasses.asdict(tracking),
        )
        pipeline = Pipeline(
            source,
            backend,
            sinks,
            contract=contract,
            header=header,
            max_age_ms=settings.max_age_ms,
            max_frames=settings.max_frames,
            tracker=tracker,
            camera=camera,
            context=context,
            reopen=reopen,
            stall_ms=settings.stall_ms,
            frozen_ms=settings.frozen_ms,
            stats_every_s=_stats_every_s(source, settings),
            notifier=Notifier.from_environment(os.environ),
        )
        opened.pop_all()  # from here on the pipeline closes them
    _announce(header)
    with StopSignals() as signals:
        outcome = pipeline.run(stop_wanted=signals)
    for sink in sinks:
        if isinstance(sink, ReplayCheck):
            log.info("%s", sink.conclusion())
    _conclude(settings, header, outcome)


def _model(settings: RunSettings) -> str:
    if settings.model is not None:
        return settings.model
    if settings.source != DEMO:
        raise UsageError("--model is missing: a .onnx made by `dips-edge export RUN`, or demo")
    return DEMO


def _contract(backend: Backend, settings: RunSettings) -> ModelContract:
    """The model's contract with the thresholds the user asked for."""
    own = backend.contract
    return dataclasses.replace(
        own,
        decision_threshold=own.decision_threshold if settings.threshold is None else settings.threshold,
        presence_threshold=own.presence_threshold if settings.presence is None else settings.presence,
    )


def _open_source(settings: RunSettings) -> Source:
    source = open_source(settings.source)
    if settings.realtime and not source.live:
        return Paced(source)
    return source


def _camera(settings: RunSettings) -> CameraModel | None:
    if settings.camera is None:
        return None
    from edge_runtime.camera.camfile import load_camera

    return load_camera(settings.camera)


def _recording(settings: RunSettings) -> tuple[str, ...]:
    """Sinks of `--record`: the frames, and records of their own so that none is lost to a slow disk."""
    if settings.record is None:
        return ()
    return (f"record:{settings.record}?codec={settings.record_codec}", f"jsonl:{settings.record / RECORDS}")


def _follows(source: Source, settings: RunSettings) -> bool:
    """Frames of a video or camera follow one another, photos do not."""
    return not settings.no_track and (source.live or source.fps is not None)


def _stats_every_s(source: Source, settings: RunSettings) -> float | None:
    """What was asked for, 0 is never; a minute for cameras, never for files."""
    if settings.stats_every is not None:
        return settings.stats_every or None
    return STATS_EVERY_S if source.live else None


def _open_sinks(uris: Sequence[str], force: bool, context: RunContext) -> list[Sink]:
    """All sinks or none: those already open are closed again, which removes what they created."""
    with contextlib.ExitStack() as opened:
        sinks = []
        for uri in uris:
            sinks.append(open_sink(uri, force=force, context=context))
            opened.callback(sinks[-1].close)
        opened.pop_all()
    return sinks


def _announce(header: records.Record) -> None:
    model, source = header["model"], header["source"]
    size = "" if source["size"] is None else " {} x {}".format(*source["size"])
    rate = "" if source["fps"] is None else f" at {source['fps']:.4g} fps"
    height, width = model["input"]
    what = f"{model['name']} ({model['precision']}, input {width} x {height}) by {model['backend']}"
    log.info("%s on %s%s%s", what, source["name"], size, rate)


def _conclude(settings: RunSettings, header: records.Record, outcome: Outcome) -> None:
    """Say how it went; raise when it went wrong."""
    failed = [sink for sink in outcome.sinks if sink["failure"]]
    if outcome.reader_gone and len(failed) == len(outcome.sinks) and outcome.error is None:
        raise BrokenPipeError
    log.info("%s", summary.as_text(header["source"]["name"], outcome))
    if settings.summary_json is not None:
        summary.write_json(settings.summary_json, summary.as_dict(header, outcome))
    if outcome.stuck:
        _leave_hard(outcome)
    if outcome.error is not None:
        raise outcome.error
    if failed:
        names = ", ".join(sink["name"] for sink in failed)
        raise SinkError(f"{len(failed)} of {len(outcome.sinks)} sink(s) failed: {names}")


def _leave_hard(outcome: Outcome) -> None:
    """A thread inside a driver or a blocked write cannot be ended, and would hang or crash a normal exit."""
    what = str(outcome.error) if outcome.error is not None else f"{', '.join(outcome.stuck)} did not end"
    print(f"error: {what}", file=sys.stderr, flush=True)
    os._exit(1)
