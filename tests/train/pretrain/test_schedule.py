"""What changes from step to step begins, peaks and ends where it should."""

from __future__ import annotations

import pytest

from train.pretrain.config import PretrainConfig
from train.pretrain.schedule import cosine, pace_at
from train.settings import override

CONFIG = override(PretrainConfig(), {"optim.lr": 5e-4, "optim.batch_size": 512})
STEPS = 1000


def test_the_learning_rate_rises_linearly_scaled_by_the_batch_and_falls_to_its_end() -> None:
    rates = [pace_at(CONFIG, step, STEPS).lr for step in range(STEPS)]
    assert rates[0] == pytest.approx(1e-3 / 100)  # the first of 100 steps of warm-up
    assert rates[49] == pytest.approx(1e-3 / 2)
    assert max(rates) == rates[99] == rates[100] == pytest.approx(1e-3)
    assert rates[550] == pytest.approx(1e-3 / 2, rel=0.01)  # half-way down
    assert rates[-1] == pytest.approx(1e-6, abs=1e-8)
    assert rates[100:] == sorted(rates[100:], reverse=True)


def test_the_others_go_from_their_start_to_their_end() -> None:
    first, middle, last = (pace_at(CONFIG, step, STEPS) for step in (0, 500, STEPS - 1))
    assert (first.weight_decay, middle.weight_decay) == pytest.approx((0.04, 0.22))
    assert last.weight_decay == pytest.approx(0.4, abs=1e-4)
    assert (first.momentum, middle.momentum) == pytest.approx((0.996, 0.998))
    assert last.momentum == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 0.04), (150, 0.055), (300, 0.07), (301, 0.07), (999, 0.07)]
)
def test_the_teachers_temperature_warms_up_and_stays(step: int, expected: float) -> None:
    assert pace_at(CONFIG, step, STEPS).teacher_temp == pytest.approx(expected)


def test_without_warm_up_everything_is_there_at_once() -> None:
    config = override(CONFIG, {"optim.warmup": 0, "loss.teacher_warmup": 0})
    pace = pace_at(config, 0, 1)
    assert (pace.lr, pace.teacher_temp) == pytest.approx((1e-3, 0.07))


def test_a_cosine_is_flat_at_both_ends() -> None:
    assert [cosine(1.0, 3.0, done) for done in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 2.0, 3.0])
    assert cosine(1.0, 3.0, 0.01) < 1.001
