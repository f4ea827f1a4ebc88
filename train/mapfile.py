"""Arrays in files of their own, mapped into memory: larger than memory, and there after a kill."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edge_runtime.errors import TrainingError

if TYPE_CHECKING:
    from pathlib import Path


def has_size(path: Path, dtype: Any, shape: tuple[int, ...]) -> bool:
    """Whether the file is there and as large as that array."""
    return path.exists() and path.stat().st_size == _bytes(dtype, shape)


def open_map(
    path: Path, dtype: Any, shape: tuple[int, ...], mode: Literal["r", "r+"] = "r+"
) -> np.memmap[Any, Any]:
    """Map a file, made of zeros if it is not there; its space is reserved, so that a full disk shows here.

    Raises:
        TrainingError: there is no room for it.
    """
    if not has_size(path, dtype, shape):
        size = _bytes(dtype, shape)
        try:
            with path.open("wb") as file:
                file.truncate(size)
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise TrainingError(
                f"{path}: no room for its {size / 1e6:.0f} MB ({error.strerror}); make some and --resume"
            ) from error
    return np.memmap(path, dtype, mode, shape=shape)


def _bytes(dtype: Any, shape: tuple[int, ...]) -> int:
    return int(np.prod(shape)) * int(np.dtype(dtype).itemsize)
