"""Kinds of int8 files: how each is built from ranges and float layers, and how it is judged.

fp32, placement, ranges (Material) + float layers ──Family.build──▶ a model per target; .probe ──▶ one to try
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from calibration.cpu_int8 import quantize_cpu
from calibration.fp16 import to_fp16
from calibration.qdq import quantize
from calibration.search import amax_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnx import ModelProto

    from calibration.placement import Placement
    from calibration.search import Trial


@dataclass(frozen=True)
class Material:
    """What every int8 file of a model is made of: its fp32 graph, what is quantized where, and the ranges."""

    model: ModelProto
    placement: Placement
    trial: Trial


class Family(Protocol):
    """Files that share their float layers.

    `targets`: what each is written for (`edge_runtime.contract.TARGETS`). `as_written`: measured without ONNX
    Runtime's optimizations. `map_error_counts`: the aim for the map error is one for these files.
    """

    @property
    def name(self) -> str: ...
    @property
    def targets(self) -> tuple[str, ...]: ...
    @property
    def as_written(self) -> bool: ...
    @property
    def map_error_counts(self) -> bool: ...

    def build(self, material: Material, float_layers: Sequence[str]) -> list[ModelProto]:
        """A model per target."""
        ...

    def probe(self, material: Material, float_layers: Sequence[str]) -> ModelProto:
        """The one of them that ONNX Runtime runs fastest, to try on few frames."""
        ...


class TensorRtFiles:
    """Typed for TensorRT from 10 on, weakly typed for 8.x: same placement, same scales."""

    name, targets = "int8 for TensorRT", ("tensorrt10", "tensorrt8")
    as_written, map_error_counts = True, True

    def build(self, material: Material, float_layers: Sequence[str]) -> list[ModelProto]:
        """See `Family.build`."""
        placed, amax = material.placement.without(float_layers), amax_of(material.trial.ranges)
        typed = to_fp16(quantize(material.model, placed, amax, weights="int8"))
        return [typed, self.probe(material, float_layers)]

    def probe(self, material: Material, float_layers: Sequence[str]) -> ModelProto:
        """See `Family.probe`."""
        placed, amax = material.placement.without(float_layers), amax_of(material.trial.ranges)
        return quantize(material.model, placed, amax, weights="fp32")


class CpuFiles:
    """The file for ONNX Runtime, judged with its optimizations: they are what makes it fast."""

    name, targets = "int8 for CPUs", ("cpu",)
    as_written, map_error_counts = False, False

    def build(self, material: Material, float_layers: Sequence[str]) -> list[ModelProto]:
        """See `Family.build`."""
        return [self.probe(material, float_layers)]

    def probe(self, material: Material, float_layers: Sequence[str]) -> ModelProto:
        """See `Family.probe`."""
        return quantize_cpu(material.model, material.trial.ranges, float_layers)
