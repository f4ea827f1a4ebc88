"""Weights of a convolution as int8, rounded so that the errors of a kernel cancel.

Plain rounding leaves each kernel's errors with a sum, and an activation that changes slowly from pixel to
pixel multiplies that sum. A few values rounded the other way bring it near 0, first per kernel, then per
output channel: C. Guo et al., "SQuant: On-the-Fly Data-Free Quantization via Diagonal Hessian Approximation",
ICLR 2022, sections 3.2-3.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST = 127  # symmetric int8; weights leave -128 unused


def quantize_weight(
    weight: NDArray[np.float32], least_scale: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric int8 with one scale per output channel.

    Args:
        weight: (O, I, ...) float32.
        least_scale: (O,) smallest scale allowed; None allows any.

    Returns:
        (O, I, ...) int8 in [-127, 127] and (O,) float32 scales > 0 with weight ~ int8 * scale: no value is
        off by more than one step, hardly any by more than half a step.
    """
    largest = np.abs(weight).reshape(len(weight), -1).max(axis=1, initial=0.0)
    scale = (largest / LARGEST).astype(np.float32)
    if least_scale is not None:
        scale = np.maximum(scale, least_scale)
    scale[scale == 0] = 1.0
    wanted = weight.reshape(*weight.shape[:2], -1).astype(np.float64) / scale[:, None, None]
    rounded = balance(wanted)
    return np.clip(rounded, -LARGEST, LARGEST).astype(np.int8).reshape(weight.shape), scale


def balance(wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round to whole numbers with the sum of errors at most 1/2 over each last axis and over each channel.

    Args:
        wanted: (O, I, K) values in steps.
    """
    error = np.rint(wanted) - wanted
    error -= flips(error)  # per kernel: (O, I, K)
    of_kernel = error.sum(axis=2)
    chosen = flips(of_kernel)  # per output channel: which kernels shall change by one step, (O, I)
    tap = (error * chosen[..., None]).argmax(axis=2, keepdims=True)
    change = np.zeros_like(error)
    np.put_along_axis(change, tap, chosen[..., None], axis=2)
    return np.asarray(np.rint(wanted + error - change))


def flips(error: NDArray[np.float64]) -> NDArray[np.float64]:
    """What to take off, -1, 0 or 1 each, so that errors add up to at most 1/2 along the last axis.

    The values with the largest errors of the sum's sign change, since that costs least.
    """
    total = error.sum(axis=-1, keepdims=True)
    sign = np.sign(total)
    order = np.argsort(-error * sign, axis=-1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(error.shape[-1]), order.shape), axis=-1)
    return np.where(rank < np.rint(np.abs(total)), sign, 0.0)
