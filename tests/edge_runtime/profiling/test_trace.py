"""Chrome traces: the rules that the viewers count on."""

from __future__ import annotations

import json
import random
from collections import defaultdict

import pytest

from edge_runtime.errors import SinkError
from edge_runtime.profiling.spans import Span
from edge_runtime.profiling.trace import Counter, board_counters, write_trace
from tests.edge_runtime.profiling.samples import sensors

MS = 1_000_000
BOOT = 8_000_000_000_123_456


def flight(frames):
    """Spans of a pipeline of three threads, each frame 10 ms after the one before."""
    for n in range(frames):
        t = BOOT + 10 * n * MS
        yield Span("capture", "capture", n, t - 2 * MS, 2 * MS, MS)
        yield Span("decode", "", n, t - MS, MS)
        yield Span("pre", "capture", n, t, MS, MS)
        yield Span("wait", "", n, t + MS, 11 * MS)  # longer than from frame to frame: they overlap
        yield Span("infer", "inference", n, t + 12 * MS, 6 * MS, 2 * MS)
        yield Span("h2d", "inference", n, t + 12 * MS, MS)
        yield Span("compute", "inference", n, t + 13 * MS, 4 * MS)
        yield Span("boxes", "inference", n, t + 18 * MS, MS + 1, MS)
        yield Span("age", "", n, t, 19 * MS + 1)
        yield Span("sink web", "sink web", n, t + 20 * MS, MS)
        yield Span("sink jsonl:-", "sink jsonl:-", n, t + 21 * MS, 2 * MS)


def written(tmp_path, spans, counters=(), meta=None):
    path = tmp_path / "trace.json"
    write_trace(path, spans, counters, meta or {})
    assert [each.name for each in tmp_path.iterdir()] == ["trace.json"]
    document = json.loads(path.read_text(encoding="utf-8"))
    return document, document["traceEvents"]


def of(events, phase):
    return [event for event in events if event["ph"] == phase]


def test_every_event_has_what_its_kind_needs_and_time_never_goes_back(tmp_path):
    spans = list(flight(50))
    random.Random(0).shuffle(spans)
    tracks = board_counters(sensors(3)["samples"], BOOT)
    document, events = written(tmp_path, iter(spans), tracks, {"model": "tower.onnx"})
    assert document["displayTimeUnit"] == "ms"
    assert document["otherData"] == {"model": "tower.onnx"}
    need = {
        "M": {"args"},
        "X": {"ts", "dur", "args", "cat"},
        "b": {"ts", "id2", "cat"},
        "e": {"ts", "id2", "cat"},
        "s": {"ts", "id", "cat"},
        "f": {"ts", "id", "cat", "bp"},
        "C": {"ts", "args"},
    }
    assert {event["ph"] for event in events} == set(need)
    for event in events:
        assert {"name", "pid", "tid", *need[event["ph"]]} <= set(event)
    times = [event["ts"] for event in events if event["ph"] != "M"]
    assert times[0] == 0
    assert times == sorted(times)


def test_threads_are_named_in_the_order_in_which_a_frame_passes_them(tmp_path):
    _, events = written(tmp_path, flight(2))
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert names == {2: "capture", 3: "inference", 4: "sink web", 5: "sink jsonl:-"}
    assert {e["tid"] for e in of(events, "X")} == set(names)
    order = {e["tid"]: e["args"]["sort_index"] for e in events if e["name"] == "thread_sort_index"}
    assert order == {tid: tid for tid in names}
    assert 1 not in names, "viewers call the thread of the process's number the main one"


def test_slices_carry_frame_cpu_time_and_exact_nanoseconds(tmp_path):
    _, events = written(tmp_path, flight(2))
    boxes = next(e for e in of(events, "X") if e["name"] == "boxes" and e["args"]["frame"] == 1)
    assert (boxes["ts"], boxes["dur"]) == (30_000.0, 1000.001)
    assert boxes["args"] == {"frame": 1, "cpu_ms": 1.0}


def nest(events):
    """Whether the slices of each thread lie within or beside one another, in nanoseconds."""
    ends = defaultdict(list)
    for event in of(events, "X"):
        start, end = round(1e3 * event["ts"]), round(1e3 * (event["ts"] + event["dur"]))
        around = ends[event["tid"]]
        while around and around[-1] <= start:
            around.pop()
        if around and end > around[-1]:
            return False
        around.append(end)
    return True


def test_slices_of_a_thread_nest(tmp_path):
    _, events = written(tmp_path, flight(20))
    assert nest(events)
    assert not any("cut" in event["args"] for event in of(events, "X"))


def test_a_slice_that_outlasts_the_one_around_it_is_cut_and_says_so(tmp_path):
    spans = [
        Span("infer", "inference", 0, BOOT, 5 * MS),
        Span("compute", "inference", 0, BOOT + MS, 6 * MS),
        Span("d2h", "inference", 0, BOOT + 7 * MS, MS),
    ]
    _, events = written(tmp_path, spans)
    assert nest(events)
    assert [e["args"].get("cut") for e in of(events, "X")] == [None, "2.0000 ms at its end", None]


def test_spans_in_any_order_nest(tmp_path):
    rng = random.Random(1)
    spans = [
        Span(f"s{n}", rng.choice("ab"), n % 7, BOOT + rng.randrange(500), rng.choice([0, 1, 50, 200]))
        for n in range(300)
    ]
    _, events = written(tmp_path, spans)
    assert nest(events)
    assert len(of(events, "X")) == 300


def test_arrows_tie_a_frame_from_thread_to_thread(tmp_path):
    _, events = written(tmp_path, flight(3))
    threads = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    slices = {(e["tid"], e["ts"]): e["args"]["frame"] for e in of(events, "X")}
    ends = {e["id"]: e for e in of(events, "f")}
    ways = defaultdict(set)
    for start in of(events, "s"):
        end = ends.pop(start["id"])
        frame = slices[start["tid"], start["ts"]]
        assert slices[end["tid"], end["ts"]] == frame
        assert start["ts"] <= end["ts"]
        ways[frame].add((threads[start["tid"]], threads[end["tid"]]))
    assert ends == {}
    way = {("capture", "inference"), ("inference", "sink web"), ("inference", "sink jsonl:-")}
    assert ways == {0: way, 1: way, 2: way}


def test_what_no_thread_works_on_becomes_pairs_that_may_overlap(tmp_path):
    _, events = written(tmp_path, [*flight(5), Span("wait", "", 9, BOOT + 900 * MS, 0)])
    open_ones = {}
    for event in events:
        key = (event.get("cat"), event.get("id2", {}).get("local"), event["name"])
        if event["ph"] == "b":
            assert key not in open_ones
            open_ones[key] = event["ts"]
        elif event["ph"] == "e":
            assert open_ones.pop(key) <= event["ts"]
    assert open_ones == {}
    assert {event["name"] for event in of(events, "b")} == {"wait", "decode", "age"}


def test_counters_show_age_and_board(tmp_path):
    samples = sensors(2)["samples"]
    samples[1] = {**samples[1], "gpu_mhz": None, "gpu_load": None, "cpu_mhz": [], "emc_mhz": None}
    _, events = written(tmp_path, flight(2), board_counters(samples, BOOT))
    by_name = defaultdict(list)
    for event in of(events, "C"):
        by_name[event["name"]].append(event["args"])
    assert by_name["age ms"] == [{"value": 19.0}, {"value": 19.0}]
    assert by_name["clock MHz"] == [{"GPU": 1020.0, "EMC": 3199.0, "CPU (mean)": 1728.0}]
    assert set(by_name["temperature °C"][0]) == {"cpu", "gpu"}
    assert len(by_name["power W"]) == 2


def test_no_spans_make_a_trace_that_opens(tmp_path):
    _, events = written(tmp_path, [])
    assert [event["name"] for event in events] == ["process_name"]


def test_counters_alone_begin_at_zero(tmp_path):
    _, events = written(tmp_path, [], [Counter("power W", BOOT, {"VDD_IN": 5.0})])
    assert of(events, "C")[0]["ts"] == 0


def test_a_trace_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(SinkError, match="the trace could not be written"):
        write_trace(tmp_path / "none" / "t.json", flight(1), [], {})

    def breaks():
        yield Counter("power W", BOOT, {"VDD_IN": float("nan")})

    with pytest.raises(ValueError, match="not JSON compliant"):
        write_trace(tmp_path / "t.json", flight(1), breaks(), {})
    assert list(tmp_path.iterdir()) == []


def test_names_stand_as_they_are_because_viewers_read_no_escapes(tmp_path):
    write_trace(tmp_path / "t.json", [], board_counters(sensors(1)["samples"], BOOT), {"lone": "\ud800"})
    assert "temperature °C" in (tmp_path / "t.json").read_text(encoding="utf-8")
