"""P(in view) of a frame: the formula, its limits, what a model file says of it, and what it costs."""

from __future__ import annotations

import dataclasses
import json
import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.contract import ModelContract
from edge_runtime.errors import ModelError
from edge_runtime.onnxfile import read_contract
from edge_runtime.presence import PresenceCalibration, object_probability
from edge_runtime.records import RecordBuilder
from tests.edge_runtime.conftest import CONTRACT, with_contract, write_brightness_model

FITTED = PresenceCalibration(-1.0, 2.0, 0.5, positives=60, negatives=40)
unit = st.floats(0.0, 1.0)


def odds(p: float) -> float:
    return math.log(p / (1 - p))


@pytest.mark.parametrize(
    ("presence", "of_class", "expected"),
    [
        pytest.param(0.5, 0.5, 1 / (1 + math.e), id="the bias alone"),
        pytest.param(0.6, 0.9, 1 / (1 + math.exp(1 - 2 * odds(0.6) - 0.5 * odds(0.9))), id="both scores"),
        pytest.param(1.0, 1.0, 61 / 62, id="no surer than 60 photos can make it"),
        pytest.param(0.0, 0.0, 1 / 42, id="nor than 40 without"),
        pytest.param(math.nan, 0.5, None, id="no map"),
        pytest.param(0.5, math.nan, None, id="no classes"),
        pytest.param(math.inf, 0.5, None, id="a map that ran over"),
    ],
)
def test_two_scores_give_the_probability(presence: float, of_class: float, expected: float | None) -> None:
    assert FITTED.probability(presence, of_class) == pytest.approx(expected)


@given(
    calibration=st.builds(
        PresenceCalibration,
        st.floats(-1e6, 1e6),
        st.floats(0, 1e6),
        st.floats(0, 1e6),
        st.integers(1, 10**6),
        st.integers(1, 10**6),
    ),
    presence=unit,
    of_class=unit,
    warmer=unit,
)
def test_it_stays_between_0_and_1_and_never_falls_as_the_map_warms(calibration, presence, of_class, warmer):
    low, high = sorted((presence, warmer))
    before, after = calibration.probability(low, of_class), calibration.probability(high, of_class)
    assert 0 < before <= after < 1


@pytest.mark.parametrize(
    ("probs", "negative", "expected"),
    [
        ([0.25, 0.75], 0, 0.75),
        ([0.25, 0.25, 0.5], 2, 0.5),
        ([0.25, 0.75], None, 1.0),
        ([0.25, 0.7500001], None, 1.0),
        ([1.0, 0.0], 0, 0.0),
        ([0.0, math.nan], 0, math.nan),
    ],
    ids=str,
)
def test_an_object_is_any_class_but_the_negative_one(probs, negative, expected):
    assert object_probability(probs, negative) == pytest.approx(expected, nan_ok=True)


def test_the_coefficients_travel_with_the_model_file(tmp_path):
    contract = with_contract(presence_calibration=FITTED)
    assert read_contract(write_brightness_model(tmp_path / "m.onnx", contract)) == contract


def test_files_from_before_and_after_this_version_are_read():
    raw = json.loads(with_contract(presence_calibration=FITTED).to_json())
    del raw["presence_calibration"]
    assert ModelContract.from_json(json.dumps(raw), "m") == CONTRACT
    raw["presence_calibration"] = {**dataclasses.asdict(FITTED), "of a later version": 1}
    assert ModelContract.from_json(json.dumps(raw), "m").presence_calibration == FITTED


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param([1, 2], "expected an object", id="a list"),
        pytest.param({"bias": None}, "bias = None, expected a finite number", id="null"),
        pytest.param({"bias": True}, "bias = True, expected a finite number", id="a truth value"),
        pytest.param({"bias": 1e999}, "bias = inf, expected a finite number", id="infinite"),
        pytest.param({"map_weight": -0.1}, "map_weight = -0.1, expected at least 0", id="a warmer map: less"),
        pytest.param({"negatives": 0}, "negatives = 0, expected at least 1", id="fitted to nothing"),
        pytest.param({"positives": 1.5}, "positives = 1.5, expected a finite number", id="half a photo"),
        pytest.param("missing", "without class_weight, negatives", id="coefficients missing"),
    ],
)
def test_damaged_coefficients_are_refused_in_one_line(change, message):
    raw = json.loads(CONTRACT.to_json())
    fitted = dataclasses.asdict(FITTED)
    if change == "missing":
        del fitted["class_weight"], fitted["negatives"]
    raw["presence_calibration"] = {**fitted, **change} if isinstance(change, dict) else change
    if change == "missing":
        raw["presence_calibration"] = fitted
    with pytest.raises(ModelError, match=message) as caught:
        ModelContract.from_json(json.dumps(raw), "m.onnx")
    assert str(caught.value).startswith("m.onnx: bad model contract")
    assert "\n" not in str(caught.value)


def test_a_frame_pays_less_than_10_us_for_it():
    builder = RecordBuilder(with_contract(presence_calibration=FITTED))
    probs = np.array([0.1, 0.9], np.float32)
    times = []
    for _ in range(30):
        start = time.perf_counter()
        for _ in range(100):
            builder._p_present(0.7, probs)
        times.append((time.perf_counter() - start) / 100)
    assert min(times) < 10e-6
