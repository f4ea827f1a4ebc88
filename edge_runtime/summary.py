"""The end of a run in words and as JSON: how much, how fast, how old, what was lost."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from edge_runtime.errors import SinkError
from edge_runtime.stats import format_table
from edge_runtime.wholefile import whole_file

if TYPE_CHECKING:
    from pathlib import Path

    from edge_runtime.outcome import Outcome
    from edge_runtime.records import Record


def as_text(source: str, outcome: Outcome) -> str:
    """A line of totals and the table of stages."""
    if not outcome.frames:
        return f"{source}: no frame was processed"
    share = 100 * outcome.detections / outcome.frames
    totals = [
        f"{source}: {outcome.frames} frame(s) in {outcome.seconds:.2f} s = {outcome.fps:.1f} fps",
        f"found in {outcome.detections} ({share:.0f} %), {outcome.valid} valid",
        f"{outcome.dropped} dropped",
    ]
    for count, what in (
        (outcome.faults, "fault(s)"),
        (outcome.reconnects, "reconnect(s)"),
        (outcome.reloads, "reload(s) of the engine"),
    ):
        if count:
            totals.append(f"{count} {what}")
    if outcome.skipped:
        totals.append(f"{outcome.skipped} unreadable")
    lost = [f"{sink['name']} lost {sink['dropped']}" for sink in outcome.sinks if sink["dropped"]]
    return "; ".join(totals + lost) + "\n" + format_table(outcome.stages)


def live_line(stats: dict[str, Any]) -> str:
    """`figures.live_figures` in a line: rate, state, what was lost, recent p50/p95/p99 of each stage."""
    fps = "-" if stats["fps"] is None else f"{stats['fps']:.1f}"
    state = stats["state"] if stats["healthy"] else f"FAULT ({stats['reason']})"
    dropped = ", ".join(f"{name} {count}" for name, count in stats["dropped"].items() if count) or "none"
    stages = []
    for name, both in stats["stages"].items():
        cells = [both["recent"][f"{p}_ms"] for p in ("p50", "p95", "p99")]
        stages.append(name + " " + "/".join("-" if cell is None else f"{cell:.1f}" for cell in cells))
    source, engine = stats["source"], stats["engine"]
    return (
        f"{fps} fps, {state}, {stats['frames']} frames, {stats['valid']} valid; dropped: {dropped}; "
        f"reconnects {source['reconnects']}, reloads {engine['reloads']}, faults {stats['faults']}; "
        f"p50/p95/p99 ms: {', '.join(stages)}"
    )


def as_dict(header: Record, outcome: Outcome) -> dict[str, Any]:
    """The same for machines; `stages` in ms, `wait` is capture to inference, `age` capture to record."""
    return {
        "v": 1,
        "type": "summary",
        **{key: header[key] for key in ("software", "model", "source", "max_age_ms")},
        "frames": outcome.frames,
        "seconds": round(outcome.seconds, 4),
        "fps": None if outcome.fps is None else round(outcome.fps, 3),
        "found": outcome.detections,
        "valid": outcome.valid,
        "dropped": outcome.dropped,
        "unreadable": outcome.skipped,
        "faults": outcome.faults,
        "reconnects": outcome.reconnects,
        "reloads": outcome.reloads,
        "stages": outcome.stages,
        "sinks": outcome.sinks,
        "error": None if outcome.error is None else str(outcome.error),
    }


def check_target(path: Path, *, force: bool) -> None:
    """Say before the run that its summary could not be written after it."""
    if path.exists() and not force:
        raise SinkError(f"{path} exists; choose another name or add --force to overwrite it")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise SinkError(f"{path}: its folder is missing or cannot be written")


def write_json(path: Path, content: dict[str, Any], what: str = "summary") -> None:
    """Write the whole file or none of it; `what` names it in the error."""
    with whole_file(path, what) as file:
        file.write(json.dumps(content, indent=1, allow_nan=False) + "\n")
