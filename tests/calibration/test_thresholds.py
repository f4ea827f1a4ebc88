"""Thresholds chosen on val: where to cut the map, and from which presence score on the asset is in view."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.thresholds import choose_presence_threshold, choose_threshold

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
    ("positive", "negative", "expected"),
    [
        pytest.param([0.8, 0.9, 0.95], [0.1, 0.2], 0.5, id="middle of the gap"),
        pytest.param([0.3, 0.8, 0.9, 0.95], [0.1, 0.35, 0.4], 0.6, id="one weak positive is given up"),
        pytest.param([0.8, 0.9], [0.1, 0.2, 0.85], 0.5, id="one warm negative is given up"),
        pytest.param([0.9], [0.9], 0.45, id="no difference: the widest gap"),
        pytest.param([0.6, 0.8], [], 0.305, id="no negatives: half of the weakest usual positive"),
        pytest.param([], [0.2], 0.0, id="no positives: everything is in view"),
        pytest.param([], [], 0.0, id="nothing"),
    ],
)
def test_presence_threshold(positive: list[float], negative: list[float], expected: float) -> None:
    assert choose_presence_threshold(positive, negative) == pytest.approx(expected, abs=1e-12)


def test_presence_threshold_has_the_best_balanced_accuracy_of_all_cuts() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        p, n = rng.beta(4, 2, rng.integers(1, 40)), rng.beta(2, 4, rng.integers(1, 40))
        chosen = choose_presence_threshold(p, n)
        best = max((p >= t).mean() + (n < t).mean() for t in np.linspace(0, 1, 2001))
        assert (p >= chosen).mean() + (n < chosen).mean() >= best - 1e-12


def test_choices_do_not_depend_on_the_order_of_photos() -> None:
    rng = np.random.default_rng(2)
    p, n = rng.random(30), rng.random(20)
    assert choose_presence_threshold(p, n) == choose_presence_threshold(p[::-1], rng.permutation(n))
