"""Ranges from histograms: closed forms, brute force on the values themselves, and degenerate tensors."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from calibration.histograms import BINS, GrowingHistogram, Histogram
from calibration.ranges import METHODS, TensorRange, amax, tensor_range
from edge_runtime.errors import UsageError

RNG = np.random.default_rng(1)
GAUSS = RNG.normal(0, 1, 400_000).astype(np.float32)
RELU = np.maximum(GAUSS, 0)
TAILED = np.concatenate([GAUSS, [60.0]]).astype(np.float32)


def histogram(*parts: np.ndarray) -> Histogram:
    growing = GrowingHistogram()
    for part in parts:
        growing.add(np.asarray(part, np.float32))
    return growing.frozen()


@pytest.mark.parametrize("method", [*METHODS, "percentile-99.99"])
@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        pytest.param(np.zeros(100), 0, 0, id="all zero"),
        pytest.param(np.full(100, 3.0), 3, 3, id="one value"),
        pytest.param(np.full(100, -3.0), 3, 3, id="one negative value"),
        pytest.param([0.0] * 50 + [2.0] * 50, 2, 2, id="two values"),
        pytest.param([1e-35], 1e-35, 1e-35, id="smaller than any bin"),
        pytest.param([5.0], 5, 5, id="a single number"),
        pytest.param(RNG.uniform(-1, 1, 100_000), 0.98, 1, id="uniform: nothing to clip"),
        pytest.param(GAUSS, 3.5, 6, id="normal"),
        pytest.param(RELU, 3.0, 6, id="half of it zero"),
    ],
)
def test_every_method_gives_a_range_within_what_occurs(
    method: str, values: np.ndarray, low: float, high: float
) -> None:
    found = amax(histogram(np.asarray(values)), method)
    assert low * (1 - 1e-6) <= found <= high * (1 + 1e-6)
    assert found <= np.abs(np.asarray(values, np.float32)).max()


@pytest.mark.parametrize(
    ("method", "low", "high"),
    [
        ("max", 60, 60),
        ("percentile", 4.2, 5),
        ("percentile-99.99", 3.7, 4.1),
        ("mse", 3, 30),
        ("entropy", 3, 8),
    ],
)
def test_one_outlier_moves_only_the_maximum(method: str, low: float, high: float) -> None:
    assert low <= amax(histogram(TAILED), method) <= high


@pytest.mark.parametrize("percent", [50.0, 90.0, 99.0, 99.9, 99.99])
def test_percentile_is_that_of_the_values_within_a_bin(percent: float) -> None:
    found = histogram(GAUSS)
    assert amax(found, f"percentile-{percent}") == pytest.approx(
        np.percentile(np.abs(GAUSS), percent), abs=found.width
    )


@pytest.mark.parametrize(
    "values",
    [GAUSS[:40_000], RELU[:40_000], TAILED[-40_000:], RNG.standard_t(3, 40_000)],
    ids=["gauss", "relu", "tail", "t"],
)
def test_squared_error_is_as_small_as_trying_every_range_on_the_values(values: np.ndarray) -> None:
    def error(largest: float) -> float:
        step = largest / 127
        return float(((np.clip(np.rint(values / step), -127, 127) * step - values) ** 2).mean())

    found = amax(histogram(values), "mse")
    tried = np.linspace(0.02, 1, 100) * np.abs(values).max()
    assert error(found) <= 1.01 * min(error(largest) for largest in tried)


def slow_entropy(found: Histogram) -> float:
    """The same definition, one range after the other."""
    used = found.counts[: np.flatnonzero(found.counts)[-1] + 1].astype(float)
    used[0] = used[1]
    best, least = 0, np.inf
    for end in range(128, used.size + 1):
        p = used[:end].copy()
        p[-1] += used[end:].sum()
        q = np.zeros(end)
        cuts = end * np.arange(129) // 128
        for start, stop in pairwise(cuts):
            occupied = (used[start:stop] > 0) | (p[start:stop] > 0)
            q[start:stop][occupied] = used[start:stop].sum() / max(1, occupied.sum())
        p, q = p / p.sum(), q / q.sum()
        if (q[p > 0] == 0).any():
            continue
        divergence = float((p[p > 0] * np.log(p[p > 0] / q[p > 0])).sum())
        if divergence < least:
            best, least = end, divergence
    return best * found.width


@pytest.mark.parametrize("values", [RELU[:20_000], TAILED[-20_000:]], ids=["relu", "tail"])
def test_entropy_is_that_of_the_plain_definition(values: np.ndarray) -> None:
    found = histogram(values)
    coarse = Histogram(np.pad(found.counts.reshape(-1, 8).sum(1), (0, BINS - BINS // 8)), found.width * 8,
                       found.low, found.high)  # fmt: skip
    assert amax(coarse, "entropy") == pytest.approx(min(slow_entropy(coarse), coarse.amax), rel=1e-6)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([0.0, 6.0], TensorRange(6, 0, 6), id="ReLU6"),
        pytest.param([-1.0, 4.0], TensorRange(4, -1, 4), id="lopsided"),
        pytest.param([2.0, 4.0], TensorRange(4, 0, 4), id="holds 0 even where 0 does not occur"),
        pytest.param([-3.0, -2.0], TensorRange(3, -3, 0), id="all negative"),
    ],
)
def test_signed_range_holds_zero_and_lies_within_the_symmetric_one(
    values: list[float], expected: TensorRange
) -> None:
    assert tensor_range(histogram(np.array(values)), "max") == expected


def test_signed_range_is_clipped_like_the_symmetric_one() -> None:
    found = tensor_range(histogram(TAILED), "percentile-99.99")
    assert found.high == found.amax < 5
    assert -found.amax <= found.low < -3


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("minmax", "expected one of max, percentile, mse, entropy"),
        ("mse-3", "expected one of max"),
        ("percentile-x", "a number from 50 to 100"),
        ("percentile-101", "a number from 50 to 100"),
        ("percentile-nan", "a number from 50 to 100"),
    ],
)
def test_a_method_that_does_not_exist_is_refused(method: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        amax(histogram(np.zeros(3)), method)
