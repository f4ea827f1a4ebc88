"""What a TensorRT offers for a model file: refusals before a build, and how precision is asked for.

TensorRT version + contract + options ──▶ EngineError, or network flags, builder flags, workspace size
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from edge_runtime.errors import EngineError

if TYPE_CHECKING:
    from edge_runtime.contract import ModelContract
    from edge_runtime.engines.plan import EngineOptions
    from edge_runtime.engines.trt import TensorRT

log = logging.getLogger(__name__)

MIB = 1 << 20
LEAST_WORKSPACE = 128 * MIB
LEAST_MARGIN = 256 * MIB  # for weights, activations and whatever else runs on the board
MOST_WORKSPACE = 4096 * MIB
EXPLICIT_BATCH_BEFORE = 10


def check_offer(trt: TensorRT, contract: ModelContract, options: EngineOptions, name: str) -> None:
    """Refuse a file that this TensorRT would not take, or would take for something else.

    Raises:
        EngineError: names the file to use in its place.
    """
    target, stem = contract.target, name.partition("-int8")[0]
    if target == "cpu":
        raise EngineError(
            f"{name} is written for CPUs; TensorRT {'>= 10' if trt.strongly_typed else '8'} wants "
            f"{stem}-int8{'' if trt.strongly_typed else '-trt8'}.onnx"
        )
    if target == "tensorrt10" and not trt.strongly_typed:
        raise EngineError(
            f"{name} needs TensorRT 10 or newer, this is {trt.label}: use {stem}-int8-trt8.onnx, "
            "which `dips-edge export --precision int8` writes beside it"
        )
    if target == "tensorrt8" and not trt.has_flags:
        log.warning("%s is written for TensorRT 8; with %s %s-int8.onnx is faster", name, trt.label, stem)
    if options.dla_core is not None and contract.precision != "fp16":
        raise EngineError(
            f"{name}: DLAs take fp16, this file is {contract.precision}; use the fp16 file or the GPU"
        )


def network_flags(trt: TensorRT, contract: ModelContract, options: EngineOptions) -> int:
    """Bit mask for `create_network`: explicit batch for 8.x, strongly typed for 10.x where it can be."""
    creation = trt.module.NetworkDefinitionCreationFlag
    if trt.name == "tensorrt" and trt.version[0] < EXPLICIT_BATCH_BEFORE:
        return 1 << int(creation.EXPLICIT_BATCH)
    if trt.has_flags and not _by_flags(trt, contract, options):
        return 1 << int(creation.STRONGLY_TYPED)
    return 0  # from 11 on, and in RTX, every network is strongly typed


def precision_flags(trt: TensorRT, contract: ModelContract, options: EngineOptions) -> tuple[str, ...]:
    """Names of the `BuilderFlag`s that ask for the precision; none where the file's types say it."""
    if not _by_flags(trt, contract, options):
        return ()
    return {"fp16": ("FP16",), "int8": ("FP16", "INT8")}.get(contract.precision, ())


def workspace_bytes(free_bytes: int | None, most: int | None = None) -> int | None:
    """Scratch memory for kernels: what is free less a margin of a quarter, at least `LEAST_MARGIN`.

    Args:
        free_bytes: None when it is not known.
        most: the user's own limit; it is not raised to what is free.

    Returns:
        None leaves TensorRT's own limit, all of the device's memory.

    Raises:
        EngineError: so little is left that the build would fail, or take the board's memory.
    """
    if free_bytes is None:
        return most
    left = free_bytes - max(LEAST_MARGIN, free_bytes // 4)
    if left < LEAST_WORKSPACE:
        needed = (LEAST_WORKSPACE + LEAST_MARGIN) // MIB
        raise EngineError(
            f"{free_bytes // MIB} MiB of device memory are free, building an engine needs at least {needed} "
            "MiB: stop other programs (on a Jetson also the desktop: sudo systemctl isolate "
            "multi-user.target) or add swap"
        )
    return min(left, most or MOST_WORKSPACE)


def _by_flags(trt: TensorRT, contract: ModelContract, options: EngineOptions) -> bool:
    """Weakly typed: always in 8.x; in 10.x for files written for 8 and for the DLA, which takes no typed
    networks before 11."""
    if not trt.has_flags:
        return False
    return not trt.strongly_typed or contract.target == "tensorrt8" or options.dla_core is not None
