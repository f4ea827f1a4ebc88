"""The record keeps its schema and invariants for whatever the network says."""

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.boxes import Candidate, Decision
from edge_runtime.frames import Frame
from edge_runtime.records import RecordBuilder, StageTimes, encode
from tests.edge_runtime.conftest import CONTRACT, with_contract
from tests.edge_runtime.record_rules import problems, validator

MAX_AGE_MS = 150.0
PROBS = np.array([0.1, 0.9], np.float32)
NOTHING = Decision(False, 0.1, ())


def found(*boxes: tuple[float, float, float, float], score: float = 0.8) -> Decision:
    return Decision(True, 0.9, tuple(Candidate(box, score, 0.1) for box in boxes))


def frame(index: int = 0, age_ms: float = 5.0, name: str | None = None) -> Frame:
    return Frame(np.zeros((90, 160, 3), np.uint8), index, time.monotonic_ns() - int(age_ms * 1e6), name)


def build(decision: Decision, **of_frame: object) -> dict:
    captured = frame(**of_frame)  # type: ignore[arg-type]
    taken = time.monotonic_ns()
    times = StageTimes(taken, taken + 1, taken + 2, taken + 3)
    return RecordBuilder(CONTRACT, max_age_ms=MAX_AGE_MS).build(captured, decision, PROBS, times)


unit = st.floats(0.0, 1.0, allow_nan=False)
corners = st.tuples(st.integers(0, 63), st.integers(0, 63), st.integers(1, 64), st.integers(1, 64)).map(
    lambda c: (min(c[0], c[2] - 1) / 64, min(c[1], c[3] - 1) / 64, c[2] / 64, c[3] / 64)
)
decisions = st.one_of(
    st.builds(lambda p: Decision(False, p, ()), unit | st.just(float("nan"))),
    st.builds(
        lambda p, boxes, s: Decision(True, p, tuple(Candidate(b, s, 0.1) for b in boxes)),
        unit,
        st.lists(corners, min_size=1, max_size=4),
        unit,
    ),
)


@settings(max_examples=100, deadline=None)
@given(decision=decisions, age_ms=st.floats(0.0, 400.0), probs=st.lists(unit, min_size=2, max_size=2))
def test_every_decision_gives_a_record_that_keeps_schema_and_invariants(decision, age_ms, probs):
    captured = frame(age_ms=age_ms)
    taken = time.monotonic_ns()
    times = StageTimes(*(taken + i for i in range(4)))
    builder = RecordBuilder(CONTRACT, max_age_ms=MAX_AGE_MS)
    record = builder.build(captured, decision, np.array(probs, np.float32), times)
    assert problems(json.loads(encode(record)), MAX_AGE_MS) == []


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
    record = builder.build(captured, found((0.1, 0.1, 0.2, 0.2)), probs, times)
    assert record["cls"] == "tower"
    assert record["class_probs"] == [0.8, 0.05, 0.15]


def test_time_since_the_last_detection_runs_on_capture_time():
    builder = RecordBuilder(CONTRACT)
    start = time.monotonic_ns()
    times = StageTimes(start, start, start, start)
    image = np.zeros((8, 8, 3), np.uint8)
    since = [
        builder.build(Frame(image, i, start + i * 40_000_000), decision, PROBS, times)["since_det_ms"]
        for i, decision in enumerate([NOTHING, found((0.1, 0.1, 0.2, 0.2)), NOTHING, NOTHING])
    ]
    assert since == [None, 0.0, 40.0, 80.0]


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
        pytest.param({"v": 2}, id="another version"),
    ],
)
def test_schema_and_rules_refuse_what_breaks_the_contract(broken):
    record = build(found((0.25, 0.25, 0.5, 0.75)))
    assert problems(record, MAX_AGE_MS) == []
    assert problems(record | broken, MAX_AGE_MS) != []


def test_the_schema_requires_every_field_of_the_record_but_the_extra_ones():
    record = build(found((0.25, 0.25, 0.5, 0.75)))
    extra = {"presence", "class_probs", "others"}
    for key in set(record) - extra:
        assert not validator().is_valid({k: v for k, v in record.items() if k != key}), key
    assert validator().is_valid({k: v for k, v in record.items() if k not in extra} | {"unknown": 1})
