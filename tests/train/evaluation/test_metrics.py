"""The localization protocol, trap by trap, and its equality with the literal one-pass-per-threshold form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from tests.train.evaluation.slow_protocol import blobs, kinds_of_maps, slow_boxes, slow_curve
from train.evaluation.contours import all_contours, largest_contours
from train.evaluation.metrics import THRESHOLDS, best_iou_per_threshold, boxes_per_threshold, scale_boxes

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZE = (500, 335)
TRUTH = [(60, 27, 385, 331), (10, 200, 90, 300)]
FEW = np.array([0.05, 0.333, 0.999])


def canvas(*rectangles: tuple[int, int, int, int], value: float = 1.0) -> NDArray[np.float64]:
    """A map that is `value` in the half-open rectangles x0, y0, x1, y1 and 0 elsewhere."""
    score_map = np.zeros((224, 224))
    for x0, y0, x1, y1 in rectangles:
        score_map[y0:y1, x0:x1] = value
    return score_map


def single(score_map: NDArray[np.floating], *truth: tuple[int, int, int, int]) -> NDArray[np.float64]:
    return best_iou_per_threshold(score_map, np.array(truth), (224, 224), multi_contour=False)


def box_at(score_map: NDArray[np.floating], tau: float) -> list[int]:
    return boxes_per_threshold(score_map, np.array([tau]), multi_contour=False).first()[0].tolist()


@pytest.mark.parametrize("multi_contour", [False, True], ids=["largest contour", "all contours"])
@pytest.mark.parametrize("kind", [k for k in kinds_of_maps(0) if k not in ("texture", "confident and noisy")])
def test_curve_equals_one_contour_pass_per_threshold(kind: str, multi_contour: bool) -> None:
    score_map = kinds_of_maps(1)[kind]
    taus = THRESHOLDS[::13]  # 77 of the thousand; the benchmark compares all of them
    expected = slow_curve(score_map, TRUTH, SIZE, multi_contour=multi_contour, thresholds=taus)
    found = best_iou_per_threshold(score_map, np.array(TRUTH), SIZE, multi_contour=multi_contour)
    assert found.dtype == np.float64
    assert found.shape == (1000,)
    np.testing.assert_array_equal(found[::13], expected)


@pytest.mark.parametrize("multi_contour", [False, True], ids=["largest contour", "all contours"])
def test_curve_is_equal_on_noise_with_thousands_of_contours(multi_contour: bool) -> None:
    rng = np.random.default_rng(0)
    for score_map in (rng.random((224, 224)), np.round(blobs(0, 1.0), 1)):
        found = boxes_per_threshold(score_map, FEW, multi_contour=multi_contour)
        expected = slow_curve(score_map, TRUTH, SIZE, multi_contour=multi_contour, thresholds=FEW)
        np.testing.assert_array_equal(found.best_iou(scale_boxes(np.array(TRUTH), SIZE)), expected)


@pytest.mark.parametrize("levels", [2, 3, 6, 40])
def test_contour_boxes_of_small_pictures_are_those_of_opencv(levels: int) -> None:
    """Every topology a few pixels can make: corners that touch, holes at the frame, islands in holes."""
    rng = np.random.default_rng(levels)
    for _ in range(60):
        height, width = rng.integers(1, 14, 2)
        grey = rng.integers(0, levels, (height, width)).astype(np.uint8)
        _, ranked = np.unique(grey, return_inverse=True)
        rank = ranked.reshape(grey.shape).astype(np.uint8)
        cuts = np.arange(int(rank.max()) + 1)
        every = all_contours(rank.astype(np.int64), rank)
        largest = largest_contours(rank.astype(np.int64), rank, cuts)
        for cut in cuts:
            mask = (rank >= cut).astype(np.uint8)
            contours, _ = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
            assert sorted(every.box[every.cut == cut].tolist()) == sorted(map(inclusive_box, contours))
            assert largest.box[cut].tolist() == inclusive_box(max(contours, key=cv2.contourArea))


def inclusive_box(contour: Any) -> list[int]:
    x, y, w, h = cv2.boundingRect(contour)
    return [x, y, x + w - 1, y + h - 1]


def test_thresholds_are_those_of_arange_not_of_decimal_literals() -> None:
    literals = np.array([float(f"0.{i:03d}") for i in range(1000)])
    assert (literals != THRESHOLDS).sum() == 144
    np.testing.assert_allclose(THRESHOLDS, literals, atol=1e-15)


def test_a_literal_threshold_would_cut_elsewhere() -> None:
    """0.009 * 1000 / 9: some products with the maximum are whole numbers only in one of the two forms."""
    literals = np.array([float(f"0.{i:03d}") for i in range(1000)])
    differing = [
        (m, i)
        for m in range(1, 256)
        for i in np.flatnonzero((THRESHOLDS * m).astype(int) != (literals * m).astype(int))
    ]
    assert differing, "no maximum tells the two apart: this trap would be void"
    maximum, i = differing[0]
    score_map = np.zeros((224, 224))
    integer = int(THRESHOLDS[i] * maximum), int(literals[i] * maximum)
    score_map[50:90, 50:90] = (max(integer) + 0.5) / 255  # above one of the integers only
    score_map[60:80, 60:80] = (maximum + 0.5) / 255
    expected = slow_curve(score_map, [(50, 50, 90, 90)], (224, 224), multi_contour=False)[i]
    assert single(score_map, (50, 50, 90, 90))[i] == expected
    assert (expected == 1.0) == (integer[0] < max(integer))


def test_a_box_that_exactly_encloses_a_20_by_10_truth_scores_200_of_231() -> None:
    curve = single(canvas((100, 50, 120, 60)), (100, 50, 119, 59))
    np.testing.assert_allclose(curve, 200 / 231, rtol=0, atol=1e-15)
    assert round(float(curve[0]), 4) == 0.8658


@pytest.mark.parametrize(
    ("score_map", "expected"),
    [
        pytest.param(canvas(), [0, 0, 0, 0], id="zero map: a box of one pixel in the corner"),
        pytest.param(np.full((224, 224), 0.4), [0, 0, 223, 223], id="constant map: everything"),
        pytest.param(np.full((224, 224), 0.0039), [0, 0, 0, 0], id="255 * 0.0039 truncates to zero"),
        pytest.param(canvas((10, 20, 30, 60)), [10, 20, 30, 60], id="exclusive end kept as end"),
        pytest.param(canvas((200, 190, 224, 224)), [200, 190, 223, 223], id="but clamped at the border"),
        pytest.param(canvas((200, 190, 223, 223)), [200, 190, 223, 223], id="one short of it looks the same"),
    ],
)
def test_box_of_the_largest_contour(score_map: NDArray[np.float64], expected: list[int]) -> None:
    for tau in (0.0, 0.5, 0.999):
        assert box_at(score_map, tau) == expected
        assert slow_boxes(score_map, tau, multi_contour=False) == [tuple(expected)]


def test_scores_are_truncated_to_bytes_not_rounded() -> None:
    score_map = canvas((0, 0, 224, 224), value=100.9 / 255)
    score_map[50:60, 50:60] = 101.0001 / 255  # one above by truncation, equal by rounding
    assert box_at(score_map, 0.999) == [50, 50, 60, 60]  # int(0.999 * 101) = 100 < 101


def test_the_threshold_is_strict() -> None:
    score_map = canvas((20, 20, 100, 100), value=50.5 / 255)
    score_map[40:60, 40:60] = 100.5 / 255
    assert box_at(score_map, 0.499) == [20, 20, 100, 100]  # int(49.9) = 49 < 50
    assert box_at(score_map, 0.5) == [40, 40, 60, 60]  # 50 is not above 50


@pytest.mark.parametrize(
    ("score_map", "expected"),
    [
        pytest.param(
            canvas((5, 5, 205, 6), (50, 100, 52, 102)), [50, 100, 52, 102], id="a line encloses no area"
        ),
        pytest.param(
            canvas((5, 5, 45, 6), (100, 9, 101, 209)), None, id="only lines: all areas 0, the first listed"
        ),
        pytest.param(
            canvas((20, 20, 60, 60), (120, 20, 160, 60), (20, 140, 60, 180)), None, id="equal squares"
        ),
        pytest.param(canvas((3, 3, 4, 4), (200, 200, 201, 201)), None, id="two single pixels"),
    ],
)
def test_ties_and_areas_of_zero_go_as_opencv_lists_contours(
    score_map: NDArray[np.float64], expected: list[int] | None
) -> None:
    reference = list(slow_boxes(score_map, 0.5, multi_contour=False)[0])
    assert box_at(score_map, 0.5) == reference
    assert expected is None or reference == expected


def test_holes_give_boxes_only_when_all_contours_count() -> None:
    frame = canvas((20, 20, 200, 200))
    frame[60:100, 80:140] = 0  # its contour runs along x 79..140, y 59..100
    truth = np.array([(79, 59, 141, 101)])
    every = best_iou_per_threshold(frame, truth, (224, 224), multi_contour=True)
    largest = best_iou_per_threshold(frame, truth, (224, 224), multi_contour=False)
    np.testing.assert_array_equal(every, 1.0)
    np.testing.assert_allclose(largest, 63 * 43 / 181**2, rtol=1e-12)


def test_an_island_in_a_hole_counts_among_all_contours() -> None:
    nested = canvas((20, 20, 200, 200))
    nested[60:160, 60:160] = 0
    nested[100:120, 90:120] = 1
    curve = best_iou_per_threshold(nested, np.array([(90, 100, 120, 120)]), (224, 224), multi_contour=True)
    np.testing.assert_array_equal(curve, 1.0)


def test_the_best_of_several_true_boxes_counts() -> None:
    found = single(canvas((100, 50, 120, 60)), (0, 0, 20, 20), (100, 50, 120, 60))
    np.testing.assert_array_equal(found, 1.0)


def test_truth_is_scaled_per_axis_and_truncated() -> None:
    """The first entry of CUB's test split: 500 x 335."""
    assert scale_boxes(np.array([(60, 27, 385, 331)]), (500, 335)).tolist() == [[26, 18, 172, 221]]


def test_truth_scaling_agrees_with_float_arithmetic() -> None:
    rng = np.random.default_rng(0)
    for _ in range(2000):
        width, height = (int(v) for v in rng.integers(1, 6000, 2))
        x0, x1 = np.sort(rng.integers(0, width, 2))
        y0, y1 = np.sort(rng.integers(0, height, 2))
        expected = [int(v * 224.0 / s) for v, s in zip((x0, y0, x1, y1), (width, height) * 2, strict=True)]
        assert scale_boxes(np.array([(x0, y0, x1, y1)]), (width, height)).tolist() == [expected]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.int64])
def test_small_integer_types_do_not_overflow(dtype: type) -> None:
    truth = np.array([(60, 27, 250, 240)], dtype=dtype)
    assert scale_boxes(truth, (500, 335)).tolist() == [[26, 18, 112, 160]]


def test_float32_and_float64_maps_of_equal_values_agree() -> None:
    score_map = blobs(3, 14).astype(np.float32)
    for multi in (False, True):
        a, b = (
            best_iou_per_threshold(m, np.array(TRUTH), SIZE, multi_contour=multi)
            for m in (score_map, score_map.astype(np.float64))
        )
        np.testing.assert_array_equal(a, b)


OK_MAP, OK_BOX = np.zeros((224, 224)), np.array([[1, 2, 3, 4]])


@pytest.mark.parametrize(
    ("score_map", "boxes", "size", "message"),
    [
        pytest.param(
            np.zeros((448, 448)), OK_BOX, SIZE, r"float \(224, 224\), got float64 \(448, 448\)", id="448"
        ),
        pytest.param(np.zeros((1, 224, 224)), OK_BOX, SIZE, r"got float64 \(1, 224, 224\)", id="3-D map"),
        pytest.param(OK_MAP.astype(np.uint8), OK_BOX, SIZE, "got uint8", id="byte map"),
        pytest.param(OK_MAP + np.nan, OK_BOX, SIZE, "finite values in .0, 1., got nan", id="NaN"),
        pytest.param(OK_MAP + np.inf, OK_BOX, SIZE, "got inf to inf", id="infinite"),
        pytest.param(OK_MAP - 0.01, OK_BOX, SIZE, "got -0.01 to", id="below 0"),
        pytest.param((OK_MAP + 1.0000001).astype(np.float32), OK_BOX, SIZE, "got 1", id="just above 1"),
        pytest.param(OK_MAP, np.zeros((0, 4), int), SIZE, r"got int64 \(0, 4\)", id="no true box"),
        pytest.param(OK_MAP, np.array([1, 2, 3, 4]), SIZE, r"got int64 \(4,\)", id="one flat box"),
        pytest.param(OK_MAP, OK_BOX.astype(float), SIZE, "got float64", id="float boxes"),
        pytest.param(OK_MAP, np.array([[9, 2, 3, 4]]), SIZE, r"x0 <= x1.*got \[9, 2, 3, 4\]", id="x1 < x0"),
        pytest.param(OK_MAP, np.array([[1, 8, 3, 4]]), SIZE, r"y0 <= y1.*got \[1, 8, 3, 4\]", id="y1 < y0"),
        pytest.param(OK_MAP, np.array([[-1, 2, 3, 4]]), SIZE, r"0 <= x0.*got \[-1, 2, 3, 4\]", id="negative"),
        pytest.param(OK_MAP, OK_BOX, (0, 100), r"positive .*got \(0, 100\)", id="no width"),
    ],
)
def test_bad_input_says_what_was_expected_and_what_came(
    score_map: NDArray[Any], boxes: NDArray[Any], size: tuple[int, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        best_iou_per_threshold(score_map, boxes, size, multi_contour=False)
