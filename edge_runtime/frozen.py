"""Notices a camera that keeps delivering the very same picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_runtime.frames import Frame

_STEP = 16  # one pixel in 256 is compared first; all of them only where these are equal


class FreezeDetector:
    """Compares each frame with the one before. Noise changes every picture of a camera that is alive."""

    def __init__(self) -> None:
        self._before: NDArray[np.uint8] | None = None
        self._sample: NDArray[np.uint8] | None = None
        self._since_ns = 0

    def frozen_ms(self, frame: Frame) -> float:
        """For how long the picture has been the same, by capture times; 0 when it differs in any pixel."""
        image = frame.image_bgr_u8
        sample = image[::_STEP, ::_STEP].copy()
        repeats = (
            self._before is not None
            and np.array_equal(sample, self._sample)  # type: ignore[arg-type]
            and np.array_equal(image, self._before)
        )
        self._before, self._sample = image, sample
        if not repeats:
            self._since_ns = frame.t_capture_ns
        return max(0.0, (frame.t_capture_ns - self._since_ns) / 1e6)
