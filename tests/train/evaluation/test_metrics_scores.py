"""Figures made of protocol curves: accuracies, kinds of error, pixels, presence, the centre box."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from edge_runtime.errors import DatasetError
from tests.train.evaluation.slow_protocol import blobs, slow_boxes, slow_curve
from train.data.types import Dataset, Image
from train.evaluation.metrics import THRESHOLDS, boxes_per_threshold, scale_boxes
from train.evaluation.metrics_center import center_box_figures, choose_center_box
from train.evaluation.metrics_errors import KINDS, ErrorCounts, error_kinds
from train.evaluation.metrics_pixels import IGNORE, PixelPrecision, read_mask
from train.evaluation.metrics_scores import (
    AccuracyCurve,
    accuracy_curve,
    best_threshold,
    curve_width,
    max_box_acc,
    max_box_acc_v2,
    presence_auc,
    quick_curve,
    threshold_index,
    top_k_classes,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


def added(*ious: NDArray[np.float64], counts: bool = True) -> AccuracyCurve:
    total = AccuracyCurve()
    for iou in ious:
        total.add(iou, counts=counts)
    return total


def step(level: float, start: int, stop: int) -> NDArray[np.float64]:
    """A curve that is `level` at thresholds start .. stop - 1 and 0 elsewhere."""
    curve = np.zeros(1000)
    curve[start:stop] = level
    return curve


def test_accuracy_counts_hits_of_all_images_at_the_same_threshold() -> None:
    total = added(step(0.6, 100, 300), step(0.6, 200, 400), step(0.4, 0, 1000))
    np.testing.assert_allclose(total.percent(50)[[50, 150, 250, 350]], [0, 100 / 3, 200 / 3, 100 / 3])
    assert max_box_acc(total) == pytest.approx(200 / 3)
    assert best_threshold(total.percent(50)) == THRESHOLDS[200]


def test_the_iou_level_itself_is_a_hit() -> None:
    for delta in (30, 50, 70):
        assert added(np.full(1000, delta / 100)).percent(delta)[0] == 100.0
        assert added(np.full(1000, np.nextafter(delta / 100, 0))).percent(delta)[0] == 0.0


def test_v2_takes_each_iou_level_at_its_own_best_threshold() -> None:
    tight_at_600 = np.maximum(step(0.75, 600, 700), step(0.35, 100, 200))
    tight_at_100 = np.maximum(step(0.55, 100, 200), step(0.0, 0, 1))
    total = added(tight_at_600, tight_at_100)
    # .3: both at 100..199; .5 and .7: one image at a time
    assert [total.percent(d).max() for d in (30, 50, 70)] == [100.0, 50.0, 50.0]
    assert max_box_acc_v2(total) == pytest.approx(200 / 3)


def test_a_wrong_class_is_a_miss_that_still_counts_as_an_image() -> None:
    total = AccuracyCurve()
    total.add(np.ones(1000), counts=True)
    total.add(np.ones(1000), counts=False)
    assert total.count == 2
    assert max_box_acc(total) == 50.0


def test_accuracy_of_no_image_is_an_error_not_a_number() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        AccuracyCurve().percent()


def test_pure_and_streaming_accuracy_agree() -> None:
    curves = np.random.default_rng(0).random((20, 1000))
    for delta in (30, 50, 70):
        np.testing.assert_array_equal(accuracy_curve(curves, delta), added(*curves).percent(delta))
        np.testing.assert_allclose(accuracy_curve(curves, delta), 100 * (curves >= delta / 100).mean(axis=0))


@pytest.mark.parametrize(
    ("percent", "width"),
    [
        pytest.param(step(80, 200, 700), 0.5, id="a plateau of half the thresholds"),
        pytest.param(step(80, 200, 700) + step(72 - 80, 200, 300), 0.5, id="90 % of the best counts"),
        pytest.param(step(80, 200, 700) + step(71.9 - 80, 200, 300), 0.4, id="just below does not"),
        pytest.param(np.zeros(1000), 0.0, id="no hit at all"),
    ],
)
def test_curve_width(percent: NDArray[np.float64], width: float) -> None:
    assert curve_width(percent) == pytest.approx(width)


def test_top_k_takes_the_lower_index_among_equals() -> None:
    probs = np.array([0.1, 0.3, 0.3, 0.2, 0.05, 0.05], np.float32)
    assert top_k_classes(probs, 1) == [1]
    assert top_k_classes(probs, 5) == [1, 2, 3, 0, 4]
    assert top_k_classes(probs[:2], 5) == [1, 0]


def test_threshold_index_finds_the_nearest() -> None:
    assert [threshold_index(t) for t in (0.0, 0.4994, 0.4996, 0.999, 1.0)] == [0, 499, 500, 999, 999]


def test_quick_curve_is_the_protocol_at_fewer_thresholds() -> None:
    truth, size = [(60, 27, 385, 331)], (500, 335)
    found = quick_curve(blobs(2, 12), np.array(truth), size, thresholds=40)
    expected = slow_curve(blobs(2, 12), truth, size, multi_contour=False, thresholds=np.arange(40) / 40)
    np.testing.assert_array_equal(found, expected)


GT = (50, 50, 149, 149)  # 100 x 100 pixels


@pytest.mark.parametrize(
    ("box", "truth", "kind"),
    [
        pytest.param((55, 55, 145, 145), [GT], "correct", id="nearly it"),
        pytest.param((50, 50, 149, 99), [GT], "part", id="IoU of exactly .5 is not over .5"),
        pytest.param((60, 60, 99, 99), [GT], "part", id="LPE: inside the object"),
        pytest.param((30, 30, 199, 199), [GT], "more", id="LME: around the object"),
        pytest.param((100, 100, 199, 199), [GT], "wrong", id="overlaps by a quarter"),
        pytest.param((0, 0, 9, 9), [GT], "wrong", id="elsewhere"),
        pytest.param((0, 0, 0, 0), [GT], "wrong", id="the box of an empty mask"),
        pytest.param((0, 100, 223, 140), [GT, (160, 90, 219, 149)], "multi", id="parts of two objects"),
        pytest.param((50, 50, 70, 149), [GT, (160, 90, 219, 149)], "part", id="one of two objects"),
        pytest.param((45, 45, 149, 149), [GT, (60, 60, 100, 100)], "correct", id="correct is asked first"),
        pytest.param((60, 70, 139, 159), [(0, 70, 100, 159), (100, 70, 223, 159)], "multi", id="before part"),
    ],
)
def test_kind_of_error(box: tuple[int, ...], truth: list[tuple[int, ...]], kind: str) -> None:
    assert KINDS[int(error_kinds(np.array([box]), np.array(truth))[0])] == kind


def test_part_is_asked_before_more() -> None:
    """A box with more than half on the object that also covers .7 of it, at IoU .5: part, not more."""
    box, truth = np.array([(0, 0, 139, 99)]), np.array([(30, 0, 139, 139)])
    inter, area, truth_area = 110 * 100, 140 * 100, 110 * 140
    assert inter / (area + truth_area - inter) > 0.5  # so shift it until it is not
    box = np.array([(0, 0, 179, 99)])
    inter, area = 110 * 100, 180 * 100
    assert inter / (area + truth_area - inter) < 0.5
    assert inter / area > 0.5
    assert inter / truth_area >= 0.7
    assert KINDS[int(error_kinds(box, truth)[0])] == "part"


def test_error_shares_at_a_threshold_and_at_each_images_best() -> None:
    score_map = np.zeros((224, 224))
    score_map[20:200, 20:200] = 0.3  # low thresholds: more than the object
    score_map[50:150, 50:150] = 0.6  # middle: the object
    score_map[90:110, 90:110] = 1.0  # high: a part of it
    boxes = boxes_per_threshold(score_map, THRESHOLDS, multi_contour=False)
    known, by_class = ErrorCounts(by_class=False), ErrorCounts(by_class=True)
    for counts in (known, by_class):
        counts.add(boxes, np.array([GT]), class_right=True)
        counts.add(boxes, np.array([GT]), class_right=False)
    assert [known.at(i)["more"] for i in (100, 500, 900)] == [100.0, 0.0, 0.0]
    assert [known.at(i)["correct"] for i in (100, 500, 900)] == [0.0, 100.0, 0.0]
    assert [known.at(i)["part"] for i in (100, 500, 900)] == [0.0, 0.0, 100.0]
    assert known.oracle()["correct"] == 100.0
    assert by_class.at(900) == {**dict.fromkeys(KINDS, 0.0), "class": 50.0, "part": 50.0}
    assert by_class.oracle() == {**dict.fromkeys(KINDS, 0.0), "class": 50.0, "correct": 50.0}


def test_boxes_of_the_error_kinds_are_those_of_the_protocol() -> None:
    score_map = blobs(4, 12)
    boxes = boxes_per_threshold(score_map, THRESHOLDS, multi_contour=False).first()
    for i in (0, 250, 500, 750):
        assert [tuple(boxes[i])] == slow_boxes(score_map, float(THRESHOLDS[i]), multi_contour=False)


def test_pxap_of_a_case_worked_by_hand() -> None:
    """Object pixels at .9 and .3, another at .5: precision 1, 1/2, 2/3 as recall goes 1/2, 1/2, 1."""
    score_map, mask = np.zeros((224, 224)), np.full((224, 224), IGNORE, np.uint8)
    for x, (score, inside) in enumerate(((0.9, 1), (0.3, 1), (0.5, 0))):
        score_map[0, x], mask[0, x] = score, inside
    pixels = PixelPrecision()
    pixels.add(score_map, mask)
    assert pixels.percent() == pytest.approx(100 * (0.5 * 1 + 0.5 * 2 / 3))


def test_pxap_joins_all_images_before_it_orders_their_pixels() -> None:
    pixels = PixelPrecision()
    mask = np.full((224, 224), IGNORE, np.uint8)
    mask[0, 0], mask[0, 1] = 1, 0
    for right, wrong in ((1.0, 0.8), (0.6, 0.4)):
        score_map = np.zeros((224, 224))
        score_map[0, 0], score_map[0, 1] = right, wrong
        pixels.add(score_map, mask)
    assert pixels.percent() == pytest.approx(100 * (0.5 * 1 + 0.5 * 2 / 3))


def test_pxap_equals_the_sum_over_thresholds_on_random_pixels() -> None:
    rng = np.random.default_rng(3)
    mask = (rng.random((224, 224)) < 0.2).astype(np.uint8)
    score_map = np.clip(0.5 * rng.random((224, 224)) + 0.4 * mask, 0, 1)
    pixels = PixelPrecision()
    pixels.add(score_map, mask)
    area, before = 0.0, 0.0
    for tau in THRESHOLDS[::-1]:
        claimed = score_map >= tau
        if claimed.any():
            recall = (mask[claimed]).sum() / mask.sum()
            area += mask[claimed].mean() * (recall - before)
            before = recall
    assert pixels.percent() == pytest.approx(100 * area, abs=1e-9)


def test_pxap_without_any_object_is_an_error() -> None:
    pixels = PixelPrecision()
    assert pixels.empty
    pixels.add(np.zeros((224, 224)), np.zeros((224, 224), np.uint8))
    with pytest.raises(ValueError, match="at least one object pixel"):
        pixels.percent()
    with pytest.raises(ValueError, match="mask: expected values"):
        pixels.add(np.zeros((224, 224)), np.full((224, 224), 7, np.uint8))


def test_masks_are_united_and_only_what_they_leave_is_ignored(tmp_path: Path) -> None:
    def write(name: str, *areas: tuple[slice, slice]) -> Path:
        grey = np.zeros((448, 448), np.uint8)
        for area in areas:
            grey[area] = 255
        cv2.imwrite(str(tmp_path / name), grey)
        return tmp_path / name

    left, right = (slice(0, 100), slice(0, 100)), (slice(0, 100), slice(200, 300))
    masks = [write("a.png", left), write("b.png", right)]
    mask = read_mask(masks, write("ignore.png", (slice(0, 200), slice(0, 100))))
    assert [mask[10, 10], mask[10, 120], mask[80, 10], mask[200, 200]] == [1, 1, IGNORE, 0]
    assert (mask == 1).sum() == 2 * 50 * 50
    with pytest.raises(DatasetError, match=r"gone\.png: not a readable mask"):
        read_mask([tmp_path / "gone.png"], None)


@pytest.mark.parametrize(
    ("positive", "negative", "auc"),
    [
        pytest.param([0.9, 0.8], [0.1, 0.2], 1.0, id="apart"),
        pytest.param([0.5], [0.5, 0.5], 0.5, id="equal"),
        pytest.param([0.9, 0.3], [0.5], 0.5, id="one each way"),
        pytest.param([0.9, 0.5], [0.5, 0.1], 0.875, id="a tie is half"),
        pytest.param([0.9], [], None, id="no negatives"),
        pytest.param([], [0.1], None, id="no positives"),
    ],
)
def test_presence_auc(positive: list[float], negative: list[float], auc: float | None) -> None:
    assert presence_auc(positive, negative) == auc


def photo(name: str, *boxes: tuple[int, int, int, int]) -> Image:
    return Image(Path(name), name, 0, 448, 224, np.array(boxes, np.int32).reshape(-1, 4) if boxes else None)


def test_centre_box_takes_its_size_from_val_and_is_judged_elsewhere() -> None:
    wide = [photo(f"v{i}.jpg", (112, 84 + i, 335, 139 + i)) for i in range(3)]  # half as wide, a quarter high
    tall = photo("t.jpg", (200, 10, 240, 210))
    splits = {"train": (), "val": tuple(wide), "test": (wide[0], tall, photo("no boxes.jpg"))}
    dataset = Dataset(Path(), ("a",), None, splits)
    assert choose_center_box(wide) == (0.5, 0.25)
    figures = center_box_figures(dataset, "test")
    assert figures == {"center_box_acc": 50.0, "center_box_acc_v2": 50.0, "center_box_size": [0.5, 0.25]}


def test_centre_box_needs_boxes_on_val() -> None:
    splits = {"train": (), "val": (photo("v.jpg"),), "test": (photo("t.jpg", (1, 1, 9, 9)),)}
    assert center_box_figures(Dataset(Path(), ("a",), None, splits), "test") == {}


def test_true_boxes_are_scaled_before_errors_are_told() -> None:
    assert scale_boxes(np.array([(0, 0, 447, 223)]), (448, 224)).tolist() == [[0, 0, 223, 223]]
