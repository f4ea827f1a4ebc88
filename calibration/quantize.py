"""fp32 file to the three int8 files, from one calibration: the one function `calibrate` and `export` share.

fp32 bytes ──placement──histograms──method choice──▶ Q/DQ models ──Fitting──▶ Int8Files
Every file is measured on val as it will run, with thresholds chosen for it; nothing is written here.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import onnx

from calibration.bench import Bench, Tried
from calibration.contracts import contract_of, sealed_bytes
from calibration.cpu_int8 import cpu_tensors
from calibration.families import CpuFiles, Material, TensorRtFiles
from calibration.fitting import Accept, Fitting, Int8Settings, in_words
from calibration.histograms import collect
from calibration.placement import plan
from calibration.search import Trial, methods_named, try_methods
from calibration.table import CalibrationTable
from edge_runtime.errors import ModelError
from edge_runtime.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto

    from calibration.agreement import Agreement
    from calibration.histograms import Histogram
    from calibration.sensitivity import LayerCost
    from edge_runtime.contract import ModelContract

log = logging.getLogger(__name__)

SUFFIXES = {"tensorrt10": "int8", "tensorrt8": "int8-trt8", "cpu": "int8-cpu"}  # NAME-SUFFIX.onnx


@dataclass(frozen=True)
class Int8File:
    """One file not written yet; `suffix` goes into its name. `float_layers`: by choice, not by rule."""

    target: str
    suffix: str
    model: ModelProto
    contract: ModelContract
    agreement: Agreement
    float_layers: tuple[str, ...]

    def content(self) -> bytes:
        """What to write: the model with its contract, sealed."""
        return sealed_bytes(self.model, self.contract)


@dataclass(frozen=True)
class Int8Files:
    """`files`: for TensorRT from 10 on, for 8.x, for CPUs; with what they were made from.

    `trials`: methods tried, best first. `costs`: of TensorRT's layers, worst first; empty when all are int8.
    """

    files: tuple[Int8File, ...]
    table: CalibrationTable
    trials: tuple[Trial, ...]
    costs: tuple[LayerCost, ...]


def quantize_model(
    fp32: bytes,
    calibration: Sequence[NDArray[np.uint8]],
    val: Sequence[NDArray[np.uint8]],
    settings: Int8Settings,
    *,
    present: Sequence[bool] | None = None,
    accept: Accept | None = None,
    origin: str = "the model",
) -> Int8Files:
    """Make the int8 files of an fp32 file.

    Args:
        fp32: content of the file.
        calibration, val: (H, W, 3) uint8 BGR each, at the network's input size; ranges are fitted to the
            first, everything else is chosen on the second.
        present: per val frame, is an object in it? None when unknown.
        accept: a gate in place of the settings' own; asked about every file.
        origin: what messages call the file.

    Raises:
        ModelError: no fp32 file of ours, an operator that cannot be taken, or the gate does not hold.
        UsageError: no such method.
    """
    methods = methods_named(settings.method)
    model = read_fp32(fp32, origin)
    placement = plan(model)
    names = tuple(dict.fromkeys((*placement.tensors, *cpu_tensors(model))))
    histograms = observe(model, names, calibration, settings.threads)
    bench = Bench.of(model, val, present, settings.threads)
    part = bench.part(settings.search_frames)
    with Progress("methods", len(methods) * len(part.frames)) as progress:
        trials = try_methods(model, placement, histograms, methods, part, progress.step)
    for trial in trials:
        log.info("method %-10s %s", trial.method, in_words(trial.agreement))
    best = trials[0]
    fitting = Fitting(Material(model, placement, best), bench, part, settings, accept)
    tensorrt, cpu = fitting.fit(TensorRtFiles()), fitting.fit(CpuFiles())
    table = CalibrationTable(
        method=best.method,
        ranges=dict(best.ranges),
        frames=len(calibration),
        seed=settings.seed,
        fp32_sha256=hashlib.sha256(fp32).hexdigest(),
        float_layers=tensorrt.float_layers,
        cpu_float_layers=cpu.float_layers,
    )
    files = tuple(
        _file(tried, family.float_layers, table) for family in (tensorrt, cpu) for tried in family.tried
    )
    return Int8Files(files, table, tuple(trials), tensorrt.costs)


def read_fp32(data: bytes, origin: str) -> ModelProto:
    """Parse an fp32 model file. Raises ModelError for any other."""
    try:
        model = onnx.load_from_string(data)
    except Exception as error:  # protobuf has a class of its own per implementation
        raise ModelError(f"{origin}: not an ONNX file, or damaged ({error}); export the run again") from error
    contract = contract_of(model, origin)
    if contract.precision != "fp32":
        raise ModelError(
            f"{origin}: an {contract.precision} file, expected the fp32 one it was made from (NAME-fp32.onnx)"
        )
    return model


def observe(
    model: ModelProto, names: Sequence[str], frames: Sequence[NDArray[np.uint8]], threads: int | None
) -> Mapping[str, Histogram]:
    """Histograms of the named tensors over (H, W, 3) frames, with progress."""
    with Progress("histograms", len(frames)) as progress:
        one_by_one = (frame[None] for frame in frames)
        return collect(model, names, one_by_one, threads=threads, progress=lambda *_: progress.step())


def _file(tried: Tried, float_layers: tuple[str, ...], table: CalibrationTable) -> Int8File:
    kept = {k: v for k, v in tried.contract.metrics.items() if k in ("checkpoint", "selection")}
    made: dict[str, Any] = {"frames": table.frames, "seed": table.seed, "float_layers": len(float_layers)}
    contract = dataclasses.replace(
        tried.contract,
        fp32_sha256=table.fp32_sha256,
        metrics={**kept, "calibration": made, "versus_fp32": tried.agreement.rounded()},
    )
    target = contract.target
    return Int8File(target, SUFFIXES[target], tried.model, contract, tried.agreement, float_layers)
