"""Agreement of a candidate with the reference, and the thresholds chosen again for it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest

from calibration.agreement import Answers, agreement, ask, box_iou, compare
from calibration.rescore import choose_decision_threshold, choose_presence_threshold, rescore
from edge_runtime.boxes import presence_score
from edge_runtime.errors import ModelError
from edge_runtime.presence import PresenceCalibration, object_probability
from tests.edge_runtime.conftest import CONTRACT

if TYPE_CHECKING:
    from edge_runtime.contract import ModelContract

SIZE = 64


def blob(x: int = 20, side: int = 16, value: float = 0.9) -> np.ndarray:
    """(64, 64) map with one warm square; corner at (x, 20)."""
    score_map = np.full((SIZE, SIZE), 0.05, np.float32)
    score_map[20 : 20 + side, x : x + side] = value
    return score_map


EMPTY = blob(side=0)


def answers(*maps: np.ndarray) -> Answers:
    return Answers(np.stack(maps), np.tile(np.float32([0.2, 0.8]), (len(maps), 1)))


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        pytest.param((0, 0, 1, 1), (0, 0, 1, 1), 1.0, id="equal"),
        pytest.param((0, 0, 2, 2), (1, 0, 3, 2), 1 / 3, id="half each"),
        pytest.param((0, 0, 1, 1), (1, 0, 2, 1), 0.0, id="touching"),
        pytest.param((0, 0, 1, 1), (3, 3, 4, 4), 0.0, id="apart"),
        pytest.param(None, None, 1.0, id="both find nothing"),
        pytest.param((0, 0, 1, 1), None, 0.0, id="only one finds it"),
        pytest.param(None, (0, 0, 1, 1), 0.0, id="only the other finds it"),
    ],
)
def test_box_iou(a, b, expected: float) -> None:  # type: ignore[no-untyped-def]
    assert box_iou(a, b) == pytest.approx(expected)


def test_agreement_counts_boxes_presence_and_map_differences() -> None:
    found = agreement(
        answers(blob(), blob(), EMPTY, blob()), answers(blob(), blob(x=28), EMPTY, EMPTY), CONTRACT, CONTRACT
    )
    assert found.frames == 4
    assert found.mean_iou == pytest.approx((1 + 1 / 3 + 1 + 0) / 4)
    assert found.min_iou == 0.0
    assert found.presence_flips == 1
    assert found.map_max == pytest.approx(0.85)
    assert found.map_mean == pytest.approx(0.85 * (2 * 8 * 16 + 16 * 16) / (4 * SIZE * SIZE), rel=1e-5)
    assert found.class_max == 0.0
    assert found.rounded()["mean_iou"] == 0.583333


def test_each_side_is_decoded_at_its_own_thresholds() -> None:
    def dimmed(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return blob(value=0.45)[None], np.float32([[0.2, 0.8]])

    def full(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return blob()[None], np.float32([[0.2, 0.8]])

    frames = [np.zeros((SIZE, SIZE, 3), np.uint8)] * 2
    assert compare(full, dimmed, frames, CONTRACT).mean_iou == 0.0
    lower = dataclasses.replace(CONTRACT, decision_threshold=0.3, presence_threshold=0.3)
    assert compare(full, dimmed, frames, CONTRACT, lower).mean_iou == 1.0


def test_values_that_are_not_finite_are_an_error() -> None:
    with pytest.raises(ModelError, match="not finite on frame 0"):
        ask(lambda _: (np.full((1, 8, 8), np.nan, np.float32), np.ones((1, 2), np.float32)), [EMPTY])


def cone(scale: float = 1.0) -> np.ndarray:
    """Map that falls off from the middle: its box shrinks as the threshold grows."""
    y, x = np.mgrid[:SIZE, :SIZE]
    return (scale * np.clip(1 - np.hypot(x - 32, y - 32) / 32, 0, 1)).astype(np.float32)


def test_scores_that_shrink_as_a_whole_are_cut_lower() -> None:
    before = answers(cone(), cone(0.95))
    assert choose_decision_threshold(before, before, CONTRACT) == CONTRACT.decision_threshold
    shrunk = answers(cone(0.88), cone(0.88 * 0.95))
    assert choose_decision_threshold(before, shrunk, CONTRACT) == pytest.approx(0.44, abs=0.011)
    contract = rescore(before, shrunk, CONTRACT)
    assert contract.presence_threshold == CONTRACT.presence_threshold
    kept = agreement(before, shrunk, CONTRACT, CONTRACT).mean_iou
    assert agreement(before, shrunk, CONTRACT, contract).mean_iou > max(0.97, kept)


def test_the_presence_calibration_is_fitted_again_to_say_what_fp32_says() -> None:
    fitted = dataclasses.replace(CONTRACT, presence_calibration=PresenceCalibration(-1.0, 2.0, 0.5, 40, 30))
    heights = np.linspace(0.1, 0.95, 20)
    before = answers(*(cone(scale) for scale in heights))
    shrunk = answers(*(cone(0.8 * scale) for scale in heights))
    assert rescore(before, shrunk, CONTRACT).presence_calibration is None

    def said(model: Answers, contract: ModelContract) -> np.ndarray:
        assert contract.presence_calibration is not None
        pairs = zip(model.maps, model.class_probs, strict=True)
        scores = [(presence_score(m), object_probability(probs.tolist(), 0)) for m, probs in pairs]
        return np.array([contract.presence_calibration.probability(*pair) for pair in scores])

    wanted = said(before, fitted)
    as_was = np.abs(said(shrunk, fitted) - wanted).max()
    assert np.abs(said(shrunk, rescore(before, shrunk, fitted)) - wanted).max() < 0.2 * as_was
    assert rescore(before, before, fitted) == fitted  # nothing moves where nothing has changed


def test_the_threshold_stays_where_nothing_is_in_view() -> None:
    nothing = answers(EMPTY, EMPTY)
    assert choose_decision_threshold(nothing, nothing, CONTRACT) == CONTRACT.decision_threshold


@pytest.mark.parametrize(
    ("fp32", "quantized", "present", "expected"),
    [
        pytest.param([0.1, 0.2, 0.8], [0.1, 0.3, 0.7], None, 0.5, id="still right: stays"),
        pytest.param([0.1, 0.2, 0.8], [0.05, 0.1, 0.4], None, 0.25, id="scores fell: between the two groups"),
        pytest.param([0.1, 0.2, 0.8], [0.5, 0.6, 0.9], None, 0.75, id="scores rose"),
        pytest.param([0.8, 0.9], [0.2, 0.4], None, 0.1, id="all in view: just below the weakest"),
        pytest.param([0.1, 0.2], [0.6, 0.8], None, 0.9, id="none in view: just above the warmest"),
        pytest.param([0.1, 0.4, 0.8], [0.1, 0.45, 0.8], [0, 1, 1], 0.5, id="a miss of fp32 is not repaired"),
        pytest.param([0.3, 0.6, 0.7], [0.65, 0.6, 0.7], None, 0.5, id="one must change: stays"),
        pytest.param([0.3, 0.6, 0.7], [0.65, 0.6, 0.7], [0, 0, 1], 0.675, id="labels tell which may change"),
    ],
)
def test_presence_threshold_keeps_the_decisions_of_fp32(  # type: ignore[no-untyped-def]
    fp32, quantized, present, expected: float
) -> None:
    labels = None if present is None else [bool(flag) for flag in present]
    assert choose_presence_threshold(fp32, quantized, 0.5, labels) == pytest.approx(expected)
