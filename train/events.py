"""TensorBoard's event files of a run, written by one process."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from edge_runtime.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def open_events(folder: Path, first_step: int) -> Iterator[Any]:
    """A SummaryWriter; what an earlier session wrote at `first_step` or later no longer counts.

    Raises:
        TrainingError: the folder cannot be written.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from torch.utils.tensorboard import SummaryWriter
    try:
        with SummaryWriter(str(folder), purge_step=first_step) as writer:
            yield writer
    except OSError as error:
        raise TrainingError(f"{folder}: cannot be written ({error}); make room and --resume") from error
