"""`export --engine`: on the board itself, the engine is built right after the file, not at the first run.

this machine's TensorRT and GPU ──BoardBuilder.of──▶ which file suits ──export.engine──▶ NAME.engine
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_runtime.backends.cuda import PycudaGpu
from edge_runtime.engines.plan import EngineOptions, GpuFacts, platform_release
from edge_runtime.engines.trt import find_tensorrt
from edge_runtime.errors import UsageError
from edge_runtime.modelfile import tensorrt_suits
from export.engine import build_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from export.settings import Settings


@dataclass(frozen=True)
class BoardBuilder:
    """A machine that can build engines. `targets`: of the files its TensorRT takes, best first."""

    targets: tuple[str, ...]
    gpu: GpuFacts
    options: EngineOptions
    engine_dir: Path | None

    @classmethod
    def of(cls, settings: Settings) -> BoardBuilder:
        """Look before minutes of work are spent.

        Raises:
            EngineError: no usable TensorRT or GPU here. MissingExtra: no pycuda.
            UsageError: a DLA core for a precision it does not run.
        """
        if settings.dla_core is not None and settings.precision != "fp16":
            raise UsageError(
                f"--dla {settings.dla_core} runs fp16, not {settings.precision}; add --precision fp16"
            )
        trt = find_tensorrt()
        suits = tensorrt_suits(trt.label, trt.version[0], rtx=trt.name == "tensorrt_rtx")
        options = EngineOptions(dla_core=settings.dla_core)
        return cls(suits.targets, _this_gpu(), options, settings.engine_dir)

    def build(self, files: Mapping[str, Path]) -> Path:
        """Build from the file, of those by target, that suits; where the engine is."""
        target = min((t for t in files if t in self.targets), key=self.targets.index)
        return build_for(files[target], self.gpu, self.engine_dir, self.options)


def _this_gpu() -> GpuFacts:
    gpu = PycudaGpu()
    try:
        with gpu.current():
            free = gpu.free_bytes()
    finally:
        gpu.close()
    info = gpu.info
    return GpuFacts(info.name, info.compute_capability, platform_release(), free)
