"""The files of every precision, made from an fp32 one without calibration: enough to build, not to fly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from calibration import placement, qdq
from calibration.fp16 import to_fp16

if TYPE_CHECKING:
    from onnx import ModelProto


def variants(fp32: ModelProto) -> dict[str, tuple[ModelProto, str, str]]:
    """Model, precision and target of each file made from an fp32 one; the ranges do not matter here."""
    plan = placement.plan(fp32)
    ranges = dict.fromkeys(plan.tensors, 3.0)
    return {
        "fp32": (fp32, "fp32", "any"),
        "fp16": (to_fp16(fp32), "fp16", "any"),
        "int8": (to_fp16(qdq.quantize(fp32, plan, ranges, weights="int8")), "int8", "tensorrt10"),
        "int8-trt8": (qdq.quantize(fp32, plan, ranges, weights="fp32"), "int8", "tensorrt8"),
    }
