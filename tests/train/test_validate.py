"""The look at val after each epoch: against boxes, against proposals, and with photos missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import torch

from train.data.types import Image
from train.localizer import Localizer, build_localizer
from train.proposals import Proposal
from train.validate import glance, judge_predictions, predict_maps

from .photos import write_photo
from .tiny import tiny_config

if TYPE_CHECKING:
    from pathlib import Path

SIDE, BACKGROUND, THING = 64, 0, 1
BOX = (16, 8, 48, 40)  # px of 64 x 64
PLACE = tuple(v / SIDE for v in BOX)
ELSEWHERE = (0.75, 0.75, 1.0, 1.0)


class _Known(Localizer):
    """Warm at BOX on bright photos, cold on dark ones; the class follows."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        bright = (x.mean((1, 2, 3)) > 0).float()
        fg = torch.full((len(x), SIDE, SIDE), -4.0)
        fg[:, BOX[1] : BOX[3], BOX[0] : BOX[2]] += 8.0 * bright[:, None, None]
        return torch.stack([torch.zeros_like(fg), fg], 1), torch.stack([1 - bright, bright], 1)


@pytest.fixture(scope="module")
def model() -> Localizer:
    return _Known(tiny_config().localizer, 2)


def _image(folder: Path, name: str, label: int, boxes: object = ()) -> Image:
    path = write_photo(folder / f"{name}.png", width=SIDE, height=SIDE)
    level = 255 if label == THING else 0
    cv2.imwrite(str(path), np.full((SIDE, SIDE, 3), level, np.uint8))
    known = None if boxes is None else np.array(boxes, np.int32).reshape(-1, 4)
    return Image(path, name, label, SIDE, SIDE, known)


def _proposal(box: tuple[float, ...]) -> list[Proposal]:
    return [Proposal((box[0], box[1], box[2], box[3]), 0, 0.5, 1.0)]


def test_boxes_proposals_class_and_separation_are_judged(tmp_path: Path, model: Localizer) -> None:
    images = [
        _image(tmp_path, "a", THING, [BOX]),
        _image(tmp_path, "b", THING, [BOX]),
        _image(tmp_path, "c", THING, [(40, 40, 60, 60)]),
        _image(tmp_path, "d", BACKGROUND),
    ]
    proposals = [_proposal(PLACE), _proposal(ELSEWHERE), [], []]
    seen = glance(model, images, proposals, BACKGROUND, SIDE, 1)
    assert seen.boxes == pytest.approx(200 / 3)
    assert seen.steady == pytest.approx(200 / 3)
    assert seen.agreement == pytest.approx(50)
    assert seen.class_acc == 100
    assert seen.separation == 1


def test_a_map_that_is_right_at_few_thresholds_alone_is_not_steady(tmp_path: Path) -> None:
    images = [_image(tmp_path, "a", THING, [BOX]), _image(tmp_path, "b", THING, [BOX])]
    around = np.full((SIDE, SIDE), 0.5, np.float32)  # warm everywhere, hardly warmer in the box
    around[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 0.54  # 2 of 40 shares of the maximum tell them apart
    probs = np.array([0.0, 1.0], np.float32)
    seen = judge_predictions([(i, around, probs) for i in range(2)], images, None, BACKGROUND)
    assert seen.boxes == pytest.approx(100)
    assert seen.steady == pytest.approx(100 * 2 / 9)


def test_without_boxes_proposals_are_all_there_is(tmp_path: Path, model: Localizer) -> None:
    images = [_image(tmp_path, "a", THING, None), _image(tmp_path, "b", BACKGROUND, None)]
    seen = glance(model, images, [_proposal(PLACE), []], BACKGROUND, SIDE, 1)
    assert (seen.boxes, seen.steady) == (None, None)
    assert seen.agreement == 100


def test_without_negatives_there_is_no_separation(tmp_path: Path, model: Localizer) -> None:
    seen = glance(model, [_image(tmp_path, "a", THING, [BOX])], [[]], None, SIDE, 1)
    assert (seen.separation, seen.agreement, seen.boxes) == (None, None, pytest.approx(100))


def test_photos_that_cannot_be_read_do_not_count(tmp_path: Path, model: Localizer) -> None:
    images = [_image(tmp_path, "a", THING, [BOX]), _image(tmp_path, "b", THING, [BOX])]
    images[0].path.write_bytes(b"nothing")
    assert [i for i, _, _ in predict_maps(model.eval(), images, SIDE, 1)] == [1]
    assert glance(model, images, [[], []], None, SIDE, 1).boxes == 100
    images[1].path.unlink()
    nothing = glance(model, images, [[], []], None, SIDE, 1)
    assert (nothing.boxes, nothing.agreement, nothing.class_acc) == (None, None, 0.0)


def test_a_look_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    model = build_localizer(tiny_config().localizer, 2).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    glance(model, [_image(tmp_path, "a", THING, [BOX])], [[]], None, SIDE, 1)
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_maps_are_probabilities_at_the_asked_side(tmp_path: Path) -> None:
    model = build_localizer(tiny_config().localizer, 2).eval()
    images = [_image(tmp_path, str(k), THING, [BOX]) for k in range(10)]  # more than one batch
    found = list(predict_maps(model, images, 96, 2))
    assert [i for i, _, _ in found] == list(range(10))
    for _, score_map, class_probs in found:
        assert score_map.shape == (96, 96)
        assert score_map.dtype == np.float32
        assert 0 <= score_map.min() <= score_map.max() <= 1
        assert class_probs.sum() == pytest.approx(1, abs=1e-5)
