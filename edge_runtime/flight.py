"""One whole run: opens model, source and sinks in that order, runs the pipeline, tells how it went.

RunSettings ──fly──▶ records in the sinks, summary on stderr, an error when anything was lost
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_runtime import records, summary
from edge_runtime.backends import open_backend
from edge_runtime.errors import SinkError, UsageError
from edge_runtime.modelfile import DEMO, sha256_of
from edge_runtime.pipeline import Pipeline
from edge_runtime.sinks import open_sink
from edge_runtime.sources import open_source
from edge_runtime.sources.paced import Paced
from edge_runtime.stopping import StopSignals

if TYPE_CHECKING:
    from pathlib import Path

    from edge_runtime.backends.base import Backend
    from edge_runtime.contract import ModelContract
    from edge_runtime.pipeline import Outcome
    from edge_runtime.sinks.base import Sink
    from edge_runtime.sources.base import Source

log = logging.getLogger(__name__)


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


def fly(settings: RunSettings) -> None:
    """Run until the source ends or a signal asks to stop.

    Raises:
        DipsEdgeError: something could not be opened (nothing is written then), the run broke off, or a sink
            failed.
        BrokenPipeError: the reader of the only sink went away.
    """
    if settings.summary_json is not None:
        summary.check_target(settings.summary_json, force=settings.force)
    with contextlib.ExitStack() as opened:
        backend = open_backend(
            _model(settings), settings.device, settings.threads, settings.precision, settings.engine_dir
        )
        opened.callback(backend.close)
        contract = _contract(backend, settings)
        source = _open_source(settings)
        opened.callback(source.close)
        sinks = _open_sinks(settings)
        for sink in sinks:
            opened.callback(sink.close)
        header = _header(backend, contract, source, settings)
        pipeline = Pipeline(
            source,
            backend,
            sinks,
            contract=contract,
            header=header,
            max_age_ms=settings.max_age_ms,
            max_frames=settings.max_frames,
        )
        opened.pop_all()  # from here on the pipeline closes them
    _announce(header)
    with StopSignals() as signals:
        outcome = pipeline.run(stop_wanted=signals)
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


def _open_sinks(settings: RunSettings) -> list[Sink]:
    """All sinks or none: those already open are closed again, which removes what they created."""
    twice = next((uri for uri in settings.sinks if settings.sinks.count(uri) > 1), None)
    if twice is not None:
        raise UsageError(f"sink {twice} is given twice")
    with contextlib.ExitStack() as opened:
        sinks = []
        for uri in settings.sinks:
            sinks.append(open_sink(uri, force=settings.force))
            opened.callback(sinks[-1].close)
        opened.pop_all()
    return sinks


def _header(
    backend: Backend, contract: ModelContract, source: Source, settings: RunSettings
) -> records.Record:
    model = {"name": backend.path.name, "sha256": sha256_of(backend.path), "backend": backend.name}
    return records.header(contract, source, model=model, max_age_ms=settings.max_age_ms)


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
    log.info("%s", summary.as_text(settings.source, outcome))
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
