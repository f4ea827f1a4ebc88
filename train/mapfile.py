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


def reserve(path: Path, dtype: Any, shape: tuple[int, ...]) -> None:
    """Make a file of zeros if it is not there; its space is really taken, so that a full disk shows here.

    Raises:
        TrainingError: there is no room for it.
    """
    if has_size(path, dtype, shape):
        return
    size = _bytes(dtype, shape)
    try:
        with path.open("wb") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise TrainingError(
            f"{path}: no room for its {size / 1e6:.0f} MB ({error.strerror}); make some and --resume"
        ) from error


def open_map(
    path: Path, dtype: Any, shape: tuple[int, ...], mode: Literal["r", "r+"] = "r+"
) -> np.memmap[Any, Any]:
    """Map a file that is there.

    Raises:
        TrainingError: it is not there, or smaller.
    """
    try:
        return np.memmap(path, dtype, mode, shape=shape)
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path}: cannot be mapped ({error}); go on with --resume") from error


def _bytes(dtype: Any, shape: tuple[int, ...]) -> int:
    return int(np.prod(shape)) * int(np.dtype(dtype).itemsize)
