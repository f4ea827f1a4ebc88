"""Weights as int8: one scale per output channel, and errors that cancel within a kernel."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.weights import balance, flips, quantize_weight
from tests.calibration.graphs import weight


def test_scales_are_those_of_each_output_channel() -> None:
    w = weight(4, 3) * np.array([1, 10, 0, 0.01], np.float32).reshape(-1, 1, 1, 1)
    values, scale = quantize_weight(w)
    assert (values.dtype, scale.dtype, values.shape, scale.shape) == (np.int8, np.float32, w.shape, (4,))
    largest = np.abs(w).reshape(4, -1).max(1)
    assert np.allclose(scale, np.where(largest > 0, largest / 127, 1))
    assert np.abs(values).reshape(4, -1).max(1).tolist() == [127, 127, 0, 127]
    assert np.all(np.abs(values * scale.reshape(-1, 1, 1, 1) - w) <= 1.001 * scale.reshape(-1, 1, 1, 1))


def test_a_scale_is_never_smaller_than_asked() -> None:
    least = np.array([0, 1, 0, 0], np.float32)
    values, scale = quantize_weight(weight(4, 3), least)
    assert scale[1] == 1
    assert np.abs(values[1]).max() <= 1


@pytest.mark.parametrize("shape", [(32, 1, 9), (16, 24, 9), (64, 128, 1), (1, 1, 1)])
def test_errors_cancel_per_kernel_and_per_channel(shape: tuple[int, int, int]) -> None:
    wanted = np.random.default_rng(2).normal(0, 40, shape)
    rounded = balance(wanted)
    error = rounded - wanted
    assert np.array_equal(rounded, np.rint(rounded))
    assert np.abs(error).max() <= 1
    assert np.abs(error.sum(axis=(1, 2))).max() <= 0.5 + 1e-9
    assert np.abs(error.sum(axis=2)).max() <= 1.5 + 1e-9  # one step more where the channel asked for it


def test_a_smooth_picture_comes_out_of_a_depthwise_kernel_nearly_unchanged() -> None:
    """Plain rounding is off by its sum of errors; balanced rounding is several times nearer."""
    wanted = np.random.default_rng(3).normal(0, 40, (500, 1, 9))
    plain, balanced = (np.abs((r - wanted).sum(axis=2)).mean() for r in (np.rint(wanted), balance(wanted)))
    assert balanced < 0.4 * plain


def test_flips_take_the_largest_errors_of_the_sums_sign() -> None:
    error = np.array([0.4, -0.2, 0.45, 0.1, 0.3, 0.2])  # sum 1.25: one flip
    assert flips(error).tolist() == [0, 0, 1, 0, 0, 0]
    assert flips(-error).tolist() == [0, 0, -1, 0, 0, 0]
    assert flips(np.array([0.3, -0.3])).tolist() == [0, 0]
