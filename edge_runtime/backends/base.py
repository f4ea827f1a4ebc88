"""What runs a model file: frames in, one foreground map and class probabilities per frame out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from edge_runtime.contract import ModelContract


class LayerTime(NamedTuple):
    """Mean time of one layer, in ms, as the runtime itself tells it; `kind`: its operator."""

    name: str
    kind: str
    mean_ms: float


class Backend(Protocol):
    """One opened model. Used and closed by a single thread; opening has already tried it once."""

    @property
    def name(self) -> str:
        """What runs it, for people and records, e.g. `onnxruntime-cpu`."""
        ...

    @property
    def path(self) -> Path:
        """The model file."""
        ...

    @property
    def contract(self) -> ModelContract:
        """What the file says about itself."""
        ...

    def infer(self, frames_u8: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Run the network.

        Args:
            frames_u8: (N, H, W, 3) uint8 BGR at the contract's input size
                (`edge_runtime.preprocess.resize_frame`); any N >= 1.

        Returns:
            Foreground maps (N, H, W) float32 in [0, 1] and class probabilities (N, K) float32.
        """
        ...

    def close(self) -> None:
        """Release the model; `infer` must not be called afterwards."""
        ...


class Inspectable(Backend, Protocol):
    """A backend that tells more of itself, for `dips-edge profile`. None of it belongs into a flight."""

    threads: int | None  # CPU threads of one inference, None where the CPU does not run it

    def layer_times(self, frames_u8: NDArray[np.uint8], runs: int) -> tuple[str, list[LayerTime]]:
        """Who timed them, and each layer's mean over `runs` inferences, in the order of execution."""
        ...

    def parts_ns(self, frames_u8: NDArray[np.uint8]) -> dict[str, int]:
        """One inference done part by part, each waited for: `h2d`, `compute`, `d2h` in ns; empty on a CPU."""
        ...
