"""Where results go: what a sink is handed per frame, and the contract it keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_runtime.circumstances import Circumstances
    from edge_runtime.frames import Frame
    from edge_runtime.records import Record


@dataclass(frozen=True)
class Result:
    """One processed frame; shared by all sinks, so none of them writes into it.

    `score_map`: (h, w) float32 in [0, 1] at the network's size, over the whole frame.
    `circumstances`: what else decided the record.
    """

    frame: Frame
    score_map: NDArray[np.float32]
    record: Record
    circumstances: Circumstances


class Sink(Protocol):
    """One opened output, made by `open_sink` as `Kind(target, force=..., context=...)`.

    Opening has checked that it can be written; one thread uses and closes it.
    """

    @property
    def name(self) -> str:
        """Its URI without credentials, for messages and the summary."""
        ...

    @property
    def capacity(self) -> int:
        """How many results may wait for it."""
        ...

    def start(self, header: Record) -> None:
        """Called once before the first result, also when none follows."""
        ...

    def write(self, result: Result) -> None:
        """Take one result.

        Raises:
            SinkError, OSError: it cannot be written; the sink is closed and the run goes on without it.
        """
        ...

    def close(self) -> None:
        """Finish what was begun, so that a file is whole. Raises as `write`."""
        ...
