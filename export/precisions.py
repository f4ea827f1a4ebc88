"""The fp32 file turned into files of a lower precision, none put in place before it passed the gate.

NAME-fp32.onnx ──to_fp16 | quantize_model──▶ candidates ──ask about val, judge──▶ NAME-fp16 | NAME-int8*
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from calibration.agreement import ask
from calibration.fp16 import to_fp16
from edge_runtime.backends.onnx_cpu import OnnxCpu
from export.fp32 import sealed_bytes
from export.gate import cpu_latency_ms, measure

if TYPE_CHECKING:
    from calibration.agreement import Answers
    from edge_runtime.contract import ModelContract
    from export.gate import Measured
    from export.valset import ValSet


@dataclass(frozen=True)
class Candidate:
    """A file not put in place yet: content with contract and seal, what it says about val, how good it is."""

    data: bytes
    contract: ModelContract
    answers: Answers
    measured: Measured


def fp32_candidate(data: bytes, val: ValSet) -> Candidate:
    """The reference of all others. Raises ModelError when the file does not run."""
    return _try_on_val(data, val, None)


def fp16_candidate(fp32: Candidate, fp32_sha256: str, val: ValSet) -> Candidate:
    """The same graph with a typed fp16 body, thresholds as in fp32.

    Raises:
        ModelError: an operator that does not exist in fp16, or values that are not finite.
    """
    model = to_fp16(onnx.load_from_string(fp32.data))
    contract = dataclasses.replace(fp32.contract, precision="fp16", fp32_sha256=fp32_sha256, metrics={})
    return finish(model, contract, fp32, val)


def finish(model: onnx.ModelProto, contract: ModelContract, fp32: Candidate, val: ValSet) -> Candidate:
    """Measure a transformed model on val and write into its contract how it did.

    The file for CPUs is judged as ONNX Runtime runs it; those for TensorRT as written, since fusing around
    Q/DQ pairs shifts results by quantization steps (ONNX Runtime issue 24711).
    """
    tried = _try_on_val(sealed_bytes(model, contract), val, fp32)
    contract = dataclasses.replace(contract, metrics=_metrics(fp32, tried.measured, val))
    return dataclasses.replace(tried, data=sealed_bytes(model, contract), contract=contract)


def _try_on_val(data: bytes, val: ValSet, fp32: Candidate | None) -> Candidate:
    plain = OnnxCpu(Path("candidate"), data=data)
    contract = plain.contract
    as_written = contract.precision == "int8" and contract.target != "cpu"
    asked = OnnxCpu(Path("candidate"), data=data, optimize=False) if as_written else plain
    try:
        answers = ask(asked.infer, val.frames)
        measured = measure(
            contract,
            answers,
            val,
            reference=None if fp32 is None else (fp32.contract, fp32.answers),
            size=len(data),
            latency_ms=cpu_latency_ms(plain.infer, val.frames),
        )
    finally:
        asked.close()
        plain.close()
    return Candidate(data, contract, answers, measured)


def _metrics(fp32: Candidate, measured: Measured, val: ValSet) -> dict[str, Any]:
    """Figures of this precision for its contract; those of fp32 stay in the fp32 file."""
    kept = {k: v for k, v in fp32.contract.metrics.items() if k in ("checkpoint", "selection")}
    single = {k: v for k, v in measured.figures.items() if not isinstance(v, list | dict)}
    assert measured.versus is not None
    versus = {**measured.versus.rounded(), "box_acc_fp32": fp32.measured.box_accuracy}
    return {**kept, **({"val": single} if single else {}), "versus_fp32": versus}
