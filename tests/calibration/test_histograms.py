"""Histograms of what a network computes: exact counts whatever the order and size of the values."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.histograms import BINS, GrowingHistogram, collect
from calibration.placement import plan
from edge_runtime.errors import ModelError
from tests.calibration.encoders import SIDE, frames
from tests.calibration.graphs import conv, graph, node, session, weight

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([RNG.normal(0, 1, 1000)], id="one array"),
        pytest.param([RNG.normal(0, s, 1000) for s in (1e-3, 5, 0.1, 300)], id="the range grows twice"),
        pytest.param([np.zeros(10), RNG.normal(0, 2, 500), np.zeros(10)], id="zeros first"),
        pytest.param([RNG.normal(0, 1, (2, 3, 40, 50))], id="more than one chunk, four axes"),
        pytest.param([-RNG.random(100) - 5], id="all negative"),
        pytest.param([np.full(9, 4.0)], id="a power of two: the bin above the edge"),
    ],
)
def test_counts_are_those_of_all_values_together(parts: list[np.ndarray]) -> None:
    growing = GrowingHistogram()
    for part in parts:
        growing.add(part.astype(np.float32))
    found = growing.frozen()
    values = np.concatenate([part.astype(np.float32).reshape(-1) for part in parts])
    expected, _ = np.histogram(np.abs(values), BINS, (0, BINS * found.width))
    assert np.array_equal(found.counts, expected)
    assert (found.low, found.high) == (values.min(), values.max())
    assert found.amax == np.abs(values).max()
    assert found.total == values.size
    assert found.counts[BINS // 2 :].any(), "half of the bins would do"


def test_a_tensor_of_zeros_is_all_in_the_first_bin() -> None:
    growing = GrowingHistogram()
    growing.add(np.zeros((2, 3), np.float32))
    found = growing.frozen()
    assert (found.counts[0], found.total, found.amax) == (6, 6, 0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(FloatingPointError, match=str(value)):
        GrowingHistogram().add(np.array([1, value], np.float32))


def test_a_network_is_seen_as_it_computes(edge) -> None:
    seen, calls = frames(3), []
    tensors = plan(edge).tensors
    found = collect(edge, tensors, seen, threads=1, progress=lambda *at: calls.append(at))
    assert tuple(found) == tensors
    assert calls == [(1, 3), (2, 3), (3, 3)]
    watched = tensors[5]
    edge_seen = type(edge).FromString(edge.SerializeToString())
    edge_seen.graph.output.add().name = watched
    values = np.stack([session(edge_seen).run([watched], {"image": frame})[0] for frame in seen])
    assert found[watched].total == values.size
    assert found[watched].amax == pytest.approx(np.abs(values).max(), rel=1e-5)
    mean = (found[watched].counts * (np.arange(BINS) + 0.5)).sum() * found[watched].width / values.size
    assert mean == pytest.approx(np.abs(values).mean(), abs=found[watched].width)


def test_the_rest_of_a_batch_is_filled_up_but_not_counted() -> None:
    model = graph([node("Cast", "image", "y", to=1)], {}, outputs=["y"])
    port = model.graph.input[0]
    port.name, port.type.tensor_type.elem_type = "image", 2  # uint8
    for dimension, size in zip(port.type.tensor_type.shape.dim, (4, 2, 2, 3), strict=True):
        dimension.dim_value = size
    seen = [np.full((1, 2, 2, 3), i, np.uint8) for i in range(6)]
    found = collect(model, ["y"], iter(seen))["y"]
    assert found.total == 6 * 12
    assert (found.low, found.high) == (0, 5)
    steps = [int(found.counts[int(value / found.width)]) for value in range(6)]
    assert steps == [12] * 6


@pytest.mark.parametrize(
    ("tensors", "seen", "message"),
    [
        pytest.param(["nowhere"], frames(1), "does not compute 'nowhere'", id="another graph's tensor"),
        pytest.param([], frames(1), "does not compute any of the tensors", id="no tensor"),
        pytest.param(["prob"], [], "at least one frame, got none", id="no frame"),
        pytest.param(
            ["prob"], frames(1, 64), r"shape \(1, 64, 64, 3\) uint8, expected \(1, 96, 96, 3\)", id="size"
        ),
        pytest.param(["prob"], [np.zeros((1, SIDE, SIDE, 3))], "float64, expected", id="type"),
    ],
)
def test_what_cannot_be_observed_is_refused(edge, tensors: list[str], seen: list, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        collect(edge, tensors, seen)


def test_a_network_that_overflows_is_named_with_tensor_and_frame() -> None:
    model = graph(
        [node("Cast", "image", "f", to=1), node("Transpose", "f", "x", perm=[0, 3, 1, 2]), conv("x", "a"),
         node("Mul", "a big", "b"), node("Mul", "b big", "y")],
        {"w": weight(3, 3), "big": np.array(3e38, np.float32)}, outputs=["y"], shape=(1, 8, 8, 3),
    )  # fmt: skip
    model.graph.input[0].name = "image"
    model.graph.input[0].type.tensor_type.elem_type = 2  # uint8
    with pytest.raises(ModelError, match=r"tensor 'y' takes the value -?(inf|nan) on frame 0"):
        collect(model, ["y"], [np.full((1, 8, 8, 3), 200, np.uint8)])
