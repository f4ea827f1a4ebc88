"""What `dips-edge profile --estimate BOARD` and `--all-boards` answer, as values.

model file ──read_model──▶ Model ──estimate(board, precision, fps)──▶ Estimate
                                └─all_boards(fps)──▶ an Estimate per board and precision
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_runtime.errors import ProfileError
from edge_runtime.onnxfile import read_contract
from edge_runtime.profiling.estimate.boards import BOARDS, find_board
from edge_runtime.profiling.estimate.graph import read_graph
from edge_runtime.profiling.estimate.layers import network_of
from edge_runtime.profiling.estimate.roofline import BYTES, PRECISIONS, Prediction, bytes_per_value, predict

if TYPE_CHECKING:
    from pathlib import Path

    from edge_runtime.profiling.estimate.boards import Board
    from edge_runtime.profiling.estimate.layers import Network

# Assumed, not measured: nothing of this project ran on a Jetson so far.
USABLE = 0.93  # of a module's memory; an Orin Nano 8GB shows 7,802,000 kB
SYSTEM_MB = 1500  # JetPack without a desktop
RUNTIME_MB = 800  # this process: Python, OpenCV, the CUDA context, TensorRT's libraries


@dataclass(frozen=True)
class Model:
    """A model file as an estimate sees it; `precision` is the file's own."""

    name: str
    precision: str
    input_hw: tuple[int, int]
    batch: int
    network: Network


@dataclass(frozen=True)
class Memory:
    """Need and supply, in MB (1e6 bytes); the GPU of a Jetson has no memory of its own."""

    weights_mb: float
    between_layers_mb: float
    runtime_mb: float
    system_mb: float
    usable_mb: float

    @property
    def needed_mb(self) -> float:
        """Everything together."""
        return self.weights_mb + self.between_layers_mb + self.runtime_mb + self.system_mb

    @property
    def fits(self) -> bool:
        """Whether it is there."""
        return self.needed_mb <= self.usable_mb


@dataclass(frozen=True)
class Estimate:
    """The answer for one board and precision.

    `prediction` is None where the board's peak at that precision is not known. `fps`: the wished frame
    rate, None where none was given. `notes`: what a reader must know, a sentence each.
    """

    model: Model
    board: Board
    precision: str
    prediction: Prediction | None
    memory: Memory
    fps: float | None
    notes: tuple[str, ...]

    def budget_used(self) -> tuple[float, float] | None:
        """Share of a frame's time at the wished rate that the network takes, low and high."""
        if self.fps is None or self.prediction is None:
            return None
        frame_ms = 1e3 * self.model.batch / self.fps
        return self.prediction.low_ms / frame_ms, self.prediction.high_ms / frame_ms

    def holds(self) -> str | None:
        """ "yes", "perhaps" or "no": whether the network alone keeps up with the wished rate."""
        used = self.budget_used()
        if used is None:
            return None
        low, high = used
        return "yes" if high <= 1 else "perhaps" if low <= 1 else "no"


def read_model(path: Path) -> Model:
    """The work of a model file.

    Raises:
        ModelError: unreadable, damaged, not ours, or of no fixed size.
    """
    contract = read_contract(path)
    size = (contract.input_height, contract.input_width)
    return Model(path.name, contract.precision, size, contract.batch, network_of(read_graph(path)))


def estimate(
    model: Model, board: Board | str, precision: str | None = None, fps: float | None = None
) -> Estimate:
    """What one inference would take on a board, and whether it fits.

    Args:
        board: one of `BOARDS`, or what a user typed.
        precision: None takes the file's own.
        fps: frames per second to keep up with.

    Raises:
        ProfileError: no such board or precision, or a rate that is none.
    """
    found = find_board(board) if isinstance(board, str) else board
    chosen = precision or model.precision
    if fps is not None and not 0 < fps < float("inf"):
        raise ProfileError(f"frame rate {fps:g}, expected a number above 0")
    prediction = predict(model.network, found, chosen)
    notes = tuple(_notes(model, found, chosen))
    return Estimate(model, found, chosen, prediction, _memory(model.network, found, chosen), fps, notes)


def all_boards(model: Model, fps: float | None = None) -> tuple[Estimate, ...]:
    """Every board at every precision, in the order of `BOARDS` and `PRECISIONS`."""
    return tuple(estimate(model, board, precision, fps) for board in BOARDS for precision in PRECISIONS)


def _memory(network: Network, board: Board, precision: str) -> Memory:
    return Memory(
        weights_mb=network.weights * BYTES[precision] / 1e6,
        between_layers_mb=network.peak_values * bytes_per_value(precision) / 1e6,
        runtime_mb=RUNTIME_MB,
        system_mb=SYSTEM_MB,
        usable_mb=board.memory_gb * 2**30 * USABLE / 1e6,
    )


def _notes(model: Model, board: Board, precision: str) -> list[str]:
    notes = [
        "network call only, at the highest power mode with clocks fixed: from camera to box takes more, "
        "often several times as much; `dips-edge profile` on the board measures it"
    ]
    if precision != model.precision:
        notes.append(
            f"the file is {model.precision}: {precision} needs its own file, "
            f"`dips-edge export RUN --precision {precision}`"
        )
    if precision == "int8" and not model.network.quantized:
        notes.append("as if every layer with weights became int8; an export may leave some in float")
    if board.peak(precision) is None:
        notes.append(f"no source gives the {precision} peak of this board: no estimate")
    if board.dla:
        accelerators = "DLA" if board.dla == 1 else f"{board.dla} DLAs"
        notes.append(f"the board's {accelerators} would run the fp16 file beside the GPU: not estimated")
    if not board.encoder:
        notes.append("no hardware video encoder: `--sink video:` encodes on the CPU")
    if board.unconfirmed:
        names = ", ".join(_WORDS[name] for name in board.unconfirmed)
        notes.append(f"derived or from memory, not confirmed for this board: {names}")
    return notes


_WORDS = {
    "bandwidth_gbs": "memory bandwidth",
    "modes": "power modes",
    "gpu_mhz": "GPU clock",
    "fp16_tflops": "FP16 peak",
    "int8_tops": "INT8 peak",
}
