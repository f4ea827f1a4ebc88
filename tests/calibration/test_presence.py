"""P(in view): coefficients found again, skewed scores put right, honesty where val is small or too easy."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.presence import (
    FEWEST,
    cross_validated,
    fit_presence,
    probabilities,
    refit_presence,
)
from calibration.reliability import reliability
from edge_runtime.presence import PresenceCalibration


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


def drawn(
    photos: int, bias: float, of_map: float, of_class: float, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of photos with and without the asset where its presence follows the coefficients exactly."""
    rng = np.random.default_rng(seed)
    odds = rng.normal([0.5, 1.0], [1.0, 2.0], (photos, 2))
    there = rng.random(photos) < sigmoid(bias + odds @ [of_map, of_class])
    return sigmoid(odds[there]), sigmoid(odds[~there])


def skewed(photos: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """As networks give them: the map never under .3, the class head far surer than it is right."""
    rng = np.random.default_rng(seed)

    def kind(sign: int) -> np.ndarray:
        of_map, of_class = rng.normal(0.6 + 0.4 * sign, 0.5, photos), rng.normal(2 * sign, 4, photos)
        return sigmoid(np.column_stack([of_map, of_class]))

    return kind(1), kind(-1)


def labels(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    return np.arange(len(positive) + len(negative)) < len(positive)


@pytest.mark.parametrize(
    ("bias", "of_map", "of_class"),
    [
        pytest.param(-1.0, 2.0, 0.5, id="both scores tell"),
        pytest.param(0.5, 1.0, 0.0, id="only the map tells"),
        pytest.param(-2.0, 0.0, 1.0, id="only the class tells"),
        pytest.param(1.0, 1.0, 1.0, id="mostly in view"),
    ],
)
def test_known_coefficients_are_found_again(bias: float, of_map: float, of_class: float) -> None:
    found = fit_presence(*drawn(20000, bias, of_map, of_class)).calibration
    assert found is not None
    assert (found.bias, found.map_weight, found.class_weight) == pytest.approx(
        (bias, of_map, of_class), abs=0.08
    )


def test_calibrated_probabilities_err_less_than_the_scores_they_are_made_from() -> None:
    new = skewed(4000, seed=99)
    scores, there = np.concatenate(new), labels(*new)
    raw = [reliability(scores[:, column], there) for column in (0, 1)]
    for seed in range(5):
        found = fit_presence(*skewed(60, seed)).calibration
        assert found is not None
        ours = reliability(probabilities(found, scores), there)
        assert ours.ece < 0.5 * min(r.ece for r in raw)
        assert ours.brier < min(r.brier for r in raw)


def test_cross_validation_tells_beforehand_what_new_photos_show() -> None:
    """Fitted and judged on the same photos, the Brier score is better than it is; by cross-validation not."""
    new = skewed(4000, seed=99)
    optimism = {"cross": 0.0, "same": 0.0}
    for seed in range(12):
        val = skewed(30, seed)
        found = fit_presence(*val).calibration
        assert found is not None
        truth = reliability(probabilities(found, np.concatenate(new)), labels(*new)).brier
        same = reliability(probabilities(found, np.concatenate(val)), labels(*val)).brier
        cross = reliability(cross_validated(*val), labels(*val)).brier
        optimism = {"cross": optimism["cross"] + truth - cross, "same": optimism["same"] + truth - same}
    assert abs(optimism["cross"]) < 0.5 * optimism["same"]


def test_each_photo_is_judged_by_coefficients_that_never_saw_its_neighbours() -> None:
    """One flight of 12 odd photos in a row: judged by the others they look as if the asset were there."""
    positive, negative = drawn(120, -0.5, 3.0, 0.5)
    odd = np.full((len(negative) // 5, 2), 0.95)
    negative = np.concatenate([odd, negative[len(odd) :]])
    said = cross_validated(positive, negative)[len(positive) :]
    assert said[: len(odd)].min() > 0.8
    assert len(said) == len(negative)


@pytest.mark.parametrize(
    ("positive", "negative", "note"),
    [
        pytest.param(40, 0, "40 photos with and 0 without", id="no negative class"),
        pytest.param(0, 40, "0 photos with and 40 without", id="no positive"),
        pytest.param(40, FEWEST - 1, f"at least {FEWEST} of each", id="too few negatives"),
        pytest.param(0, 0, "0 photos with and 0 without", id="nothing"),
    ],
)
def test_where_val_cannot_tell_there_is_no_probability_but_a_reason(
    positive: int, negative: int, note: str
) -> None:
    rng = np.random.default_rng(0)
    found = fit_presence(rng.random((positive, 2)), rng.random((negative, 2)))
    assert found.calibration is None
    assert note in str(found.note)


def test_photos_told_apart_without_a_mistake_do_not_make_it_certain() -> None:
    rng = np.random.default_rng(0)
    positive, negative = rng.uniform(0.8, 1.0, (30, 2)), rng.uniform(0.0, 0.2, (12, 2))
    found = fit_presence(positive, negative)
    assert found.calibration is not None
    assert "without a mistake" in str(found.note)
    # the targets of Platt flatten it: 1.1 and 1.2 with 0 and 1 in their place
    assert 0 < found.calibration.map_weight < 0.9
    assert 0 < found.calibration.class_weight < 0.9
    said = probabilities(found.calibration, np.array([[1.0, 1.0], [0.0, 0.0]]))
    assert said.tolist() == pytest.approx([31 / 32, 1 / 14])  # no surer than so many photos can make it
    assert probabilities(found.calibration, positive).min() > 0.8
    assert probabilities(found.calibration, negative).max() < 0.25


@pytest.mark.parametrize(
    ("positive", "negative"),
    [
        pytest.param(np.full((20, 2), 0.7), np.full((30, 2), 0.7), id="always the same scores"),
        pytest.param(np.full((20, 2), 1.0), np.full((30, 2), 1.0), id="saturated"),
        pytest.param(
            np.tile([[0.2, 0.3], [0.3, 0.2]], (10, 1)),
            np.tile([[0.8, 0.9], [0.9, 0.8]], (15, 1)),
            id="the wrong way round",
        ),
    ],
)
def test_scores_that_say_nothing_give_the_share_of_val_and_are_told(
    positive: np.ndarray, negative: np.ndarray
) -> None:
    found = fit_presence(positive, negative)
    assert found.calibration is not None
    assert "neither score" in str(found.note)
    assert probabilities(found.calibration, positive) == pytest.approx(0.4, abs=0.02)


def test_a_warmer_map_never_makes_the_asset_less_likely() -> None:
    """The map runs against the labels here: it is left out, and the class alone is as without it."""
    rng = np.random.default_rng(3)
    of_class = sigmoid(np.concatenate([rng.normal(1.5, 1, 50), rng.normal(-1.5, 1, 50)]))
    against = sigmoid(np.concatenate([rng.normal(-1, 1, 50), rng.normal(1, 1, 50)]))
    alone = np.full(100, 0.5)
    both, without = (
        fit_presence(scores[:50], scores[50:]).calibration
        for scores in (np.column_stack([column, of_class]) for column in (against, alone))
    )
    assert both is not None
    assert without is not None
    assert both.map_weight == 0
    assert (both.bias, both.class_weight) == pytest.approx((without.bias, without.class_weight), abs=1e-5)


def test_two_scores_that_are_one_share_the_weight() -> None:
    positive, negative = drawn(300, 0.0, 1.5, 0.0)
    twice = [scores[:, [0, 0]] for scores in (positive, negative)]
    found = fit_presence(*twice).calibration
    assert found is not None
    assert found.map_weight == pytest.approx(found.class_weight, abs=1e-5)


def test_the_order_of_photos_and_those_without_a_finite_score_do_not_matter() -> None:
    rng = np.random.default_rng(4)
    positive, negative = skewed(40)
    mixed = np.concatenate([rng.permutation(positive), [[np.nan, 0.5], [0.5, np.inf]]])
    assert fit_presence(positive, negative) == fit_presence(mixed, negative[::-1])


def test_int8_is_fitted_to_say_what_fp32_says() -> None:
    positive, negative = skewed(60)
    before = fit_presence(positive, negative).calibration
    assert before is not None
    scores = np.concatenate([positive, negative])
    shifted = sigmoid(0.8 * np.log(scores / (1 - scores)) - [0.3, 1.0])
    after = refit_presence(scores, shifted, before)
    said = probabilities(before, scores)
    gap = [np.abs(probabilities(one, shifted) - said).mean() for one in (before, after)]
    assert gap[1] < 0.1 * gap[0]
    assert (after.positives, after.negatives) == (before.positives, before.negatives)


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(np.full((30, 2), 0.6), id="frames that are all alike"),
        pytest.param(np.array([[0.6, 0.7]]), id="one frame"),
        pytest.param(np.full((3, 2), np.nan), id="nothing finite"),
    ],
)
def test_frames_that_tell_little_leave_the_weights_of_fp32(frames: np.ndarray) -> None:
    before = PresenceCalibration(-0.5, 2.0, 0.4, 60, 50)
    after = refit_presence(frames, frames, before)
    assert (after.bias, after.map_weight, after.class_weight) == pytest.approx((-0.5, 2.0, 0.4), abs=1e-5)


def test_too_few_photos_for_the_folds_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 5 photos of each kind, got 4 and 30"):
        cross_validated(np.full((4, 2), 0.5), np.full((30, 2), 0.5))
