"""What may fly: the gate that every lower precision passes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest

from calibration.agreement import Agreement, Answers
from edge_runtime.contract import ModelContract
from export.gate import Measured, judge, measure
from export.valset import ValSet
from train.data.types import Image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SAME = Agreement(200, 1.0, 1.0, 0, 0.0, 0.0, 0.0)
FP32 = Measured("fp32", "any", 100, 1.0, None, 200, 100, 90, 10, {})
CONTRACT = ModelContract(("background", "tower"), "background", 64, 64, 0.5, 0.5)


@pytest.mark.parametrize(
    ("changes", "max_drop", "refused"),
    [
        pytest.param({}, 1.0, "", id="the same"),
        pytest.param({"right": 89}, 1.0, "", id="one photo of a hundred at 1 point"),
        pytest.param({"right": 88}, 1.0, "from 90.0 to 88.0 % (2 of 100 photos, 1 allowed)", id="two photos"),
        pytest.param({"right": 88}, 2.0, "", id="two photos at 2 points"),
        pytest.param({"right": 89}, 0.0, "", id="one photo is always allowed"),
        pytest.param({"right": 88}, 0.0, "box accuracy fell", id="two photos never are"),
        pytest.param({"right": 95}, 1.0, "", id="better than fp32"),
        pytest.param(
            {"versus": dataclasses.replace(SAME, mean_iou=0.969)},
            1.0,
            "IoU with fp32 is 0.969",
            id="other boxes",
        ),
        pytest.param(
            {"versus": dataclasses.replace(SAME, mean_iou=float("nan"))},
            1.0,
            "IoU with fp32 is nan",
            id="nan",
        ),
        pytest.param({"presence_errors": 12}, 1.0, "", id="two photos of two hundred at 1 point"),
        pytest.param({"presence_errors": 13}, 1.0, "3 wrong presence decisions more", id="presence"),
        pytest.param(
            {"presence_errors": None, "versus": dataclasses.replace(SAME, presence_flips=3)},
            1.0,
            "3 presence decisions differ",
            id="presence without labels",
        ),
    ],
)
def test_a_file_that_localizes_worse_is_refused_with_the_figures(
    changes: dict[str, object], max_drop: float, refused: str
) -> None:
    candidate = dataclasses.replace(FP32, **{"precision": "int8", "versus": SAME, **changes})
    reasons = judge(FP32, candidate, max_drop)
    assert bool(reasons) == bool(refused)
    assert refused in "; ".join(reasons)


def square(x0: int, size: int = 20, level: float = 0.9) -> NDArray[np.float32]:
    score_map = np.full((64, 64), 0.01, np.float32)
    score_map[20 : 20 + size, x0 : x0 + size] = level
    return score_map


def answers(*maps: NDArray[np.float32]) -> Answers:
    return Answers(np.stack(maps), np.tile(np.float32([0.1, 0.9]), (len(maps), 1)))


def photo(path: Path, label: int, box: tuple[int, int, int, int] | None) -> Image:
    boxes = None if box is None else np.array([box], np.int32)
    return Image(path, str(label), label, 64, 64, boxes)


def test_figures_are_those_of_the_deployed_decoding(tmp_path: Path) -> None:
    tower = photo(tmp_path, 1, (10, 20, 29, 39))
    empty = photo(tmp_path, 0, None)
    frames = tuple(np.zeros((64, 64, 3), np.uint8) for _ in range(3))
    val = ValSet(frames, (tower, tower, empty), "val")
    fp32_answers = answers(square(10), square(10), square(10, level=0.02))
    fp32 = measure(CONTRACT, fp32_answers, val, reference=None, size=1, latency_ms=1.0)
    assert (fp32.right, fp32.localized, fp32.presence_errors, fp32.box_accuracy) == (2, 2, 0, 100.0)
    worse = answers(square(10), square(40), square(10))  # one box elsewhere, one false alarm
    measured = measure(CONTRACT, worse, val, reference=(CONTRACT, fp32_answers), size=1, latency_ms=1.0)
    assert (measured.right, measured.presence_errors, measured.box_accuracy) == (1, 1, 50.0)
    assert measured.versus is not None
    assert measured.versus.presence_flips == 1
    assert measured.versus.mean_iou == pytest.approx(1 / 3)  # same, elsewhere, only one sees


def test_frames_without_labels_are_judged_by_agreement_alone() -> None:
    val = ValSet((np.zeros((64, 64, 3), np.uint8),), None, "clip.mp4")
    same = answers(square(10))
    measured = measure(CONTRACT, same, val, reference=(CONTRACT, same), size=1, latency_ms=1.0)
    assert (measured.right, measured.presence_errors, measured.figures) == (None, None, {})
    assert judge(measured, measured, 1.0) == []
