"""The loss as the paper writes it, where its gradient goes, and the two collapses it shows."""

from __future__ import annotations

import math

import pytest
import torch

from train.pretrain.loss import agreement

PHOTOS, PROTOTYPES, VIEWS = 3, 7, 5


def _logits(views: int, seed: int) -> torch.Tensor:
    return torch.randn(views * PHOTOS, PROTOTYPES, generator=torch.Generator().manual_seed(seed))


def test_it_is_the_cross_entropy_over_all_pairs_of_different_crops() -> None:
    student, teacher, center = _logits(VIEWS, 0), _logits(2, 1), torch.linspace(-1, 1, PROTOTYPES)
    terms = []
    for t in range(2):
        for v in range(VIEWS):
            for n in range(PHOTOS):
                if t == v:
                    continue  # the very same crop
                said = torch.softmax((teacher[t * PHOTOS + n] - center) / 0.05, 0)
                guess = torch.log_softmax(student[v * PHOTOS + n] / 0.1, 0)
                terms.append(-(said * guess).sum())
    found = agreement(student, teacher, center, 0.1, 0.05)
    assert found.loss == pytest.approx(float(torch.stack(terms).mean()), rel=1e-5)
    torch.testing.assert_close(found.batch_center, teacher.mean(0))


def test_only_the_student_learns() -> None:
    student, teacher = _logits(VIEWS, 0).requires_grad_(), _logits(2, 1).requires_grad_()
    agreement(student, teacher, torch.zeros(PROTOTYPES), 0.1, 0.04).loss.backward()
    assert student.grad is not None
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


def test_large_crops_alone_are_two_views_compared_crosswise() -> None:
    teacher = _logits(2, 1)
    swapped = torch.cat([teacher[PHOTOS:], teacher[:PHOTOS]])
    center = torch.zeros(PROTOTYPES)
    agreeing = agreement(swapped, teacher, center, 0.1, 0.1).loss
    assert agreeing < agreement(teacher, teacher, center, 0.1, 0.1).loss


@pytest.mark.parametrize(
    ("teacher", "entropy", "used"),
    [
        pytest.param(torch.zeros(2 * PHOTOS, PROTOTYPES), 1.0, PROTOTYPES, id="it says nothing"),
        pytest.param(torch.eye(PROTOTYPES)[[2] * 2 * PHOTOS], 0.0, 1, id="it always says the same"),
        pytest.param(torch.eye(PROTOTYPES)[[0, 1, 2, 3, 4, 5]], 0.0, 6, id="sure, and of many kinds"),
    ],
)
def test_both_collapses_can_be_told(teacher: torch.Tensor, entropy: float, used: float) -> None:
    found = agreement(_logits(VIEWS, 0), teacher, torch.zeros(PROTOTYPES), 0.1, 0.01)
    assert float(found.entropy) == pytest.approx(entropy, abs=1e-4)
    assert float(found.used) == pytest.approx(used, rel=1e-3)


def test_the_centre_takes_away_what_all_photos_have_in_common() -> None:
    common = torch.linspace(0, 3, PROTOTYPES)
    same = agreement(_logits(VIEWS, 0), _logits(2, 1), torch.zeros(PROTOTYPES), 0.1, 0.04)
    shifted = agreement(_logits(VIEWS, 0), _logits(2, 1) + common, common, 0.1, 0.04)
    assert float(same.loss) == pytest.approx(float(shifted.loss), rel=1e-5)
    assert math.isfinite(float(same.loss))
