"""The record keeps its schema and invariants for whatever the network says."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.camera.camfile import parse
from edge_runtime.frames import Frame
from edge_runtime.presence import PresenceCalibration
from edge_runtime.records import RecordBuilder, StageTimes, encode
from edge_runtime.tracking import Detection, Tracker, TrackUpdate
from edge_runtime.untracked import Untracked
from tests.edge_runtime.conftest import CONTRACT, with_contract
from tests.edge_runtime.record_rules import problems, validator

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_AGE_MS = 150.0
PROBS = np.array([0.1, 0.9], np.float32)
NOTHING: list[Detection] = []
BOX = (0.25, 0.25, 0.5, 0.75)
LENS = {"fx": 150.0, "fy": 150.0, "cx": 79.5, "cy": 44.5}
FITTED = PresenceCalibration(-1.0, 2.0, 0.5, positives=60, negatives=40)
CAMERA = parse({"name": "t", "width": 160, "height": 90, "mount": "forward", **LENS}, "test")


def found(*boxes: tuple[float, float, float, float], score: float = 0.8) -> list[Detection]:
    return [Detection(box, score) for box in boxes]


def frame(index: int = 0, age_ms: float = 5.0, name: str | None = None) -> Frame:
    return Frame(np.zeros((90, 160, 3), np.uint8), index, time.monotonic_ns() - int(age_ms * 1e6), name)


def build(detections: Sequence[Detection], update: TrackUpdate | None = None, **of_frame: object) -> dict:
    """The record of a frame; without an update, the one that `--no-track` makes of the detections."""
    captured = frame(**of_frame)  # type: ignore[arg-type]
    taken = time.monotonic_ns()
    times = StageTimes(taken, taken + 1, taken + 2, taken + 3)
    update = update or Untracked().update(captured.t_capture_ns, detections)
    builder = RecordBuilder(CONTRACT, max_age_ms=MAX_AGE_MS)
    return builder.build(captured, 0.9, detections, update, PROBS, times)


unit = st.floats(0.0, 1.0, allow_nan=False)
corners = st.tuples(st.integers(0, 63), st.integers(0, 63), st.integers(1, 64), st.integers(1, 64)).map(
    lambda c: (min(c[0], c[2] - 1) / 64, min(c[1], c[3] - 1) / 64, c[2] / 64, c[3] / 64)
)
detection_lists = st.lists(st.builds(Detection, corners, unit), max_size=4)
seen = st.tuples(detection_lists, st.integers(-5, 900), st.floats(0.0, 400.0))
happenings = st.one_of(
    seen.map(lambda s: ("frame", *s)),
    st.just(("fault", "no frame")),
    st.just(("healthy",)),
    st.just(("release",)),
    corners.map(lambda box: ("seed", box)),
)


@settings(max_examples=100, deadline=None)
@given(
    story=st.lists(happenings, min_size=1, max_size=20),
    presence=unit | st.just(float("nan")),
    probs=st.lists(unit | st.just(float("nan")), min_size=2, max_size=2),
    tracked=st.booleans(),
    calibrated=st.booleans(),
    fitted=st.booleans(),
)
def test_whatever_happens_every_record_keeps_schema_and_invariants(
    story, presence, probs, tracked, calibrated, fitted
):
    """Any order of detections, gaps, stale frames, faults and operator's wishes, by the real tracker."""
    tracker = Tracker() if tracked else Untracked()
    contract = with_contract(presence_calibration=FITTED if fitted else None)
    builder = RecordBuilder(contract, max_age_ms=MAX_AGE_MS, camera=CAMERA if calibrated else None)
    records, t_ns = [], time.monotonic_ns() - 60_000_000_000
    for kind, *what in story:
        if kind == "frame":
            detections, gap_ms, age_ms = what
            t_ns += int(gap_ms * 1e6)
            update = tracker.update(t_ns, detections)
            taken = time.monotonic_ns()
            times = StageTimes(*(taken + i for i in range(4)))
            captured = frame(len(records), age_ms)
            class_probs = np.array(probs, np.float32)
            records.append(builder.build(captured, presence, detections, update, class_probs, times))
        elif kind == "fault":
            tracker.fault(what[0], t_ns)
        elif kind == "seed":
            tracker.seed(what[0], t_ns)
        else:
            getattr(tracker, kind)(t_ns)
    for i, record in enumerate(records):
        assert problems(json.loads(encode(record)), MAX_AGE_MS) == []
        assert record["seq"] == i
        assert calibrated or record["bearing"] is None
        judged = record["presence"] is not None and None not in record["class_probs"]
        assert (record["p_present"] is not None) == (fitted and judged)


@pytest.mark.parametrize(
    ("decision", "age_ms", "expected"),
    [
        pytest.param(NOTHING, 5.0, ("SEARCHING", False, None, None), id="nothing in view"),
        pytest.param(found((0.25, 0.25, 0.5, 0.75)), 5.0, ("TRACKING", True, "square", "det"), id="found"),
        pytest.param(
            found((0.25, 0.25, 0.5, 0.75)), 200.0, ("TRACKING", False, "square", "det"), id="found, too old"
        ),
    ],
)
def test_state_validity_class_and_box_source(decision, age_ms, expected):
    record = build(decision, age_ms=age_ms)
    assert (record["state"], record["valid"], record["cls"], record["box_src"]) == expected


def test_the_largest_region_is_the_box_and_the_others_follow():
    record = build(found((0.25, 0.25, 0.5, 0.75), (0.75, 0.5, 0.875, 0.625)))
    assert record["box"] == [0.25, 0.25, 0.5, 0.75]
    assert record["others"] == [{"box": [0.75, 0.5, 0.875, 0.625], "score": 0.8}]


@pytest.mark.parametrize(
    ("box", "flags"),
    [
        pytest.param((0.1, 0.1, 0.9, 0.9), [], id="inside"),
        pytest.param((0.0, 0.1, 0.9, 0.9), ["truncated"], id="left"),
        pytest.param((0.1, 0.0, 0.9, 0.9), ["truncated"], id="top"),
        pytest.param((0.1, 0.1, 1.0, 0.9), ["truncated"], id="right"),
        pytest.param((0.1, 0.1, 0.9, 1.0), ["truncated"], id="bottom"),
    ],
)
def test_a_box_at_the_border_is_flagged_truncated(box, flags):
    assert build(found(box))["flags"] == flags


def test_the_class_named_is_never_the_negative_one():
    builder = RecordBuilder(with_contract(classes=("background", "mast", "tower")))
    captured = frame()
    taken = time.monotonic_ns()
    probs = np.array([0.8, 0.05, 0.15], np.float32)
    times = StageTimes(taken, taken, taken, taken)
    detections = found((0.1, 0.1, 0.2, 0.2))
    update = Untracked().update(captured.t_capture_ns, detections)
    record = builder.build(captured, 0.9, detections, update, probs, times)
    assert record["cls"] == "tower"
    assert record["class_probs"] == [0.8, 0.05, 0.15]


def test_the_probability_is_told_and_decides_nothing():
    """Of all that is in a record, a calibration changes one field."""
    captured, taken = frame(), time.monotonic_ns()
    times = StageTimes(*(taken + i for i in range(4)))
    update = Untracked().update(captured.t_capture_ns, found(BOX))
    without, with_it = (
        RecordBuilder(with_contract(presence_calibration=fitted)).build(
            captured, 0.9, found(BOX), update, PROBS, times
        )
        for fitted in (None, FITTED)
    )
    clocks = ("t_emit_mono_ns", "t_cap_utc_ns", "age_ms", "lat_ms")
    changed = {key for key in with_it if with_it[key] != without[key] and key not in clocks}
    assert changed == {"p_present"}
    assert (without["p_present"], with_it["p_present"]) == (None, round(61 / 62, 4))


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        pytest.param(
            TrackUpdate("TRACKING", 7, BOX, "det", 0.8, 0.0, 0),
            ("TRACKING", True, 7, "square", 0.8, list(BOX), "det"),
            id="detected",
        ),
        pytest.param(
            TrackUpdate("TRACKING", 7, BOX, "pred", None, 80.0),
            ("TRACKING", False, 7, "square", None, list(BOX), "pred"),
            id="tracking without a detection in this frame",
        ),
        pytest.param(
            TrackUpdate("COASTING", 7, BOX, "pred", None, 240.0),
            ("COASTING", False, 7, "square", None, list(BOX), "pred"),
            id="coasting",
        ),
        pytest.param(
            TrackUpdate("LOST", since_det_ms=600.0), ("LOST", False, None, None, None, None, None), id="lost"
        ),
        pytest.param(
            TrackUpdate("FAULT", reason="no frame"),
            ("FAULT", False, None, None, None, None, None),
            id="fault",
        ),
    ],
)
def test_each_state_of_the_track_and_what_it_may_say(update, expected):
    builder = RecordBuilder(CONTRACT, max_age_ms=MAX_AGE_MS)
    taken = time.monotonic_ns()
    times = StageTimes(taken, taken, taken, taken)
    first = Untracked().update(taken, found(BOX))
    builder.build(frame(), 0.9, found(BOX), first, PROBS, times)  # the class is that of a detection before
    record = builder.build(frame(1), 0.9, found(BOX), update, PROBS, times)
    keys = ("state", "valid", "tid", "cls", "score", "box", "box_src")
    assert tuple(record[key] for key in keys) == expected
    assert record["since_det_ms"] == update.since_det_ms
    assert len(record["others"]) == (0 if update.accepted == 0 else 1)  # nothing seen is kept back
    assert problems(record, MAX_AGE_MS) == []


def test_the_box_is_the_tracks_and_truncated_is_what_the_detection_was():
    update = TrackUpdate("TRACKING", 1, (0.01, 0.2, 0.3, 0.4), "det", 0.8, 0.0, 1)
    record = build(found(BOX, (0.0, 0.2, 0.3, 0.4)), update)
    assert record["box"] == [0.01, 0.2, 0.3, 0.4]
    assert record["others"] == [{"box": list(BOX), "score": 0.8}]
    assert record["flags"] == ["truncated"]


def test_a_camera_gives_bearings_and_a_frame_of_another_shape_none():
    builder = RecordBuilder(CONTRACT, camera=CAMERA)
    taken = time.monotonic_ns()
    times = StageTimes(taken, taken, taken, taken)
    centre = found((0.4, 0.4, 0.6, 0.6))
    update = Untracked().update(taken, centre)
    record = builder.build(frame(), 0.9, centre, update, PROBS, times)
    assert (record["bearing"]["az"], record["bearing"]["el"]) == pytest.approx((0.0, 0.0), abs=1e-6)
    assert record["los"] == pytest.approx([1.0, 0.0, 0.0], abs=1e-6)
    assert record["cam"] == CAMERA.cam_record()
    tall = Frame(np.zeros((300, 160, 3), np.uint8), 1, taken)
    record = builder.build(tall, 0.9, centre, update, PROBS, times)
    assert (record["bearing"], record["flags"]) == (None, ["calib_mismatch"])
    assert problems(record, MAX_AGE_MS) == []


def test_a_capture_time_ahead_of_the_clock_never_makes_a_negative_age():
    record = build(found(BOX), age_ms=-20.0)
    assert record["age_ms"] == 0.0
    assert record["lat_ms"]["cap"] == 0.0
    assert problems(record, MAX_AGE_MS) == []


def test_a_frame_from_a_file_of_its_own_carries_the_name():
    assert build(NOTHING, name="a.jpg")["frame"] == {"idx": 0, "w": 160, "h": 90, "name": "a.jpg"}
    assert "name" not in build(NOTHING)["frame"]


def test_a_record_is_one_short_line_of_json():
    line = encode(build(found((0.25, 0.25, 0.5, 0.75))))
    assert line.count(b"\n") == 1
    assert line.endswith(b"}\n")
    assert len(line) < 900


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param({"valid": True, "state": "SEARCHING", "box": None, "box_src": None}, id="valid, no box"),
        pytest.param({"box": None}, id="tracking without a box"),
        pytest.param({"state": "LOST"}, id="a box while lost"),
        pytest.param({"score": None}, id="a detection without a score"),
        pytest.param({"box_src": "pred"}, id="a score for a prediction"),
        pytest.param({"box": [0.1, 0.1, 1.2, 0.5]}, id="a corner outside"),
        pytest.param({"box": [0.5, 0.1, 0.2, 0.5]}, id="corners swapped"),
        pytest.param({"valid": True, "age_ms": 151.0}, id="valid but old"),
        pytest.param({"bearing": {}}, id="a bearing without calibration"),
        pytest.param({"t_emit_mono_ns": 0}, id="emitted before captured"),
        pytest.param({"seq": -1}, id="a negative number"),
        pytest.param({"p_present": 1.2}, id="more than certain"),
        pytest.param({"p_present": 0.5, "presence": None}, id="a probability without a map"),
        pytest.param({"v": 2}, id="another version"),
    ],
)
def test_schema_and_rules_refuse_what_breaks_the_contract(broken):
    record = build(found((0.25, 0.25, 0.5, 0.75)))
    assert problems(record, MAX_AGE_MS) == []
    assert problems({**record, **broken}, MAX_AGE_MS) != []


def test_the_schema_requires_every_field_of_the_record_but_the_extra_ones():
    record = build(found((0.25, 0.25, 0.5, 0.75)))
    extra = {"presence", "p_present", "class_probs", "others", "range_src", "range_std_m"}
    for key in set(record) - extra:
        assert not validator().is_valid({k: v for k, v in record.items() if k != key}), key
    required = {k: v for k, v in record.items() if k not in extra}
    assert validator().is_valid({**required, "unknown": 1})
