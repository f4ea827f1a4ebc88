"""The engine of a model for this machine: the one kept from before, or one built now.

model file + GPU ──EngineKey──▶ cache ──▶ plan bytes
                                  └─ missing or stale, said why ──export.engine:build──▶ plan, kept
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
import logging
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from edge_runtime.engines.cache import EngineCache, EngineKey, StaleReason
from edge_runtime.engines.timing import read_sealed, timing_cache_path, write_sealed
from edge_runtime.engines.trt import TensorRT, find_tensorrt
from edge_runtime.errors import ModelError
from edge_runtime.jetson import read_l4t, read_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_runtime.contract import ModelContract

log = logging.getLogger(__name__)

BUILDER = "export.engine:build"  # by name: what flies does not import what exports
RECIPE = 1  # raised when the builder makes another engine from the same file and options
SAY_EVERY_S = 5.0


@dataclass(frozen=True)
class EngineOptions:
    """How an engine is built.

    Attributes:
        dla_core: deep-learning accelerator of Orin to run on, GPU where a layer cannot; fp16 only.
        optimization_level: 0 (fast build) to 5 (fast engine); None is TensorRT's own, 3.
        workspace_bytes: at most this much scratch memory; None decides by what is free.
        detailed: the engine keeps the names and formats of its layers, for profiling.
    """

    dla_core: int | None = None
    optimization_level: int | None = None
    workspace_bytes: int | None = None
    detailed: bool = False

    def key_text(self) -> str:
        """What of it makes another engine, as text for `EngineKey.options`."""
        changed = {k: v for k, v in dataclasses.asdict(self).items() if v not in (None, False)}
        return json.dumps({"recipe": RECIPE, **changed}, sort_keys=True)


@dataclass(frozen=True)
class GpuFacts:
    """What an engine depends on besides the model and TensorRT.

    Attributes:
        name: as CUDA gives it, e.g. "Orin".
        compute_capability: e.g. "8.7".
        platform: see `platform_release`.
        free_bytes: device memory that can still be had (on an integrated GPU the system's available
            memory); None when it is not known.
    """

    name: str
    compute_capability: str
    platform: str
    free_bytes: int | None = None


@dataclass(frozen=True)
class BuildStep:
    """How far a build is; `fraction` in [0, 1] and `phase` where this TensorRT tells, else None and ""."""

    elapsed_s: float
    phase: str = ""
    fraction: float | None = None


@dataclass(frozen=True)
class BuiltPlan:
    """A serialized engine and what was seen while building it.

    Attributes:
        plan: for `Runtime.deserialize_cuda_engine`.
        seconds: of the build.
        timing_cache: to give to the next build; empty where there is none.
        dla_fallback: names of the layers that run on the GPU although a DLA was asked for.
        warnings: TensorRT's own.
    """

    plan: bytes
    seconds: float
    timing_cache: bytes = b""
    dla_fallback: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def plan_for(
    model_path: Path,
    contract: ModelContract,
    engine_dir: Path | None,
    gpu: GpuFacts,
    options: EngineOptions | None = None,
    *,
    trt: TensorRT | None = None,
    distrust: str | None = None,
) -> bytes:
    """The serialized engine of a model file, built and kept when there is none that fits exactly.

    The reason for a build and its progress are logged. A directory that cannot be written costs a
    warning and a build at every start, nothing else.

    Args:
        contract: of the model file.
        engine_dir: where engines are kept; None is beside the model.
        gpu: of the GPU it will run on.
        trt: None finds one.
        distrust: why the stored engine must not be used although it fits, e.g. TensorRT refused it.

    Raises:
        EngineError: no usable TensorRT, or the build failed.
        ModelError: the model file cannot be read.
    """
    trt, options = trt or find_tensorrt(), options or EngineOptions()
    onnx = _read(model_path)
    key = EngineKey(
        onnx_sha256=hashlib.sha256(onnx).hexdigest(),
        tensorrt=trt.label,
        gpu=gpu.name,
        compute_capability=gpu.compute_capability,
        platform=gpu.platform,
        precision=contract.precision,
        options=options.key_text(),
    )
    cache = engine_cache(model_path, engine_dir, options)
    found = cache.load(key) if distrust is None else StaleReason(distrust)
    if isinstance(found, bytes):
        return found
    with cache.lock(_Waiting(cache.plan_path)) as locked:
        again = cache.load(key) if locked and distrust is None else found
        if isinstance(again, bytes):  # another process built it while we waited
            return again
        log.info("%s: building the engine for %s with %s: %s", cache.plan_path, gpu.name, trt.label, again)
        timing = timing_cache_path(cache.directory, trt.label, gpu.name, gpu.platform)
        build = _builder()
        built = build(
            onnx,
            contract,
            trt,
            options,
            name=model_path.name,
            free_bytes=gpu.free_bytes,
            timing_cache=read_sealed(timing),
            progress=_ProgressLines(cache.plan_path.name, again.last_build_s),
        )
        _keep(cache, key, built, timing)
    return built.plan


def engine_cache(model_path: Path, engine_dir: Path | None, options: EngineOptions) -> EngineCache:
    """Where the engine of a model is kept: `NAME.engine`, or `NAME.dla0.engine` for a DLA core."""
    suffix = "" if options.dla_core is None else f".dla{options.dla_core}"
    return EngineCache(engine_dir or model_path.parent, model_path.stem + suffix)


def platform_release(root: Path = Path("/")) -> str:
    """L4T release and driver version, e.g. "L4T 36.4.3, driver 540.4.0"; "unknown" where neither is said."""
    l4t = read_l4t(root)
    found = [f"L4T {l4t}"] if l4t else []
    driver = re.search(
        r"NVRM version:.*?\s(\d+\.\d[\d.]*)\s", read_text(root / "proc/driver/nvidia/version") or ""
    )
    if driver:
        found.append(f"driver {driver[1]}")
    return ", ".join(found) or "unknown"


def _keep(cache: EngineCache, key: EngineKey, built: BuiltPlan, timing: Path) -> None:
    if built.dla_fallback:
        log.info("%d layers run on the GPU, not on the DLA: %s", len(built.dla_fallback), _some(built))
    if built.warnings:
        log.info("TensorRT warned %d times (-v shows all): %s", len(built.warnings), built.warnings[0])
    try:
        cache.store(key, built.plan, built.seconds)
        if built.timing_cache:
            write_sealed(timing, built.timing_cache)
    except OSError as error:
        log.warning(
            "%s: the engine cannot be kept (%s): it will be built again at every start; "
            "make the directory writable or pass another --engine-dir",
            cache.directory,
            error.strerror or error,
        )
        return
    log.info("%s: %.1f MB, built in %.0f s", cache.plan_path, len(built.plan) / 1e6, built.seconds)


def _builder() -> Callable[..., BuiltPlan]:
    module, _, name = BUILDER.partition(":")
    return cast("Callable[..., BuiltPlan]", getattr(importlib.import_module(module), name))


def _some(built: BuiltPlan, limit: int = 12) -> str:
    names = built.dla_fallback
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot read this model file: {error.strerror}") from error


class _ProgressLines:
    """Logs how far a build is, at most every `SAY_EVERY_S` seconds."""

    def __init__(self, name: str, last_build_s: float | None) -> None:
        self._name = name
        self._last = f" (last time {last_build_s:.0f} s)" if last_build_s else ""
        self._next_s = SAY_EVERY_S

    def __call__(self, step: BuildStep) -> None:
        if step.elapsed_s < self._next_s:
            return
        self._next_s = step.elapsed_s + SAY_EVERY_S
        done = "" if step.fraction is None else f", {step.fraction:.0%} {step.phase}".rstrip()
        log.info("%s: building for %.0f s%s%s", self._name, step.elapsed_s, self._last, done)


class _Waiting:
    """Says that another process builds the same engine, at once and then every `SAY_EVERY_S` seconds."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next = 0.0

    def __call__(self, seconds: float) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + SAY_EVERY_S
            log.info("%s: another process builds this engine, waiting for %.0f s", self._path, seconds)
