"""Do two forms of one network say the same? The one comparison every export goes through.

frames ──▶ reference(frames), candidate(frames) ──▶ largest and mean difference ──▶ Parity, or ModelError
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from edge_runtime.errors import ModelError
from train.localizer import foreground

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from train.localizer import Localizer

# (N, H, W, 3) uint8 BGR ──▶ maps (N, H, W) and class probabilities (N, K), float32: `Backend.infer`
Infer = Callable[["NDArray[np.uint8]"], "tuple[NDArray[np.float32], NDArray[np.float32]]"]


@dataclass(frozen=True)
class Parity:
    """Absolute differences of probabilities over all frames, in [0, 1]."""

    frames: int
    map_max: float
    map_mean: float
    class_max: float


def check_parity(
    reference: Infer, candidate: Infer, frames: Sequence[NDArray[np.uint8]], tolerance: float
) -> Parity:
    """Run both on the same frames, one at a time.

    Args:
        frames: (H, W, 3) uint8 BGR each, at the network's input size.
        tolerance: largest allowed difference of any map pixel or class probability.

    Raises:
        ModelError: a difference above the tolerance, or a value that is not finite.
    """
    assert len(frames) > 0
    map_max = class_max = total = 0.0
    for number, frame in enumerate(frames):
        (map_a, class_a), (map_b, class_b) = reference(frame[None]), candidate(frame[None])
        difference = np.abs(map_a - map_b)
        worst_map, worst_class = float(difference.max()), float(np.abs(class_a - class_b).max())
        if not max(worst_map, worst_class) <= tolerance:  # also true for NaN
            raise ModelError(
                f"the exported graph differs from the trained network on frame {number}: map by "
                f"{worst_map:.1e}, class by {worst_class:.1e}, expected at most {tolerance:.0e}; "
                "nothing was written, please report this encoder"
            )
        map_max, class_max = max(map_max, worst_map), max(class_max, worst_class)
        total += float(difference.mean())
    return Parity(len(frames), map_max, total / len(frames), class_max)


def torch_reference(localizer: Localizer) -> Infer:
    """The trained network as training and evaluation run it, with its own normalisation outside."""
    mean = torch.tensor(localizer.mean).reshape(1, 3, 1, 1)
    std = torch.tensor(localizer.std).reshape(1, 3, 1, 1)

    def infer(frames_u8: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        rgb = torch.from_numpy(frames_u8[..., ::-1].copy()).permute(0, 3, 1, 2).float() / 255.0
        with torch.inference_mode():
            map_logits, class_logits = localizer((rgb - mean) / std)
            maps, probs = foreground(map_logits), torch.softmax(class_logits.float(), 1)
        return np.asarray(maps, np.float32), np.asarray(probs, np.float32)

    return infer
