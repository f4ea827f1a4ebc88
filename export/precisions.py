"""The fp32 file turned into files of a lower precision, none put in place before it passed the gate.

NAME-fp32.onnx ──to_fp16 | quantize_model──▶ candidates ──ask about val, judge──▶ NAME-fp16 | NAME-int8*
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from calibration.agreement import ask
from calibration.contracts import sealed_bytes
from calibration.fp16 import to_fp16
from calibration.quantize import quantize_model
from edge_runtime.backends.onnx_cpu import OnnxCpu
from export.gate import cpu_latency_ms, judge, measure

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from calibration.agreement import Answers
    from calibration.fitting import Int8Settings
    from calibration.table import CalibrationTable
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


def fp16_candidate(fp32: Candidate, val: ValSet) -> Candidate:
    """The same graph with a typed fp16 body, thresholds as in fp32.

    Raises:
        ModelError: an operator that does not exist in fp16, or values that are not finite.
    """
    model = to_fp16(onnx.load_from_string(fp32.data))
    source = hashlib.sha256(fp32.data).hexdigest()
    contract = dataclasses.replace(fp32.contract, precision="fp16", fp32_sha256=source, metrics={})
    return finish(model, contract, fp32, val)


def int8_candidates(
    fp32: Candidate,
    calibration: Sequence[NDArray[np.uint8]],
    val: ValSet,
    settings: Int8Settings,
    max_drop: float,
) -> tuple[tuple[Candidate, ...], CalibrationTable]:
    """The three int8 files, layers kept float until each passes the gate, and what they were made from.

    Args:
        calibration: (H, W, 3) uint8 BGR at the network's input size, what ranges are fitted to.

    Raises:
        ModelError: an operator that cannot be quantized, or no choice of float layers passes the gate.
    """

    def accept(contract: ModelContract, answers: Answers) -> str | None:
        reference = fp32.contract, fp32.answers
        tried = measure(contract, answers, val, reference=reference, size=0, latency_ms=0.0)
        return "; ".join(judge(fp32.measured, tried, max_drop)) or None

    negative = fp32.contract.negative_class
    present = val.present(None if negative is None else fp32.contract.classes.index(negative))
    made = quantize_model(fp32.data, calibration, val.frames, settings, present=present, accept=accept)
    return tuple(finish(file.model, file.contract, fp32, val) for file in made.files), made.table


def finish(model: onnx.ModelProto, contract: ModelContract, fp32: Candidate, val: ValSet) -> Candidate:
    """Measure a transformed model on val and write into its contract how it did.

    The file for CPUs is judged as ONNX Runtime runs it; those for TensorRT as written, since fusing around
    Q/DQ pairs shifts results by quantization steps (ONNX Runtime issue 24711).
    """
    tried = _try_on_val(sealed_bytes(model, contract), val, fp32)
    contract = dataclasses.replace(contract, metrics=_metrics(contract, fp32, tried.measured))
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


def _metrics(contract: ModelContract, fp32: Candidate, measured: Measured) -> dict[str, Any]:
    """Figures of this precision for its contract; those of fp32 stay in the fp32 file."""
    kept = {k: v for k, v in fp32.contract.metrics.items() if k in ("checkpoint", "selection")}
    made = {k: v for k, v in contract.metrics.items() if k == "calibration"}
    single = {k: v for k, v in measured.figures.items() if not isinstance(v, list | dict)}
    assert measured.versus is not None
    versus = {**measured.versus.rounded(), "box_acc_fp32": fp32.measured.box_accuracy}
    return {**kept, **made, **({"val": single} if single else {}), "versus_fp32": versus}
