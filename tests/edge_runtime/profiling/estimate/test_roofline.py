"""Predicted times against the published ones, and how they answer to boards and precisions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge_runtime.errors import ProfileError
from edge_runtime.profiling.estimate.boards import BOARDS, find_board
from edge_runtime.profiling.estimate.layers import Layer, Network
from edge_runtime.profiling.estimate.roofline import CHECKED, FITTED, PRECISIONS, predict
from tests.edge_runtime.profiling.estimate.published import GFLOPS, MPARAMS, cases, network
from tests.edge_runtime.profiling.estimate.refit import NAMES, errors, left_out, refit

NANO = find_board("orin nano super")
BIG = Layer("big", "Conv", 10**10, 10**6, 10**6, 10**6)
WIDE = Layer("wide", "Resize", 0, 0, 10**7, 4 * 10**7)
TINY = Layer("tiny", "Conv", 10**5, 100, 1000, 1000)


def one(*layers: Layer) -> Network:
    return Network(layers, peak_values=0)


@pytest.mark.parametrize("case", cases(), ids=lambda c: f"{c.board.key} {c.network} {c.precision}")
def test_every_published_latency_lies_in_a_band_no_wider_than_two_and_a_half(case):
    prediction = predict(network(case.network), case.board, case.precision)
    assert prediction.basis == "this board"
    assert prediction.low_ms <= case.ms <= prediction.high_ms
    assert prediction.high_ms / prediction.low_ms <= 2.5


def test_all_published_cases_are_there():
    assert len(cases()) == 3 * 5 * 2 + 3


@pytest.mark.parametrize("name", GFLOPS)
def test_the_recorded_layers_add_up_to_what_is_published_of_a_network(name):
    assert network(name).flops / 1e9 == pytest.approx(GFLOPS[name], abs=0.4)
    assert network(name).flops / 1e9 == pytest.approx(GFLOPS[name], rel=0.01)
    assert network(name).weights / 1e6 == pytest.approx(MPARAMS[name], rel=0.03)


@pytest.mark.parametrize(
    ("name", "precision", "low", "high"),
    [
        ("yolo11n", "fp16", 0.06, 0.09),
        ("yolo11s", "fp16", 0.14, 0.19),
        ("yolo11m", "fp16", 0.24, 0.31),
        ("yolo11x", "fp16", 0.33, 0.36),
        ("yolo11n", "int8", 0.03, 0.05),
        ("yolo11s", "int8", 0.08, 0.13),
        ("yolo11m", "int8", 0.16, 0.22),
        ("yolo11x", "int8", 0.23, 0.29),
    ],
)
def test_networks_reach_the_share_of_peak_that_measurements_show(name, precision, low, high):
    """Published latencies over dense peaks: one band for the three boards, and 15 % for the model."""
    shares = []
    for board in (find_board(name) for name in ("orin nano super", "orin nx 16gb", "agx orin 64gb")):
        seconds = predict(network(name), board, precision).expected_ms / 1e3
        shares.append(network(name).flops / seconds / board.peak(precision))
    assert low / 1.15 <= min(shares)
    assert max(shares) <= high * 1.15


@pytest.mark.slow
def test_the_constants_are_those_the_published_latencies_give():
    again = refit(cases())
    for name in NAMES:
        assert getattr(FITTED, name) == pytest.approx(getattr(again, name), rel=0.01), name
    assert np.sqrt(np.mean(errors(FITTED, cases()) ** 2)) < 0.08


@pytest.mark.slow
def test_a_board_left_out_of_the_fit_is_still_within_the_band():
    for ratios in left_out(cases()).values():
        assert ratios.min() >= 1 / CHECKED
        assert ratios.max() <= CHECKED


@pytest.mark.parametrize(
    ("layer", "bound"), [(BIG, "compute"), (WIDE, "bandwidth"), (TINY, "launch")], ids=["big", "wide", "tiny"]
)
def test_a_layer_is_bound_by_what_takes_longest(layer, bound):
    prediction = predict(one(layer), NANO, "fp16")
    assert prediction.layers[0].bound == bound
    shares = prediction.shares()
    assert max(shares, key=shares.get) == bound
    assert sum(shares.values()) == pytest.approx(1)


def test_the_time_of_a_layer_is_the_roofline_plus_a_launch():
    compute_ms = 1e3 * 10**10 / (16.7e12 * FITTED.fp16)
    bandwidth_ms = 1e3 * 2 * 5 * 10**7 / (102e9 * FITTED.bandwidth)
    launch_ms = FITTED.launch_cycles / 1020e3
    prediction = predict(one(BIG, WIDE), NANO, "fp16")
    assert prediction.expected_ms == pytest.approx(compute_ms + bandwidth_ms + 2 * launch_ms)


@pytest.mark.parametrize("board", [b for b in BOARDS if b.chip != "Thor"], ids=lambda board: board.key)
def test_lower_precision_is_never_slower_and_ranges_are_as_wide_as_their_ground(board):
    found = [predict(network("yolo11s"), board, precision) for precision in PRECISIONS]
    assert found[0].expected_ms > found[1].expected_ms > found[2].expected_ms
    for prediction in found:
        wide = prediction.high_ms / prediction.low_ms
        assert {"this board": wide <= 2.5, "other Orin": wide <= 2.5, "nothing": wide == pytest.approx(4)}[
            prediction.basis
        ]


def test_a_faster_clock_and_more_bandwidth_help():
    slow = predict(network("yolo11n"), find_board("orin nano 8gb"), "fp16")
    assert slow.expected_ms > predict(network("yolo11n"), NANO, "fp16").expected_ms
    starved = dataclasses.replace(NANO, bandwidth_gbs=51)
    assert (
        predict(one(WIDE), starved, "fp16").expected_ms > 1.8 * predict(one(WIDE), NANO, "fp16").expected_ms
    )


def test_int8_of_an_int8_file_is_only_what_is_int8_in_it():
    quantized = dataclasses.replace(BIG, quantized=True)
    as_int8 = [predict(one(*layers), NANO, "int8") for layers in ((BIG, BIG), (quantized, BIG))]
    assert [time.precision for time in as_int8[0].layers] == ["int8", "int8"]
    assert [time.precision for time in as_int8[1].layers] == ["int8", "fp16"]
    assert as_int8[0].expected_ms < as_int8[1].expected_ms


def test_layers_without_weights_stay_fp16_under_int8():
    attention = Layer("attention", "MatMul", 10**8, 0, 10**5, 10**5)
    prediction = predict(one(BIG, WIDE, attention), NANO, "int8")
    assert [time.precision for time in prediction.layers] == ["int8", "fp16", "fp16"]


def test_a_peak_nobody_gives_is_no_estimate():
    assert predict(one(BIG), find_board("thor"), "int8") is None
    assert predict(one(BIG), find_board("thor"), "fp16") is not None


def test_an_unknown_precision_or_an_empty_network_is_refused():
    with pytest.raises(ProfileError, match="'fp8', expected one of fp32, fp16, int8"):
        predict(one(BIG), NANO, "fp8")
    with pytest.raises(ProfileError, match="no layer"):
        predict(one(), NANO, "fp16")
