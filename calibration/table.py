"""What calibration found, as a file: enough to write all int8 files of a model again.

histograms ──CalibrationTable.of(method)──▶ table ──write──▶ NAME-calibration.json ──read──▶ table
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from calibration.ranges import TensorRange, tensor_range
from edge_runtime.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from calibration.histograms import Histogram

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class CalibrationTable:
    """One calibration of one fp32 file.

    Attributes:
        method: of `ranges.METHODS`, or percentile-N.
        ranges: of every tensor observed: for TensorRT's files and for the CPU's.
        frames: how many were seen. seed: with which they were chosen.
        fp32_sha256: of the bytes of the fp32 file.
        float_layers: convolutions kept float by choice in TensorRT's files, beside those that always are.
        cpu_float_layers: the same of the CPU's file.
    """

    method: str
    ranges: Mapping[str, TensorRange]
    frames: int
    seed: int
    fp32_sha256: str
    float_layers: tuple[str, ...] = ()
    cpu_float_layers: tuple[str, ...] = ()
    schema: int = SCHEMA_VERSION

    @classmethod
    def of(
        cls,
        histograms: Mapping[str, Histogram],
        method: str,
        *,
        frames: int,
        seed: int,
        fp32: bytes,
        float_layers: Collection[str] = (),
        cpu_float_layers: Collection[str] = (),
    ) -> CalibrationTable:
        """The table one method gives.

        Args:
            fp32: the fp32 file, whole.

        Raises:
            UsageError: no such method.
        """
        return cls(
            method=method,
            ranges={name: tensor_range(histogram, method) for name, histogram in histograms.items()},
            frames=frames,
            seed=seed,
            fp32_sha256=hashlib.sha256(fp32).hexdigest(),
            float_layers=tuple(float_layers),
            cpu_float_layers=tuple(cpu_float_layers),
        )

    @property
    def amax(self) -> dict[str, float]:
        """Largest magnitude per tensor, as `qdq.quantize` takes it."""
        return {name: values.amax for name, values in self.ranges.items()}

    def require(self, fp32: bytes, origin: str) -> None:
        """Raises ModelError where the fp32 file `origin` is not the one that was calibrated."""
        found = hashlib.sha256(fp32).hexdigest()
        if found != self.fp32_sha256:
            raise ModelError(
                f"{origin}: sha256 {found[:12]}, calibrated was {self.fp32_sha256[:12]}; calibrate it anew"
            )

    def to_json(self) -> str:
        """One JSON object, a line per tensor, sorted keys."""
        raw = dataclasses.asdict(self)
        return json.dumps(raw, sort_keys=True, allow_nan=False, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str, origin: str) -> CalibrationTable:
        """Parse and check the table of the file `origin`.

        Raises:
            ModelError: damaged, of another version, or a value of the wrong kind.
        """
        try:
            raw = json.loads(text)
            if raw["schema"] != SCHEMA_VERSION:
                raise ValueError(f"schema {raw['schema']!r}, this version reads {SCHEMA_VERSION}")
            return cls(
                method=str(raw["method"]),
                ranges={str(name): _range(values) for name, values in raw["ranges"].items()},
                frames=int(raw["frames"]),
                seed=int(raw["seed"]),
                fp32_sha256=str(raw["fp32_sha256"]),
                float_layers=tuple(str(name) for name in raw["float_layers"]),
                cpu_float_layers=tuple(str(name) for name in raw["cpu_float_layers"]),
            )
        except (json.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(
                f"{origin}: not a calibration table this version reads ({type(error).__name__}: {error}); "
                "make one with `dips-edge calibrate`"
            ) from error

    def write(self, path: Path) -> None:
        """Write the file whole or not at all.

        Raises:
            ModelError: it cannot be written.
        """
        part = path.with_name(f".{path.name}.part")
        try:
            part.write_text(self.to_json())
            part.replace(path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise ModelError(f"{path}: cannot be written ({error.strerror or error})") from error

    @classmethod
    def read(cls, path: Path) -> CalibrationTable:
        """The table in a file.

        Raises:
            ModelError: not there, not readable, or not a table.
        """
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(
                f"{path}: cannot be read ({error}); make one with `dips-edge calibrate`"
            ) from error
        return cls.from_json(text, str(path))


def _range(values: Any) -> TensorRange:
    found = TensorRange(float(values["amax"]), float(values["low"]), float(values["high"]))
    if not (0 <= found.amax < float("inf") and -found.amax <= found.low <= 0 <= found.high <= found.amax):
        raise ValueError(f"range {values} is not within its amax")
    return found
