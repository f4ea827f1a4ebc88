"""The layer table that TensorRT-RTX prints while it builds with detailed profiling: no GPU is needed for it.

verbose log ──parse_layers──▶ rows ──types_of──▶ input and weight types of one ONNX convolution
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge_runtime.engines.trt import LogLine

ROW = re.compile(r"^Name: (?P<name>.*?), LayerType: (?P<kind>\w+), Inputs: \[(?P<rest>.*)$", re.MULTILINE)
COMPUTES = {"correlation", "gemm", "runtime_fusion"}  # what a convolution may have become


@dataclass(frozen=True)
class Layer:
    """One kernel: kind, types of its inputs and constants, and the ONNX nodes it does."""

    kind: str
    inputs: tuple[str, ...]
    constants: tuple[str, ...]
    nodes: frozenset[str]


def parse_layers(lines: Iterable[LogLine]) -> list[Layer]:
    """Every row of the table in a log collected with `verbose`."""
    return [_layer(row) for line in lines for row in ROW.finditer(line.text)]


def types_of(layers: list[Layer], conv: str) -> tuple[str, str]:
    """(input, weight) types of the kernel that does the convolution called `conv`.

    Raises:
        AssertionError: none, or more than one kernel does it.
    """
    found = [layer for layer in layers if layer.kind in COMPUTES and conv in layer.nodes]
    assert len(found) == 1, (conv, [(layer.kind, layer.inputs) for layer in layers if conv in layer.nodes])
    return found[0].inputs[0], found[0].constants[0]


def _layer(row: re.Match[str]) -> Layer:
    inputs, _, rest = row["rest"].partition("Outputs: [")
    inputs, _, constants = inputs.partition("Constants: [")
    nodes = re.findall(r"\[ONNX Layer: ([^\]]*)\]", rest)
    return Layer(row["kind"], _types(inputs), _types(constants), frozenset(nodes))


def _types(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"Datatype: (\w+)", text))
