"""What TensorRT-RTX makes of a file on a machine without GPU: its complaints and its own table of layers."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from edge_runtime.engines.trt import find_tensorrt, log_of
from edge_runtime.errors import EngineError


@dataclass(frozen=True)
class Built:
    """`complaints`: errors and warnings. `rows`: lines of the engine's layer table."""

    complaints: list[str]
    rows: list[str]

    def input_types(self, layer: str) -> tuple[str, str]:
        """Types of the activation and of the weight the layer named `layer` computes with."""
        rows = [row for row in self.rows if row.startswith(f"Name: {layer}_myl") or _fused(row, layer)]
        assert len(rows) == 1, f"{layer}: {len(rows)} rows"
        found = re.findall(r"Datatype: (\w+)", rows[0])
        return found[0], found[1]


def _fused(row: str, layer: str) -> bool:
    """Is the row a kernel named after its kind that does the layer and what follows it?"""
    kind = re.search(r"LayerType: (gemm|runtime_fusion)", row)
    return kind is not None and f"Metadata: [ONNX Layer: {layer}]" in row


def build(data: bytes) -> Built:
    """Parse and build; skips where there is no TensorRT-RTX."""
    try:
        trt = find_tensorrt(("tensorrt_rtx",)).module
    except EngineError as error:
        pytest.skip(str(error))
    log = log_of(trt)
    with log.collecting(verbose=True) as lines:
        builder = trt.Builder(log.native)
        network = builder.create_network(0)
        parser = trt.OnnxParser(network, log.native)
        assert parser.parse(data), [parser.get_error(i).desc() for i in range(parser.num_errors)]
        config = builder.create_builder_config()
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        assert builder.build_serialized_network(network, config) is not None
    text = [row for line in lines for row in line.text.splitlines()]
    return Built(
        complaints=[line.text for line in lines if line.severity in ("INTERNAL_ERROR", "ERROR", "WARNING")],
        rows=[row for row in text if row.startswith("Name: ") and "LayerType: " in row],
    )
