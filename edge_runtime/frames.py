"""The unit that flows from a source to the sinks: one image, its number, and when it was captured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_runtime.circumstances import Circumstances


@dataclass(frozen=True)
class Frame:
    """One captured image.

    `image_bgr_u8`: (H, W, 3) uint8 as OpenCV gives it; whoever holds a frame never writes into it.
    `index`: counts what the source captured from 0, strictly rising; a gap is a frame nobody got.
    `t_capture_ns`: monotonic clock (`time.monotonic_ns`), the moment the camera or decoder gave it.
    `name`: file name where the frame is a file of its own, else None.
    `jpeg`: the file it was decoded from, where the source got one.
    `circumstances`: of a frame that is replayed; None of any other.
    `decode_ns`: how long decoding took, None where the source cannot tell it from waiting.
    """

    image_bgr_u8: NDArray[np.uint8]
    index: int
    t_capture_ns: int
    name: str | None = None
    decode_ns: int | None = None
    jpeg: bytes | None = None
    circumstances: Circumstances | None = None
