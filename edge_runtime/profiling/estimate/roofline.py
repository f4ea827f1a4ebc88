"""The time of a network on a board: a roofline per layer, what a launch costs, how far to trust the sum.

Network + Board + precision ──predict──▶ Prediction(low..high ms, shares, a LayerTime per layer)

    time of a layer = max(FLOPs / (COMPUTE x peak), bytes / (BANDWIDTH x bandwidth)) + LAUNCH_CYCLES / clock

The six constants are fitted to 33 published latencies of three Orin boards (YOLO11 n to x in FP16 and INT8,
YOLOv8n in FP32, FP16, INT8; `python -m tests.bench.bench_estimate` shows data, fit, and what it says of a
board left out). They mean: a convolution reaches half of the tensor cores' peak, half of the memory's
bandwidth, and 23,000 clocks pass from one kernel to the next where neither is the limit (launch, ramp-up, the
tail of the last blocks). That cost per layer is why small networks reach so little of a board: 6 to 9 % of
FP16 peak at 6.5 GFLOP, 33 to 36 % at 195.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_runtime.errors import ProfileError

if TYPE_CHECKING:
    from edge_runtime.profiling.estimate.boards import Board
    from edge_runtime.profiling.estimate.layers import Layer, Network

PRECISIONS = ("fp32", "fp16", "int8")
BYTES = {"fp32": 4, "fp16": 2, "int8": 1}  # of a weight

# How far the truth may lie from what is expected, as a factor either way.
CHECKED = 1.4  # this very board: all residuals within 1.2, boards left out of the fit within 1.3
SAME_CHIP = 1.55  # another Orin, or fp32, of which there is one measurement
OTHER_CHIP = 2.0  # nothing was checked


@dataclass(frozen=True)
class Efficiency:
    """The fitted constants.

    Attributes:
        compute: share of the peak that a layer limited by it reaches, per precision.
        bandwidth: share of the memory's bandwidth.
        launch_cycles: GPU clocks per layer on top.
        int8_value_bytes: bytes moved per value between int8 layers; more than one, as an activation or an
            addition in between works on floats.
    """

    fp32: float = 0.76
    fp16: float = 0.505
    int8: float = 0.459
    bandwidth: float = 0.491
    launch_cycles: float = 23100.0
    int8_value_bytes: float = 1.28

    def compute(self, precision: str) -> float:
        """Share of the peak of one precision."""
        return {"fp32": self.fp32, "fp16": self.fp16, "int8": self.int8}[precision]


FITTED = Efficiency()


@dataclass(frozen=True)
class LayerTime:
    """One layer: the time its FLOPs take, that of its bytes, and the cost of its launch, in ms."""

    layer: Layer
    precision: str
    compute_ms: float
    bandwidth_ms: float
    launch_ms: float

    @property
    def ms(self) -> float:
        """Its share of an inference."""
        return max(self.compute_ms, self.bandwidth_ms) + self.launch_ms

    @property
    def bound(self) -> str:
        """ "compute", "bandwidth" or "launch": the largest of the three."""
        parts = {"compute": self.compute_ms, "bandwidth": self.bandwidth_ms, "launch": self.launch_ms}
        return max(parts, key=lambda part: parts[part])


@dataclass(frozen=True)
class Prediction:
    """One inference, batch of the file, at the board's highest clocks; the call of the network alone.

    Attributes:
        factor: `expected_ms` divided and multiplied by this is the range.
        basis: what the range was checked on: "this board", "other Orin" or "nothing".
    """

    board: Board
    precision: str
    layers: tuple[LayerTime, ...]
    factor: float
    basis: str

    @property
    def expected_ms(self) -> float:
        """Middle of the range, on a logarithmic scale."""
        return sum(layer.ms for layer in self.layers)

    @property
    def low_ms(self) -> float:
        """Lower end of the range."""
        return self.expected_ms / self.factor

    @property
    def high_ms(self) -> float:
        """Upper end of the range."""
        return self.expected_ms * self.factor

    def shares(self) -> dict[str, float]:
        """Of the time, in [0, 1], summing to 1: what layers spend on "compute", "bandwidth", "launch"."""
        spent = {"compute": 0.0, "bandwidth": 0.0, "launch": 0.0}
        for layer in self.layers:
            spent["launch"] += layer.launch_ms
            larger = "compute" if layer.compute_ms >= layer.bandwidth_ms else "bandwidth"
            spent[larger] += max(layer.compute_ms, layer.bandwidth_ms)
        return {part: ms / self.expected_ms for part, ms in spent.items()}


def predict(
    network: Network, board: Board, precision: str, efficiency: Efficiency = FITTED
) -> Prediction | None:
    """Time of one inference; None where the board's peak at this precision is not known.

    int8 of a float file: as if every layer with weights became int8. int8 of an int8 file: those that are.

    Raises:
        ProfileError: an unknown precision, or a network without layers.
    """
    if precision not in PRECISIONS:
        raise ProfileError(f"precision {precision!r}, expected one of {', '.join(PRECISIONS)}")
    if not network.layers:
        raise ProfileError("the file has no layer that computes anything: nothing to estimate")
    if board.peak(precision) is None:
        return None
    times = [
        _time(layer, board, _precision_of(layer, network, precision), efficiency) for layer in network.layers
    ]
    factor, basis = _trust(board, precision)
    return Prediction(board, precision, tuple(times), factor, basis)


def bytes_per_value(precision: str, efficiency: Efficiency = FITTED) -> float:
    """Bytes of one value between two layers."""
    return efficiency.int8_value_bytes if precision == "int8" else BYTES[precision]


def _precision_of(layer: Layer, network: Network, precision: str) -> str:
    if precision != "int8":
        return precision
    becomes_int8 = layer.quantized if network.quantized else layer.flops > 0 and layer.weights > 0
    return "int8" if becomes_int8 else "fp16"


def _time(layer: Layer, board: Board, precision: str, efficiency: Efficiency) -> LayerTime:
    peak = board.peak(precision) or board.fp32_tflops * 1e12
    values = layer.reads + layer.writes
    moved = layer.weights * BYTES[precision] + values * bytes_per_value(precision, efficiency)
    return LayerTime(
        layer,
        precision,
        compute_ms=1e3 * layer.flops / (peak * efficiency.compute(precision)),
        bandwidth_ms=1e3 * moved / (board.bandwidth_gbs * 1e9 * efficiency.bandwidth),
        launch_ms=efficiency.launch_cycles / (board.gpu_mhz * 1e3),
    )


def _trust(board: Board, precision: str) -> tuple[float, str]:
    if board.chip != "Orin":
        return OTHER_CHIP, "nothing"
    if precision not in board.measured:
        return SAME_CHIP, "other Orin"
    return (SAME_CHIP if precision == "fp32" else CHECKED), "this board"
