"""Two profiles side by side: what is slower is found, what is scatter is not."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

from edge_runtime.errors import ProfileError
from edge_runtime.profiling.compare import compare, typical_ratio
from edge_runtime.profiling.comparetable import as_dict, as_text
from tests.edge_runtime.profiling.samples import profile, stage

A, AGAIN, SLOWER = profile(), profile(seed=1), profile(seed=2, slower=1.15)
ENGINE = {**A, "pipeline": None}


def like(report, **changes):
    """The report with values at dotted places exchanged (`__` for the dot)."""
    report = copy.deepcopy(report)
    for place, value in changes.items():
        *way, last = place.split("__")
        at = report
        for key in way:
            at = at[key]
        at[last] = value
    return report


def row(comparison, mode, name, figure):
    return next(
        each for each in comparison.rows if (each.mode, each.stage, each.figure) == (mode, name, figure)
    )


def test_fifteen_percent_more_is_a_regression_of_both_modes():
    found = compare(A, SLOWER, 0.05)
    assert {(each.mode, each.stage, each.figure) for each in found.regressions} == {
        (mode, total, figure)
        for mode, total in (("pipeline", "age"), ("engine", "total"))
        for figure in ("p50", "p99")
    }
    age = row(found, "pipeline", "age", "p50")
    assert age.ratio == pytest.approx(1.15, abs=0.02)
    assert age.interval[0] < 1.15 < age.interval[1]
    assert row(found, "pipeline", "infer", "p50").verdict == "slower"
    assert not row(found, "pipeline", "infer", "p50").regression, "only the judged stage fails a build"


def test_the_same_again_and_the_faster_one_are_no_regressions():
    assert compare(A, AGAIN, 0.05).regressions == ()
    back = compare(SLOWER, A, 0.05)
    assert back.regressions == ()
    assert row(back, "pipeline", "age", "p50").verdict == "faster"


@pytest.mark.parametrize(("fail_over", "fails"), [(0.0, True), (0.1, True), (0.2, False)])
def test_fail_over_says_how_much_slower_is_allowed(fail_over, fails):
    assert bool(compare(A, SLOWER, fail_over).regressions) is fails


@pytest.mark.parametrize(
    "likeness",
    [
        pytest.param(0.0, id="independent frames"),
        pytest.param(0.9, id="frames like their neighbours", marks=pytest.mark.slow),
    ],
)
def test_scatter_is_rarely_called_a_regression_and_a_slow_down_is_found(likeness):
    rng = np.random.default_rng(7)
    false = found = 0
    trials = 100 if likeness == 0 else 400
    runs = times(rng, 1000, likeness, 2 * trials)
    for a, b in zip(runs[:trials], runs[trials:]):
        false += regresses(a, b)
    for a, b in zip(runs[:50], runs[trials : trials + 50]):
        found += regresses(a, 1.15 * b)
    assert false < 0.05 * trials
    assert found > 0.95 * 50


def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(3)
    inside = 0
    runs = times(rng, 1000, 0.0, 400)
    medians = np.median(runs.reshape(400, 20, 50), axis=2).tolist()
    for a, b in zip(medians[:200], medians[200:]):
        low, high = typical_ratio(a, b)[1]
        inside += low <= 1 <= high
    assert 0.9 <= inside / 200 <= 0.99


def times(rng, frames, likeness, runs):
    """(runs, frames) durations around 10 ms, each like the one before it by so much."""
    noise = rng.normal(0, 0.1, (runs, frames))
    values = noise.copy()
    for i in range(1, frames):
        values[:, i] = likeness * values[:, i - 1] + np.sqrt(1 - likeness**2) * noise[:, i]
    return 10 * np.exp(values)


def regresses(a, b):
    reports = [{**ENGINE, "engine": {**A["engine"], "stages": {"total": stage(values)}}} for values in (a, b)]
    return bool(compare(*reports, 0.05).regressions)


def test_one_burst_does_not_fail_a_build_and_is_pointed_out():
    rng = np.random.default_rng(0)
    calm, burst = times(rng, 2000, 0.0, 2)
    burst[300:360] *= 4
    a, b = (like(A, pipeline=None, engine__stages={"total": stage(each)}) for each in (calm, burst))
    found = compare(a, b, 0.05)
    p99 = row(found, "engine", "total", "p99")
    assert p99.b_ms > 1.5 * p99.a_ms
    assert p99.verdict == "no clear difference"
    assert found.regressions == ()
    assert "no clear difference*" in as_text(found)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"machine__board": "another"}, "board: NVIDIA Jetson Orin Nano Developer Kit in a, another in b"),
        ({"machine__cpu": None}, "CPU: ARMv8 Processor rev 1 in a, none in b"),
        ({"machine__power_mode": "15W"}, "power mode: MAXN_SUPER in a, 15W in b"),
        ({"machine__clocks_fixed": False}, "fixed clocks: yes in a, no in b"),
        ({"model__sha256": "0" * 64}, "model file (sha256): abababababab in a, 000000000000 in b"),
        ({"model__precision": "int8"}, "precision: fp16 in a, int8 in b"),
        ({"model__backend": "onnxruntime"}, "backend: tensorrt-10.3.0 in a, onnxruntime in b"),
        ({"source__size": None}, "source size: 1280x720 in a, none in b"),
        ({"settings__deadline_ms": 33.0}, "deadline in ms: 20.0 in a, 33.0 in b"),
        ({"partial": "interrupted"}, "b is partial: interrupted"),
        ({"pipeline": None}, "pipeline was measured only in a: not compared"),
    ],
)
def test_unlike_conditions_are_warned_of(change, said):
    found = compare(A, like(AGAIN, **change))
    assert said in found.warnings
    assert said in " ".join(as_text(found).split()).replace("WARNING ", "")


def test_software_may_differ_and_is_listed():
    packages = {**A["machine"]["packages"], "onnxruntime": "1.24.0"}
    found = compare(A, like(AGAIN, machine__packages=packages, machine__tensorrt="10.4.0"))
    assert found.warnings == compare(A, AGAIN).warnings
    assert found.differences == (
        "TensorRT: 10.3.0 in a, 10.4.0 in b",
        "onnxruntime: 1.23.2 in a, 1.24.0 in b",
    )


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        pytest.param(A, like(A, pipeline=None, engine=None), "b has no mode", id="an empty one"),
        pytest.param(
            like(A, engine=None),
            like(A, pipeline=None),
            "a has pipeline, b has engine",
            id="no mode in common",
        ),
        pytest.param(A, like(A, engine__total="other"), "engine judges 'total' in a", id="another stage"),
    ],
)
def test_what_has_nothing_in_common_is_refused(a, b, said):
    with pytest.raises(ProfileError, match=said):
        compare(a, b)


@pytest.mark.parametrize("share", [-0.1, float("nan"), float("inf")])
def test_a_fail_over_that_cannot_be_is_refused(share):
    with pytest.raises(ProfileError, match="expected a share of 0 or more"):
        compare(A, A, share)


def test_few_frames_are_not_judged_and_that_is_said():
    found = compare(profile(frames=5), profile(frames=5, slower=2.0))
    assert found.regressions == ()
    assert len(found.unjudged) == 4
    text = as_text(found)
    assert "NOT JUDGED  pipeline: p50 of age: 5 frames cannot tell how much the times scatter" in text
    assert "no regression" not in text


def test_p99_of_runs_of_unlike_length_is_not_judged():
    found = compare(profile(frames=400), profile(frames=2000, seed=1, slower=1.15))
    assert {each.figure for each in found.regressions} == {"p50"}
    assert any("400 and 2000 frames: measure the same number in both" in each for each in found.unjudged)


def test_the_same_reports_give_the_same_comparison_and_it_is_json():
    found = as_dict(compare(A, SLOWER))
    assert found == as_dict(compare(A, SLOWER))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["regression"] is True


def test_the_text_fits_a_terminal_and_shows_no_control_characters():
    b = like(SLOWER, model__backend="\x1b[31m" + "x" * 300, partial="cut\r\x1b]0;title\x07")
    b["pipeline"]["stages"]["sink \x1b[2J" + "y" * 200] = b["pipeline"]["stages"]["pre"]
    text = as_text(compare(A, b), "a.json", "/very/long" * 40)
    assert max(map(len, text.splitlines())) <= 100
    assert all(each.isprintable() for each in text.splitlines())
    assert text.count("REGRESSION  ") >= 4


def test_a_stage_that_only_one_has_is_shown_without_a_ratio():
    b = copy.deepcopy(AGAIN)
    del b["pipeline"]["stages"]["track"]
    found = row(compare(A, b), "pipeline", "track", "p50")
    assert (found.b_ms, found.ratio, found.interval, found.verdict) == (None, None, None, "")
