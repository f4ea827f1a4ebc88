"""Calibration error, Brier score and the reliability curve, against figures made by hand and by drawing."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.reliability import reliability


@pytest.mark.parametrize(
    ("said", "happened", "ece", "brier"),
    [
        pytest.param([1.0] * 5 + [0.0] * 5, [1] * 5 + [0] * 5, 0.0, 0.0, id="right and sure"),
        pytest.param([0.0] * 5 + [1.0] * 5, [1] * 5 + [0] * 5, 0.0, 1.0, id="one bin sees only the mean"),
        pytest.param([0.5] * 20, [1, 0] * 10, 0.0, 0.25, id="one half, and so it is"),
        pytest.param([0.9] * 20, [1, 0] * 10, 0.4, 0.41, id="too sure"),
        pytest.param([0.2] * 10 + [0.8] * 10, [1] * 10 + [0] * 10, 0.8, 0.64, id="two bins, both wrong"),
        pytest.param([0.2] * 10 + [0.8] * 10, [0] * 10 + [1] * 10, 0.2, 0.04, id="two bins, both timid"),
        pytest.param([0.3], [1], 0.7, 0.49, id="one photo"),
    ],
)
def test_figures_by_hand(said: list[float], happened: list[int], ece: float, brier: float) -> None:
    found = reliability(said, np.array(happened, bool))
    assert (found.ece, found.brier) == pytest.approx((ece, brier))


@pytest.mark.parametrize(
    ("photos", "bins"), [(1, 1), (19, 1), (20, 2), (99, 9), (100, 10), (5000, 10)], ids=str
)
def test_bins_hold_equally_many_photos(photos: int, bins: int) -> None:
    found = reliability(np.linspace(0, 1, photos), np.ones(photos, bool))
    sizes = [count for _, _, count in found.curve]
    assert (found.bins, sum(sizes)) == (bins, photos)
    assert max(sizes) - min(sizes) <= 1
    assert [said for said, _, _ in found.curve] == sorted(said for said, _, _ in found.curve)


def test_the_order_of_photos_does_not_matter_even_where_probabilities_are_equal() -> None:
    rng = np.random.default_rng(0)
    said = np.round(rng.random(60), 1)
    happened = rng.random(60) < said
    shuffled = rng.permutation(60)
    a, b = reliability(said, happened), reliability(said[shuffled], happened[shuffled])
    assert (a.ece, a.chance_ece, a.brier) == pytest.approx((b.ece, b.chance_ece, b.brier), abs=1e-12)


def test_the_error_by_chance_is_what_right_probabilities_show_on_average() -> None:
    rng = np.random.default_rng(1)
    said = rng.random(80)
    drawn = [reliability(said, rng.random(80) < said) for _ in range(400)]
    assert np.mean([found.ece for found in drawn]) == pytest.approx(drawn[0].chance_ece, rel=0.05)
    many = reliability(rng.random(8000), np.ones(8000, bool))
    assert many.chance_ece < drawn[0].chance_ece / 5


@pytest.mark.parametrize(("said", "happened"), [([], []), ([0.5], [1, 0]), ([[0.5]], [[1]])], ids=str)
def test_rows_that_do_not_fit_are_refused(said: list[float], happened: list[int]) -> None:
    with pytest.raises(ValueError, match="expected two equal rows"):
        reliability(said, happened)
