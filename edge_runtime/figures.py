"""What a run is doing at this moment, as one JSON-able dict: for the log, the web page, any sink.

threads' counters and stages ──live_figures──▶ dict ──▶ `summary.live_line`, `RunContext.stats()`
"""

from __future__ import annotations

from time import monotonic_ns
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_runtime.engineguard import EngineGuard
    from edge_runtime.live import Health
    from edge_runtime.perception import Perception
    from edge_runtime.sinks.worker import SinkWorker
    from edge_runtime.sources.base import Source
    from edge_runtime.stats import Stages


def live_figures(
    *,
    source: Source,
    health: Health,
    engine: EngineGuard,
    perception: Perception,
    workers: Sequence[SinkWorker],
    stages: Stages,
    counted: dict[str, int],
    fps: float | None,
    started_ns: int,
    dropped: int,
) -> dict[str, Any]:
    """Any thread may ask; some milliseconds of work.

    Keys: `t_mono_ns`; `uptime_s`; `frames`, `found`, `valid` records so far; `fps` over ten seconds or
    null; `state` of the newest record; `healthy`, `reason` (null when healthy), `faults`;
    `source` {`name`, `live`, `connected`, `reconnects`, `unreadable`}; `engine` {`failures`, `reloads`};
    `dropped` {`frames`: between capture and inference, and each sink's name: results it was too slow
    for}; `stages` {name: {`recent`, `total`}}, both {`count`, `mean_ms`, `p50_ms`, `p95_ms`, `p99_ms`,
    `max_ms`}, numbers null without any; recent is the newest 10 to 20 s; names are capture, wait (capture
    to inference), pre, infer, post (boxes and track), record, age (capture to record), and each sink's
    name; `sinks` [{`name`, `written`, `dropped`, `failure`: null or why it was given up}];
    `transitions` [{`t_mono_ns`, `from`, `to`, `tid`, `reason`}], oldest first, the newest 20.
    """
    now_ns = monotonic_ns()
    sinks = [worker.summary() for worker in workers]
    return {
        "t_mono_ns": now_ns,
        "uptime_s": round((now_ns - started_ns) / 1e9, 3) if started_ns else 0.0,
        **counted,
        "fps": None if fps is None else round(fps, 2),
        "state": perception.state,
        "healthy": health.healthy(),
        "reason": health.reason,
        "faults": health.faults,
        "source": {
            "name": source.name,
            "live": source.live,
            "connected": source.connected,
            "reconnects": source.reconnects,
            "unreadable": source.skipped,
        },
        "engine": {"failures": engine.failures, "reloads": engine.reloads},
        "dropped": {"frames": dropped, **{sink["name"]: sink["dropped"] for sink in sinks}},
        "stages": {**stages.live(), **{worker.name: worker.write_times.live() for worker in workers}},
        "sinks": sinks,
        "transitions": list(perception.transitions),
    }
