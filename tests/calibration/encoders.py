"""Real networks with untrained weights, as their fp32 files, and frames for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx

from edge_runtime.preprocess import resize_frame

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto

SIDE = 96  # px, as the run of tests.export.runs says


def export_encoder(folder: Path, encoder: str, side: int = SIDE) -> ModelProto:
    """The fp32 file of an untrained U-Net, with its contract."""
    from export.fp32 import export_fp32  # torch: only where a network is needed
    from tests.export.runs import photos, write_run

    path = folder / "tower-fp32.onnx"
    export_fp32(write_run(folder / "run", encoder), path, photos(1), input_hw=(side, side))
    return onnx.load(path)


def frames(count: int = 4, side: int = SIDE) -> list[NDArray[np.uint8]]:
    """(1, side, side, 3) uint8 BGR each."""
    from tests.export.runs import photos

    return [resize_frame(photo, side, side)[None] for photo in photos(count)]
