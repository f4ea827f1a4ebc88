"""Two machines' records: what may differ, what may not, and that a difference is found."""

from __future__ import annotations

import pytest

from tests.aarch64.compare_records import compare

RECORD = {
    "seq": 3,
    "frame": {"idx": 3, "w": 640, "h": 480},
    "age_ms": 12.0,
    "state": "TRACKING",
    "valid": True,
    "tid": 1,
    "cls": "tower",
    "score": 0.5,
    "box": [0.1, 0.2, 0.3, 0.4],
    "box_src": "det",
    "flags": [],
    "presence": 0.6,
    "class_probs": [0.1, 0.9],
}
ALLOWED = {"box": 0.001, "score": 0.01}


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        pytest.param({}, [], id="the same"),
        pytest.param({"age_ms": 80.0, "valid": False}, [], id="times"),
        pytest.param({"box": [0.1, 0.2, 0.3, 0.4005], "score": 0.505}, [], id="within"),
        pytest.param({"box": [0.1, 0.2, 0.3, 0.402]}, ["record 3: box differs by 0.002"], id="box"),
        pytest.param({"class_probs": [0.15, 0.85]}, ["record 3: score differs by 0.05"], id="class"),
        pytest.param({"state": "COASTING"}, ["record 3: state 'TRACKING' and 'COASTING'"], id="state"),
        pytest.param({"tid": 2}, ["record 3: tid 1 and 2"], id="track"),
        pytest.param({"score": None}, ["record 3: score 0.5 and None"], id="no score"),
        pytest.param({"box": None}, [f"record 3: box {RECORD['box']} and None"], id="no box"),
    ],
)
def test_records_are_the_same_but_for_times_and_last_digits(changes, wrong):
    assert compare([RECORD], [{**RECORD, **changes}], ALLOWED)[0] == wrong


def test_the_largest_differences_are_told():
    other = {**RECORD, "box": [0.1, 0.2, 0.3, 0.4005], "presence": 0.604}
    worst = compare([RECORD, RECORD], [RECORD, other], ALLOWED)[1]
    assert worst == {"box": pytest.approx(0.0005), "score": pytest.approx(0.004)}


@pytest.mark.parametrize(("a", "b"), [([], []), ([RECORD, RECORD], [RECORD])], ids=["none", "lost"])
def test_as_many_records_are_expected_of_both_and_more_than_none(a, b):
    assert compare(a, b, ALLOWED)[0] == [f"{len(a)} records and {len(b)}"]
