"""Thresholds chosen on val: where to cut the map, and from which presence score on the asset is in view."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.thresholds import best_stretch, choose_presence_threshold, choose_threshold

AT = np.round(np.arange(0.05, 0.951, 0.025), 3)  # 37 absolute thresholds
TAUS = np.arange(0, 1, 0.001)


def plateau(low: float, high: float, height: float = 80.0, else_: float = 40.0) -> np.ndarray:
    return np.where((low <= AT) & (high >= AT), height, else_)


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        pytest.param(plateau(0.4, 0.7), 0.55, id="centre of one plateau"),
        pytest.param(plateau(0.4, 0.7) + 30 * (np.isclose(AT, 0.1)), 0.55, id="a lone spike elsewhere"),
        pytest.param(plateau(0.4, 0.7) + 3 * (np.isclose(AT, 0.7)), 0.55, id="a lone best at its rim"),
        pytest.param(np.maximum(plateau(0.1, 0.2), plateau(0.5, 0.8)), 0.65, id="the wider of two"),
        pytest.param(np.full(37, 50.0), 0.5, id="flat: the middle"),
        pytest.param(np.zeros(37), 0.5, id="nothing found anywhere: the middle"),
        pytest.param(plateau(0.8, 0.95), 0.9, id="at the end of the range"),
        pytest.param(90 - 100 * np.abs(AT - 0.6), 0.6, id="a tent: its top"),
    ],
)
def test_threshold_is_the_centre_of_the_smoothed_plateau(curve: np.ndarray, expected: float) -> None:
    chosen = choose_threshold(curve, AT)
    assert chosen in AT
    assert chosen == pytest.approx(expected, abs=0.026)  # one step: smoothing widens a plateau at its rims


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        pytest.param(plateau(0.4, 0.6), 80, id="as wide as the window"),
        pytest.param(plateau(0.49, 0.51, height=100, else_=0), 100 / 9, id="right at one threshold alone"),
        pytest.param(plateau(0.9, 0.95, else_=0), 80 * 3 / 9, id="at the end: nothing is made up beyond it"),
        pytest.param(np.full(37, 50.0), 50, id="flat"),
        pytest.param(np.array([60.0]), 60, id="one threshold"),
    ],
)
def test_the_best_stretch_is_the_mean_of_a_fifth_of_the_thresholds(
    curve: np.ndarray, expected: float
) -> None:
    assert best_stretch(curve) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("low", "high"),
    [
        pytest.param((0.3, 0.15), (0.85, 0.1), id="wide plateau"),
        pytest.param((0.5, 0.15), (0.75, 0.1), id="narrow plateau"),
    ],
)
def test_the_choice_costs_new_photos_less_than_half_of_what_the_maximum_costs(
    low: tuple[float, float], high: tuple[float, float]
) -> None:
    """Each photo is right between two random thresholds; one in ten never is. Val has 55."""
    rng = np.random.default_rng(0)

    def draw(photos: int) -> np.ndarray:
        first, last = rng.normal(*low, photos), rng.normal(*high, photos)
        first[rng.random(photos) < 0.1] = 2
        return 100.0 * ((TAUS[:, None] >= first) & (TAUS[:, None] <= last)).mean(axis=1)

    new = draw(5000)
    vals = [draw(55) for _ in range(60)]
    chosen = [new.max() - new[threshold_at(choose_threshold(val, TAUS))] for val in vals]
    maximum = [new.max() - new[val.argmax()] for val in vals]
    assert np.mean(chosen) < 0.5 * np.mean(maximum)
    assert np.mean(chosen) < 0.8


def threshold_at(tau: float) -> int:
    return int(np.abs(TAUS - tau).argmin())


def test_curves_and_thresholds_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3,\) and \(37,\)"):
        choose_threshold([1.0, 2.0, 3.0], AT)


@pytest.mark.parametrize(
    ("positive", "negative", "low", "high"),
    [
        pytest.param([0.8, 0.9, 0.95], [0.1, 0.2], 0.4, 0.7, id="in the middle of the gap"),
        pytest.param([0.8, 0.9], [0.1, 0.2], 0.45, 0.55, id="near the middle of a symmetric gap"),
        pytest.param([0.3] + [0.9] * 19, [0.1] * 20 + [0.4], 0.4, 0.85, id="one weak positive is given up"),
        pytest.param(
            np.linspace(0.6, 0.95, 20).tolist(),
            [0.1] * 19 + [0.85],
            0.3,
            0.65,
            id="one warm negative does not decide",
        ),
        pytest.param([0.99999, 1.0], [0.0, 0.00001], 0.3, 0.7, id="saturated scores"),
        pytest.param([0.9], [0.9], 0.89, 0.91, id="no difference"),
        pytest.param([0.6, 0.8], [], 0.305, 0.305, id="no negatives: half of the weakest usual positive"),
        pytest.param([], [0.2], 0.0, 0.0, id="no positives: everything is in view"),
        pytest.param([], [], 0.0, 0.0, id="nothing"),
    ],
)
def test_presence_threshold(positive: list[float], negative: list[float], low: float, high: float) -> None:
    assert low - 1e-12 <= choose_presence_threshold(positive, negative) <= high + 1e-12


def test_presence_threshold_costs_new_photos_little() -> None:
    """50 photos with and 45 without, scores that overlap a little: within 1 point of the best, on average."""
    rng = np.random.default_rng(1)
    p, n = rng.beta(12, 1.5, 20000), rng.beta(5, 5, 20000)
    at = np.linspace(0, 1, 1001)
    balanced = 50 * ((p >= at[:, None]).mean(axis=1) + (n < at[:, None]).mean(axis=1))
    lost = []
    for i in range(60):
        val = choose_presence_threshold(p[i * 50 : i * 50 + 50], n[i * 45 : i * 45 + 45])
        lost.append(balanced.max() - balanced[np.abs(at - val).argmin()])
    assert np.mean(lost) < 1.0
    assert np.max(lost) < 5.0


def test_choices_do_not_depend_on_the_order_of_photos() -> None:
    rng = np.random.default_rng(2)
    p, n = rng.random(30), rng.random(20)
    assert choose_presence_threshold(p, n) == pytest.approx(
        choose_presence_threshold(p[::-1], rng.permutation(n))
    )
