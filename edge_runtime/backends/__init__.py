"""Opens a model file with what suits the machine; each backend is imported only when chosen.

model + device ──open_backend──▶ Backend
                     └ auto: TensorRT where there is an NVIDIA GPU, else the CPU, and why
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from edge_runtime.backends.base import Backend
from edge_runtime.errors import EngineError, MissingExtra, ModelError, UsageError
from edge_runtime.modelfile import CPU, find_model, misfit, tensorrt_suits
from edge_runtime.onnxfile import read_contract

if TYPE_CHECKING:
    from pathlib import Path

    from edge_runtime.contract import ModelContract
    from edge_runtime.engines.trt import TensorRT
    from edge_runtime.modelfile import Suits

__all__ = ["DEVICES", "Backend", "open_backend"]

log = logging.getLogger(__name__)

DEVICES = ("auto", "cpu", "tensorrt")


def open_backend(
    model: str | Path,
    device: str = "auto",
    threads: int | None = None,
    precision: str | None = None,
    engine_dir: Path | None = None,
    dla_core: int | None = None,
) -> Backend:
    """Open a model and try it once.

    Args:
        model: a `.onnx` file, a directory of them (see `edge_runtime.modelfile.find_model`), or "demo".
        device: one of `DEVICES`; "auto" takes TensorRT where it works, else the CPU, and says why.
        threads: CPU threads of one inference; None takes min(physical cores, 4).
        precision: which file of a directory; a file must have it.
        engine_dir: where TensorRT's engines are kept; None is beside the model.
        dla_core: deep-learning accelerator of an Orin that TensorRT shall use; fp16 only.

    Raises:
        ModelError: missing, damaged, edited, not one of our model files, or not of this precision.
        EngineError: TensorRT was asked for and cannot run it. MissingExtra: pycuda is missing for that.
        UsageError: unknown device, or a thread count below 1.
    """
    if device not in DEVICES:
        raise UsageError(f"unknown device {device!r}, expected one of {', '.join(DEVICES)}")
    if dla_core is not None and device == "cpu":
        raise UsageError(f"--dla {dla_core} needs --device tensorrt, not cpu")
    if threads is not None and threads < 1:
        raise UsageError(f"threads = {threads}, expected at least 1")
    if device == "tensorrt" or dla_core is not None:
        return _open_tensorrt(model, precision, engine_dir, dla_core, _find_packages())
    trt = _find_packages_for_gpu() if device == "auto" else None
    if trt is not None:
        try:
            return _open_tensorrt(model, precision, engine_dir, dla_core, trt)
        except EngineError as error:
            log.warning("the CPU runs the network, not the GPU: %s", error)
    return _open_cpu(model, precision, threads)


def _find_packages_for_gpu() -> TensorRT | None:
    """TensorRT where there is an NVIDIA driver and what else is needed; nothing is imported where not."""
    from edge_runtime.nvidia import open_driver

    if open_driver() is None:
        log.debug("the CPU runs the network: no NVIDIA driver on this machine")
        return None
    try:
        return _find_packages()
    except (EngineError, MissingExtra) as error:
        log.info("the CPU runs the network, not the GPU: %s", error)
        return None


def _find_packages() -> TensorRT:
    from edge_runtime.backends.cuda import load_pycuda
    from edge_runtime.engines.trt import find_tensorrt

    trt = find_tensorrt()
    load_pycuda()
    return trt


def _open_cpu(model: str | Path, precision: str | None, threads: int | None) -> Backend:
    from edge_runtime.backends.onnx_cpu import OnnxCpu

    path, contract = _find(model, precision, CPU)
    why = misfit(contract, CPU)
    if why is not None:
        log.warning("%s %s: slower here than fp32, and not what was measured at export", path, why)
    return OnnxCpu(path, threads)


def _open_tensorrt(
    model: str | Path, precision: str | None, engine_dir: Path | None, dla_core: int | None, trt: TensorRT
) -> Backend:
    from edge_runtime.backends.tensorrt import open_tensorrt

    suits = tensorrt_suits(trt.label, trt.version[0], rtx=trt.name == "tensorrt_rtx")
    path, contract = _find(model, precision, suits)
    why = misfit(contract, suits)
    if why is not None:
        raise EngineError(f"{path} {why}; take another file of the model directory")
    if dla_core is not None and contract.precision != "fp16":
        raise UsageError(
            f"--dla {dla_core} runs fp16, {path.name} is {contract.precision}; add --precision fp16"
        )
    return open_tensorrt(path, contract, trt, engine_dir, dla_core)


def _find(model: str | Path, precision: str | None, suits: Suits) -> tuple[Path, ModelContract]:
    path = find_model(model, precision, suits)
    contract = read_contract(path)
    if precision not in (None, contract.precision):
        raise ModelError(f"{path}: a model of precision {contract.precision}, {precision} was asked for")
    return path, contract
