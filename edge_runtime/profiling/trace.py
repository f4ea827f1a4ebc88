"""Spans and counters as a Chrome trace, which ui.perfetto.dev and chrome://tracing open.

spans, counters ──▶ events in order of time ──▶ one JSON event a line, streamed to disk

Format: "Trace Event Format" (Google, 2016), JSON object form: complete events X per thread, async events b/e
where no thread works on the frame, flow events s/f from thread to thread, counters C, metadata M.
"""

from __future__ import annotations

import heapq
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from edge_runtime.profiling.words import is_fan, plain
from edge_runtime.wholefile import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from edge_runtime.profiling.spans import Span

PID = 1  # a thread of the same number would be called the main one
AGE = "age"  # the span whose length is the age of the frame's record
ALONE = "value"  # key of a track with one curve: viewers then show the name of the track only
SINK = "sink "  # how the names of sinks' threads begin
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode  # viewers read no \u escapes


class Counter(NamedTuple):
    """Values of one track at one moment. `time_ns`: monotonic clock, as in `Span`; name with its unit."""

    name: str
    time_ns: int
    values: Mapping[str, float]


class _Event(NamedTuple):
    """An event as it is sorted: at one time, ends come first, then slices, then what points at slices."""

    time_ns: int
    rank: int
    fields: dict[str, Any]


def write_trace(
    path: Path, spans: Iterable[Span], counters: Iterable[Counter], meta: Mapping[str, Any]
) -> None:
    """Write the trace, or nothing.

    Args:
        spans: in any order. `frame` must be of one source: arrows tie the spans of equal numbers. Spans with
            a thread become slices of it; one that begins within another and outlasts it is cut at the other's
            end, as the format allows no crossing ones, and marked "cut". Spans without become async slices.
        counters: in any order, e.g. from `board_counters`; the age of each record is added from the spans.
        meta: what the trace is of, JSON; shown by the viewers as metadata.

    Raises:
        SinkError: it cannot be written.
    """
    ordered = sorted(spans, key=lambda span: (span.start_ns, -span.duration_ns))
    tracks = sorted(counters, key=lambda counter: counter.time_ns)
    starts = [first.start_ns for first in ordered[:1]] + [first.time_ns for first in tracks[:1]]
    origin_ns = min(starts, default=0)
    threads = {name: tid for tid, name in enumerate(_threads(ordered), start=PID + 1)}
    streams = (
        _slices(ordered, threads),
        _arrows(ordered, threads),
        *_async_slices(ordered),
        _ages(ordered),
        (_counter(counter) for counter in tracks),
    )
    with whole_file(path, "trace") as file:
        head = {"displayTimeUnit": "ms", "otherData": dict(meta)}
        file.write(json.dumps(head, allow_nan=False)[:-1] + ', "traceEvents": [\n')
        file.write(",\n".join(_encode(event) for event in _names(threads)))
        for event in heapq.merge(*streams, key=lambda event: (event.time_ns, event.rank)):
            since_ns = event.time_ns - origin_ns
            body = _encode(event.fields)
            file.write(f',\n{{"ts": {_us(since_ns)}, "pid": {PID}, {body[1:]}')
        file.write("\n]}\n")


def board_counters(samples: Iterable[Mapping[str, Any]], begin_ns: int) -> Iterator[Counter]:
    """Tracks of the `board.samples` of a report; `begin_ns`: monotonic clock when measuring began."""
    for sample in samples:
        cpu_mhz = sample["cpu_mhz"]
        clocks = {
            "GPU": sample["gpu_mhz"],
            "EMC": sample["emc_mhz"],
            "CPU (mean)": sum(cpu_mhz) / len(cpu_mhz) if cpu_mhz else None,
        }
        load = sample["gpu_load"]
        resident = sample["rss_bytes"]
        for name, values in (
            ("temperature °C", sample["temps_c"]),
            ("power W", sample["rails_w"]),
            ("clock MHz", clocks),
            ("GPU load %", {ALONE: None if load is None else 100 * load}),
            ("resident memory MB", {ALONE: None if resident is None else resident / 1e6}),
            ("throttling devices at work", {ALONE: sum(not is_fan(name) for name in sample["cooling"])}),
        ):
            known = {plain(key, 60): value for key, value in values.items() if value is not None}
            if known:
                yield Counter(name, begin_ns + round(1e9 * sample["t_s"]), known)


def _us(time_ns: int) -> str:
    """Microseconds as a JSON number, exact to the nanosecond."""
    return f"{time_ns // 1000}.{time_ns % 1000:03d}"


def _threads(spans: list[Span]) -> list[str]:
    """Names of threads, in the order in which they first work on a frame."""
    return list(dict.fromkeys(span.thread for span in spans if span.thread))


def _names(threads: dict[str, int]) -> Iterator[dict[str, Any]]:
    yield _metadata("process_name", 0, {"name": "dips-edge"})
    for name, tid in threads.items():
        yield _metadata("thread_name", tid, {"name": plain(name)})
        yield _metadata("thread_sort_index", tid, {"sort_index": tid})


def _metadata(name: str, tid: int, args: dict[str, Any]) -> dict[str, Any]:
    return {"ph": "M", "name": name, "pid": PID, "tid": tid, "args": args}


def _slices(spans: list[Span], threads: dict[str, int]) -> Iterator[_Event]:
    """Complete events; on each thread one lies within another or beside it."""
    open_until: dict[str, list[int]] = {thread: [] for thread in threads}
    for span in spans:
        if not span.thread:
            continue
        around, end_ns = open_until[span.thread], span.start_ns + span.duration_ns
        while around and around[-1] <= span.start_ns:
            around.pop()
        args: dict[str, Any] = {"frame": span.frame}
        if span.cpu_ns is not None:
            args["cpu_ms"] = round(span.cpu_ns / 1e6, 4)
        if around and end_ns > around[-1]:
            args["cut"] = f"{(end_ns - around[-1]) / 1e6:.4f} ms at its end"
            end_ns = around[-1]
        around.append(end_ns)
        fields = {
            "ph": "X",
            "name": plain(span.stage),
            "cat": "stage",
            "tid": threads[span.thread],
            "dur": (end_ns - span.start_ns) / 1e3,
            "args": args,
        }
        yield _Event(span.start_ns, 1, fields)


def _arrows(spans: list[Span], threads: dict[str, int]) -> Iterator[_Event]:
    """Flow events: from the last slice of a frame on one thread to its first on the next."""
    found: list[_Event] = []
    newest: dict[int, Span] = {}
    for span in spans:
        if not span.thread:
            continue
        before = newest.get(span.frame)
        if before is not None and before.thread != span.thread:
            shared = {"name": "frame", "cat": "frame", "id": len(found) // 2 + 1}
            found.append(_Event(before.start_ns, 2, {"ph": "s", "tid": threads[before.thread], **shared}))
            found.append(
                _Event(span.start_ns, 2, {"ph": "f", "bp": "e", "tid": threads[span.thread], **shared})
            )
        if not span.thread.startswith(SINK):  # all sinks get a record from the thread that made it
            newest[span.frame] = span
    return iter(sorted(found, key=lambda event: event.time_ns))


def _async_slices(spans: list[Span]) -> tuple[Iterator[_Event], Iterator[_Event]]:
    """Begins and ends of what no thread works on: it overlaps from frame to frame."""
    waits = [span for span in spans if not span.thread]

    def fields(span: Span, phase: str) -> dict[str, Any]:
        name = plain(span.stage)
        return {"ph": phase, "name": name, "cat": name, "id2": {"local": hex(span.frame)}, "tid": 0}

    begins = (_Event(w.start_ns, 1, {**fields(w, "b"), "args": {"frame": w.frame}}) for w in waits)
    by_end = sorted(waits, key=lambda span: span.start_ns + span.duration_ns)
    # an empty one ends where it begins: after the beginning
    ends = (_Event(w.start_ns + w.duration_ns, 0 if w.duration_ns else 3, fields(w, "e")) for w in by_end)
    return begins, iter(sorted(ends, key=lambda event: (event.time_ns, event.rank)))


def _ages(spans: list[Span]) -> Iterator[_Event]:
    """Counter of the age of each record, at the moment it was there."""
    ages = [
        Counter("age ms", span.start_ns + span.duration_ns, {ALONE: round(span.duration_ns / 1e6, 4)})
        for span in spans
        if span.stage == AGE
    ]
    return (_counter(age) for age in sorted(ages, key=lambda age: age.time_ns))


def _counter(counter: Counter) -> _Event:
    fields = {"ph": "C", "name": plain(counter.name), "tid": 0, "args": dict(counter.values)}
    return _Event(counter.time_ns, 2, fields)
