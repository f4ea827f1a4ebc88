"""A split's maps to figures: what counts where, which threshold applies, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edge_runtime.boxes import decode_map
from edge_runtime.errors import DatasetError
from train.data.types import Image
from train.evaluation.evaluate import (
    WITHOUT_BOXES,
    Thresholds,
    choose_thresholds,
    evaluate_split,
    evaluate_val_and_choose,
    report_split,
    score_split,
)
from train.evaluation.figures import text_table
from train.evaluation.split_scores import DECISIONS, box_ious, protocol_map, pseudo_boxes, true_boxes
from train.proposals import Proposal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from train.evaluation.evaluate import Prediction

TOWER, NOTHING = 0, 1
WIDTH, HEIGHT = 640, 480
BOX = (
    160,
    120,
    319,
    359,
)  # pixels, ends included: a quarter to a half across, a quarter to three quarters down
THRESHOLDS = Thresholds(tau=0.5, decision=0.5, presence=0.3)


def photo(name: str, *boxes: tuple[int, int, int, int], label: int = TOWER, known: bool = True) -> Image:
    array = np.array(boxes, np.int32).reshape(-1, 4) if known else None
    return Image(Path(name), name, label, WIDTH, HEIGHT, array)


def warm(
    *boxes: tuple[float, float, float, float], value: float = 0.9, side: int = 160
) -> NDArray[np.float32]:
    """A map that is `value` in half-open boxes given as fractions, and 0.05 elsewhere."""
    score_map = np.full((side, side), 0.05, np.float32)
    for box in boxes:
        x0, y0, x1, y1 = (round(v * side) for v in box)
        score_map[y0:y1, x0:x1] = value
    return score_map


OBJECT = (0.25, 0.25, 0.5, 0.75)
SURE, UNSURE = np.array([0.9, 0.1], np.float32), np.array([0.2, 0.8], np.float32)


def scored(*predictions: Prediction, thresholds: Thresholds = THRESHOLDS) -> dict[str, Any]:
    return evaluate_split(predictions, NOTHING, thresholds)


def test_a_perfect_split_is_perfect_everywhere() -> None:
    figures = scored(
        (photo("a.jpg", BOX), warm(OBJECT), SURE),
        (photo("n.jpg", label=NOTHING), warm(), np.array([0.1, 0.9], np.float32)),
    )
    hundred = (
        "max_box_acc_v2 max_box_acc top1_loc top5_loc box_acc_fixed_tau box_acc_deployed box_acc_deployed_70 "
        "box_recall_deployed class_acc presence_hit_rate"
    )
    assert {key: figures[key] for key in hundred.split()} == dict.fromkeys(hundred.split(), 100.0)
    assert (figures["false_alarm_rate"], figures["missed_by_presence"], figures["presence_auc"]) == (0, 0, 1)
    assert (figures["photos"], figures["localized_photos"], figures["negative_photos"]) == (2, 1, 1)


def test_figures_are_plain_json() -> None:
    figures = scored((photo("a.jpg", BOX), warm(OBJECT), SURE))
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_photos_without_an_object_never_enter_localization_but_raise_alarms() -> None:
    localized = (photo("a.jpg", BOX), warm(OBJECT), SURE)
    alarms = [(photo(f"{i}.jpg", label=NOTHING), warm(OBJECT), UNSURE) for i in range(3)]
    calm = (photo("calm.jpg", label=NOTHING), warm(), UNSURE)
    alone, together = scored(localized), scored(localized, *alarms, calm)
    assert together["false_alarm_rate"] == 75.0
    for key in (
        "max_box_acc",
        "max_box_acc_v2",
        "box_acc_deployed",
        "box_recall_deployed",
        "errors",
        "curve",
    ):
        assert together[key] == alone[key]


def test_an_alarm_needs_a_region_and_the_presence_test() -> None:
    """A map that is lukewarm everywhere passes presence, but no pixel exceeds the decision threshold."""
    lukewarm = (photo("n.jpg", label=NOTHING), np.full((160, 160), 0.45, np.float32), UNSURE)
    assert scored(lukewarm)["false_alarm_rate"] == 0.0
    assert scored(lukewarm, thresholds=Thresholds(0.5, 0.4, 0.3))["false_alarm_rate"] == 100.0
    assert scored(lukewarm, thresholds=Thresholds(0.5, 0.4, 0.5))["false_alarm_rate"] == 0.0


def test_a_photo_with_an_object_but_no_box_is_refused_by_name() -> None:
    with pytest.raises(DatasetError, match=r"tower/7\.jpg: no box, but it is not of the negative class"):
        scored((photo("tower/7.jpg"), warm(OBJECT), SURE))


def test_photos_whose_boxes_are_unknown_count_for_class_and_presence_only() -> None:
    figures = scored(
        (photo("a.jpg", known=False), warm(OBJECT), SURE), (photo("b.jpg", known=False), warm(), UNSURE)
    )
    assert figures["localized_photos"] == 0
    assert figures["class_acc"] == 50.0
    assert figures["presence_hit_rate"] == 50.0
    assert not {"max_box_acc", "box_acc_deployed", "errors"} & set(figures)
    assert figures["false_alarm_rate"] is None
    assert figures["presence_auc"] is None


def test_the_deployed_box_is_the_largest_region_and_recall_counts_them_all() -> None:
    small = (0.7, 0.7, 0.8, 0.8)
    truth_small = (448, 336, 511, 383)
    figures = scored(
        (photo("large first.jpg", BOX, truth_small), warm(OBJECT, small), SURE),
        (photo("wrong first.jpg", truth_small), warm(OBJECT, small), SURE),
    )
    assert figures["box_acc_deployed"] == 50.0
    assert figures["box_recall_deployed"] == 100.0
    assert figures["max_box_acc"] == 50.0


def test_recall_is_per_true_box_not_per_photo() -> None:
    others = [(400 + 40 * i, 20, 420 + 40 * i, 40) for i in range(3)]
    figures = scored(
        (photo("a.jpg", BOX, *others), warm(OBJECT), SURE), (photo("b.jpg", BOX), warm(OBJECT), SURE)
    )
    assert figures["box_acc_deployed"] == 100.0
    assert figures["box_recall_deployed"] == 40.0


def test_presence_turns_a_right_box_into_a_miss_of_its_own_kind() -> None:
    faint = (photo("a.jpg", BOX), warm(OBJECT, value=0.6), SURE)
    figures = scored(faint, thresholds=Thresholds(0.5, 0.5, presence=0.8))
    assert figures["box_acc_deployed"] == 0.0
    assert figures["missed_by_presence"] == 100.0
    assert figures["box_acc_fixed_tau"] == 100.0  # the protocol knows no presence


def test_relative_and_absolute_thresholds_are_told_apart() -> None:
    """Half the maximum of a faint map is below its object, an absolute .5 above it."""
    figures = scored(
        (photo("a.jpg", BOX), warm(OBJECT, value=0.4), SURE), thresholds=Thresholds(0.5, 0.5, 0.0)
    )
    assert figures["box_acc_fixed_tau"] == 100.0
    assert figures["box_acc_deployed"] == 0.0


def test_deployed_figures_are_those_of_the_decoding_in_flight() -> None:
    rng = np.random.default_rng(0)
    predictions: list[Prediction] = []
    for i in range(12):
        score_map = warm((0.2, 0.2, 0.2 + 0.03 * (i + 2), 0.7), value=0.3 + 0.05 * i)
        score_map += 0.2 * rng.random(score_map.shape, dtype=np.float32)
        predictions.append((photo(f"{i}.jpg", BOX), np.clip(score_map, 0, 1), SURE))
    thresholds = Thresholds(0.5, 0.55, 0.6)
    hits = []
    for image, score_map, _ in predictions:
        found = decode_map(score_map, thresholds.decision, thresholds.presence).candidates
        hits.append(bool(found) and box_ious(np.array([found[0].box_xyxy]), true_boxes(image)).max() >= 0.5)
    assert 0 < sum(hits) < 12
    assert scored(*predictions, thresholds=thresholds)["box_acc_deployed"] == pytest.approx(
        100 * np.mean(hits)
    )


def test_a_wrong_class_costs_top1_but_not_top5_nor_box_accuracy() -> None:
    figures = scored((photo("a.jpg", BOX), warm(OBJECT), SURE), (photo("b.jpg", BOX), warm(OBJECT), UNSURE))
    assert (figures["top1_loc"], figures["top5_loc"], figures["max_box_acc"]) == (50.0, 100.0, 100.0)
    assert figures["class_acc"] == 50.0
    by_class, known = figures["errors"]["by_class"], figures["errors"]["class_known"]
    assert (by_class["val_tau"]["class"], by_class["val_tau"]["correct"]) == (50.0, 50.0)
    assert known["val_tau"]["correct"] == 100.0


def test_errors_are_told_at_the_val_threshold_the_best_one_and_the_oracle() -> None:
    halo = warm((0.05, 0.05, 0.95, 0.95), value=0.3)
    halo[40:120, 40:80] = 0.9  # the object
    figures = scored(
        (photo("a.jpg", BOX), halo, SURE), thresholds=Thresholds(tau=0.1, decision=0.5, presence=0.1)
    )
    errors = figures["errors"]["class_known"]
    assert errors["val_tau"]["more"] == 100.0
    assert errors["best_tau"]["correct"] == 100.0
    assert errors["oracle_tau"]["correct"] == 100.0
    assert figures["best_tau"] > 0.3


def test_thresholds_come_from_val_alone() -> None:
    thresholds, figures = evaluate_val_and_choose(_val(), NOTHING)
    assert 0.3 < thresholds.tau < 0.8
    assert 0.3 < thresholds.decision < 0.8
    assert 0.06 < thresholds.presence < 0.85
    assert thresholds.decision in DECISIONS
    assert figures["box_acc_deployed"] == 100.0
    assert figures["false_alarm_rate"] == 0.0
    test = evaluate_split([(photo("t.jpg", BOX), warm(OBJECT), SURE)], NOTHING, thresholds)
    assert test["tau"] == thresholds.tau


def _val() -> list[Prediction]:
    halo = warm((0.1, 0.1, 0.9, 0.9), value=0.25)
    halo[40:120, 40:80] = 0.85
    return [
        *((photo(f"{i}.jpg", BOX), halo, SURE) for i in range(3)),
        (photo("n.jpg", label=NOTHING), warm(), UNSURE),
    ]


def test_scoring_at_one_threshold_or_at_all_of_them_gives_the_same_figures() -> None:
    thresholds = choose_thresholds(score_split(_val(), NOTHING))
    every = report_split(score_split(_val(), NOTHING), thresholds)
    one = report_split(score_split(_val(), NOTHING, thresholds), thresholds)
    assert len(every.pop("decision_curve")) == len(DECISIONS)
    assert len(one.pop("decision_curve")) == 1
    assert every == one


def test_without_boxes_on_val_only_presence_is_chosen_and_proposals_are_agreed_with() -> None:
    unboxed = [(dataclasses.replace(i, boxes=None), m, p) for i, m, p in _val()]
    fraction = (0.25, 0.25, 0.5, 0.75)
    proposals = pseudo_boxes(
        [image for image, _, _ in unboxed],
        [
            [Proposal(fraction, 0, 0.5)],
            [Proposal(fraction, 0, 0.5)],
            [Proposal((0.8, 0.8, 1, 1), 0, 0.5)],
            [],
        ],
    )
    assert proposals["0.jpg"].tolist() == [list(BOX)]
    scores = score_split(unboxed, NOTHING, proposals=proposals)
    thresholds = choose_thresholds(scores)
    assert (thresholds.tau, thresholds.decision) == (WITHOUT_BOXES, WITHOUT_BOXES)
    assert report_split(scores, thresholds)["proposal_agreement"] == pytest.approx(200 / 3)


def test_maps_of_other_sizes_are_judged_at_224_and_stay_in_range() -> None:
    small = protocol_map(warm(OBJECT, value=1.0, side=320) * np.float32(1 + 1e-7))
    assert small.shape == (224, 224)
    assert small.dtype == np.float64
    assert small.max() <= 1.0
    exact = np.random.default_rng(0).random((224, 224), dtype=np.float32)
    np.testing.assert_array_equal(protocol_map(exact), exact.astype(np.float64))


@pytest.mark.parametrize(
    ("a", "b", "iou"),
    [
        pytest.param((0, 0, 0.5, 1), (0, 0, 0.5, 1), 1.0, id="equal"),
        pytest.param((0, 0, 0.5, 1), (0.25, 0, 0.75, 1), 1 / 3, id="half over"),
        pytest.param((0, 0, 0.5, 1), (0.5, 0, 1, 1), 0.0, id="touching"),
        pytest.param((0, 0, 1, 1), (0.25, 0.25, 0.75, 0.75), 0.25, id="inside"),
    ],
)
def test_deployed_iou_is_continuous(a: Sequence[float], b: Sequence[float], iou: float) -> None:
    assert box_ious(np.array([a], float), np.array([b], float))[0, 0] == pytest.approx(iou)


def test_the_table_names_every_figure_it_shows_and_only_those() -> None:
    boxed = text_table(scored((photo("a.jpg", BOX), warm(OBJECT), SURE)))
    assert "MaxBoxAccV2" in boxed
    assert "LPE" in boxed
    bare = text_table(scored((photo("a.jpg", known=False), warm(OBJECT), SURE)))
    assert "MaxBoxAcc" not in bare
    assert "Class accuracy" in bare
