"""What `dips-edge export` was asked for, and the names of the files it writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from calibration import quantize

if TYPE_CHECKING:
    from pathlib import Path

PRECISIONS = ("fp32", "fp16", "int8")
SUFFIXES = {  # precision: what each of its files is called after the run's name
    "fp32": {"any": "fp32"},
    "fp16": {"any": "fp16"},
    "int8": quantize.SUFFIXES,
}


@dataclass(frozen=True)
class Settings:
    """Flags of the command. `input_hw`: None for the run's own. `max_drop`: percentage points."""

    run: Path
    precision: str
    out: Path
    input_hw: tuple[int, int] | None = None
    checkpoint: str = "best"
    batch: int = 1
    frames: str | None = None
    calib: str | None = None
    calib_frames: int = 256
    method: str = "auto"
    seed: int = 0
    max_drop: float = 1.0
    engine: bool = False
    engine_dir: Path | None = None
    dla_core: int | None = None
    force: bool = False

    def path(self, suffix: str) -> Path:
        """OUT/NAME-SUFFIX.onnx, named after the run directory."""
        return self.out / f"{self.run.resolve().name}-{suffix}.onnx"

    @property
    def files(self) -> dict[str, Path]:
        """The files this export writes, by target."""
        return {target: self.path(suffix) for target, suffix in SUFFIXES[self.precision].items()}
