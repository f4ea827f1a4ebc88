"""Float fall-back: how many of the worst layers it takes, in few trials."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.fallback import guess_prefix, shortest_prefix

LAYERS = [f"layer{i}" for i in range(40)]


@pytest.mark.parametrize("needed", [1, 2, 3, 7, 8, 19, 20])
@pytest.mark.parametrize("guess", [0, 1, 7, 20, 35])
def test_the_shortest_prefix_that_holds_is_found_from_any_guess(needed: int, guess: int) -> None:
    tried: list[int] = []

    def holds(prefix: list[str]) -> bool:
        assert prefix == LAYERS[: len(prefix)]
        tried.append(len(prefix))
        return len(prefix) >= needed

    assert shortest_prefix(LAYERS, holds, 20, guess) == tuple(LAYERS[:needed])
    assert len(tried) == len(set(tried)) <= 10
    assert max(tried) <= 20
    if guess == needed:
        assert len(tried) <= 2


@pytest.mark.parametrize(
    ("layers", "most"),
    [
        pytest.param(LAYERS, 20, id="the longest fails"),
        pytest.param(LAYERS[:5], 20, id="all of them fail"),
        pytest.param([], 20, id="no layer"),
        pytest.param(LAYERS, 0, id="none may be float"),
    ],
)
def test_nothing_is_found_where_nothing_holds(layers: list[str], most: int) -> None:
    tried: list[int] = []
    assert shortest_prefix(layers, lambda some: bool(tried.append(len(some))), most, 3) is None
    assert tried == sorted(set(tried))
    assert not tried or tried[-1] == min(most, len(layers))


@pytest.mark.parametrize(
    ("costs", "aim", "expected"),
    [
        pytest.param([3.0, 1.0, 1.0], 2.0, 1, id="without the first, 1.4 is left"),
        pytest.param([3.0, 1.0, 1.0], 1.0, 2, id="without two, 1 is left"),
        pytest.param([3.0, 1.0, 1.0], 5.0, 0, id="all together are below the aim"),
        pytest.param([3.0, 1.0, 1.0], 0.5, 3, id="each is above it"),
        pytest.param([], 1.0, 0, id="no layer"),
    ],
)
def test_independent_errors_add_as_squares(costs: list[float], aim: float, expected: int) -> None:
    assert guess_prefix(costs, aim) == expected


def test_the_guess_fits_errors_that_are_drawn() -> None:
    rng = np.random.default_rng(0)
    costs = sorted(rng.lognormal(0, 1, 58), reverse=True)
    cut = guess_prefix(costs, 4.0)
    total = np.sqrt(sum(rng.normal(0, cost, 20000) ** 2 for cost in costs[cut:]).mean())
    assert 3.5 < total < 4.1
