"""Builds an engine from a model file with whatever TensorRT is there: 8.5 to 11, or TensorRT-RTX. No torch.

.onnx bytes + contract ──parser──▶ network ──config: types or flags, memory, DLA──▶ builder ──▶ BuiltPlan
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from edge_runtime.engines.plan import BuiltPlan, EngineOptions, engine_cache, plan_for
from edge_runtime.engines.trt import LogLine, TensorRT, complaints, log_of
from edge_runtime.errors import EngineError
from edge_runtime.onnxfile import read_contract
from export.engine_offer import check_offer, network_flags, precision_flags, workspace_bytes
from export.engine_progress import Watch, run_watched

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edge_runtime.contract import ModelContract
    from edge_runtime.engines.plan import BuildStep, GpuFacts

log = logging.getLogger(__name__)


def build_for(
    model_path: Path, gpu: GpuFacts, engine_dir: Path | None = None, options: EngineOptions | None = None
) -> Path:
    """Make sure that the engine of a model file for a GPU exists; where it is.

    Args:
        engine_dir: where engines are kept; None is beside the model.

    Raises:
        ModelError: not one of our model files.
        EngineError: no usable TensorRT, or the build failed.
    """
    options = options or EngineOptions()
    plan_for(model_path, read_contract(model_path), engine_dir, gpu, options)
    return engine_cache(model_path, engine_dir, options).plan_path


def build(
    onnx: bytes,
    contract: ModelContract,
    trt: TensorRT,
    options: EngineOptions,
    *,
    name: str = "model",
    free_bytes: int | None = None,
    timing_cache: bytes = b"",
    progress: Callable[[BuildStep], None] = lambda step: None,
) -> BuiltPlan:
    """Parse and build; seconds on a PC, minutes on a Jetson.

    It runs in a thread of its own while the calling one reports progress and can be interrupted; CUDA's
    primary context of GPU 0 is the one used.

    Args:
        onnx: content of the model file.
        contract: its contract; `precision` and `target` decide how it is built.
        name: of the file, for messages.
        free_bytes: device memory that can be had; None leaves TensorRT's own limit.
        timing_cache: from an earlier `BuiltPlan` of the same TensorRT and GPU.
        progress: called by the calling thread about every half second.

    Raises:
        EngineError: precision not offered here, unsupported operator, no memory, or the build failed.
    """
    check_offer(trt, contract, options, name)
    workspace = workspace_bytes(free_bytes, options.workspace_bytes)
    start = time.monotonic()
    with log_of(trt.module).collecting() as lines:
        job = _Build(trt, contract, options, name, workspace, lines)
        plan, cache, fallback = run_watched(
            lambda: job.run(onnx, timing_cache), job.watch, lambda step: progress(step)
        )
    warnings = tuple(line.text for line in lines if line.severity == "WARNING")
    return BuiltPlan(plan, time.monotonic() - start, cache, fallback, warnings)


class _Build:
    """The objects of one build, which must outlive each other in this order."""

    def __init__(
        self,
        trt: TensorRT,
        contract: ModelContract,
        options: EngineOptions,
        name: str,
        workspace: int | None,
        lines: Sequence[LogLine],
    ) -> None:
        self._trt, self._contract, self._options, self._name = trt, contract, options, name
        self._workspace, self._lines = workspace, lines
        self.watch = Watch(trt.module)

    def run(self, onnx: bytes, timing_cache: bytes) -> tuple[bytes, bytes, tuple[str, ...]]:
        """Plan, timing cache, names of the layers that fell back from the DLA."""
        m, logger = self._trt.module, log_of(self._trt.module).native
        try:
            builder = m.Builder(logger)
        except (TypeError, RuntimeError) as error:  # what the bindings raise where there is no driver
            raise self._failed("TensorRT cannot start (no NVIDIA GPU or driver?)") from error
        self._check_platform(builder)
        network = builder.create_network(network_flags(self._trt, self._contract, self._options))
        self._parse(m.OnnxParser(network, logger), onnx)
        config = self._configure(builder)
        timing = self._give_timing_cache(config, timing_cache)
        fallback = self._use_dla(builder, network, config)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise self._failed(f"{self._name}: TensorRT could not build the engine")
        kept = bytes(config.get_timing_cache().serialize()) if timing is not None else b""
        return bytes(plan), kept, fallback

    def _check_platform(self, builder: Any) -> None:
        precision = self._contract.precision
        if not getattr(builder, f"platform_has_fast_{precision}", True):
            raise EngineError(
                f"{self._name}: precision {precision} is not offered by this GPU; export and run "
                f"{'fp16 or ' if precision == 'int8' else ''}fp32 instead"
            )

    def _parse(self, parser: Any, onnx: bytes) -> None:
        if self._options.dla_core is not None:
            flag = getattr(getattr(self._trt.module, "OnnxParserFlag", None), "ADJUST_FOR_DLA", None)
            if flag is not None:
                parser.set_flag(flag)
        if parser.parse(onnx):
            return
        errors = [_parser_error(parser.get_error(i)) for i in range(parser.num_errors)]
        raise self._failed(f"{self._name}: {self._trt.label} cannot take it: {' | '.join(errors[:3])}")

    def _configure(self, builder: Any) -> Any:
        m, options = self._trt.module, self._options
        config = builder.create_builder_config()
        if self._workspace is not None:
            config.set_memory_pool_limit(m.MemoryPoolType.WORKSPACE, self._workspace)
        for flag in precision_flags(self._trt, self._contract, options):
            config.set_flag(getattr(m.BuilderFlag, flag))
        if self._contract.precision == "fp32":
            config.clear_flag(m.BuilderFlag.TF32)  # fp32 is the reference: no 10-bit products in it
        if options.optimization_level is not None and hasattr(config, "builder_optimization_level"):
            config.builder_optimization_level = options.optimization_level
        if options.detailed:
            config.profiling_verbosity = m.ProfilingVerbosity.DETAILED
        if self.watch.monitor is not None and hasattr(config, "progress_monitor"):
            config.progress_monitor = self.watch.monitor
        return config

    def _give_timing_cache(self, config: Any, data: bytes) -> Any:
        if self._trt.name == "tensorrt_rtx":  # it compiles without timing; its timing cache does nothing
            return None
        cache = config.create_timing_cache(data) or config.create_timing_cache(b"")
        if not config.set_timing_cache(cache, False):  # another GPU or version: start afresh
            cache = config.create_timing_cache(b"")
            config.set_timing_cache(cache, False)
        return cache

    def _use_dla(self, builder: Any, network: Any, config: Any) -> tuple[str, ...]:
        m, core = self._trt.module, self._options.dla_core
        if core is None:
            return ()
        if not 0 <= core < builder.num_DLA_cores:
            raise EngineError(
                f"DLA core {core}: {self._trt.label} finds {builder.num_DLA_cores} DLA cores here; "
                "build for the GPU, without a DLA core"
            )
        config.default_device_type = m.DeviceType.DLA
        config.DLA_core = core
        config.set_flag(m.BuilderFlag.GPU_FALLBACK)
        layers = [network.get_layer(i) for i in range(network.num_layers)]
        return tuple(
            layer.name
            for layer in layers
            if layer.type != m.LayerType.CONSTANT and not config.can_run_on_DLA(layer)
        )

    def _failed(self, what: str) -> EngineError:
        return EngineError(what + complaints(self._lines))


def _parser_error(error: Any) -> str:
    """One parser error with the layer and operator it is about, where this TensorRT tells them."""
    text = " ".join(str(error.desc()).split())
    if hasattr(error, "node_name") and hasattr(error, "node_operator"):
        return f"layer {error.node_name()!r} ({error.node_operator()}): {text}"
    return f"node {error.node()}: {text}"
