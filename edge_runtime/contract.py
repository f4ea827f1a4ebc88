"""The model-file contract: what a `.onnx` says about itself, as JSON in its metadata.

export ──writes──▶ metadata_props["dips_edge"] ──read by──▶ every backend, `evaluate`, `run`
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from edge_runtime.errors import ModelError
from edge_runtime.presence import PresenceCalibration

METADATA_KEY = "dips_edge"
SCHEMA_VERSION = 1
INPUT_NAME = "image"  # uint8 (N, H, W, 3), BGR as OpenCV gives it
MAP_NAME = "prob"  # float32 (N, 1, H, W), foreground probability in [0, 1]
CLASS_NAME = "class_probs"  # float32 (N, K), softmax over `classes`
TARGETS = ("any", "tensorrt10", "tensorrt8", "cpu")  # what a file is written for; see ModelContract.target
BOX_RULE = "threshold_components"  # edge_runtime.boxes.decode_map


@dataclass(frozen=True)
class ModelContract:
    """Everything a runtime must know to use a model file.

    Thresholds are absolute, in [0, 1], chosen on val: `decision_threshold` cuts the map into
    regions, `presence_threshold` says whether the asset is in view at all. `target`: what this file is
    for; int8 has one for TensorRT from 10 on, one for 8.x and one for CPUs, "any" runs everywhere.
    `presence_calibration`: None where val could not tell, and in files from before there was one.
    """

    classes: tuple[str, ...]
    negative_class: str | None
    input_height: int
    input_width: int
    decision_threshold: float
    presence_threshold: float
    batch: int = 1
    precision: str = "fp32"
    target: str = "any"
    box_rule: str = BOX_RULE
    calibration_method: str | None = None
    presence_calibration: PresenceCalibration | None = None
    run_id: str = ""
    fp32_sha256: str | None = None
    tools: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA_VERSION

    @property
    def negative(self) -> int | None:
        """Index of the class without an object among `classes`."""
        return None if self.negative_class is None else self.classes.index(self.negative_class)

    def to_json(self) -> str:
        """One JSON object, sorted keys, no NaN."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str | None, origin: str) -> ModelContract:
        """Parse and check the metadata of the file `origin`.

        Raises:
            ModelError: no contract, another schema, or a field missing, of the wrong type or range.
        """
        if not text:
            raise ModelError(
                f"{origin}: not a dips-edge model (no {METADATA_KEY!r} metadata); "
                "make one with `dips-edge export RUN`"
            )
        try:
            raw = json.loads(text)
        except json.JSONDecodeError as error:
            raise ModelError(f"{origin}: its {METADATA_KEY!r} metadata is damaged: {error}") from error
        if not isinstance(raw, dict) or raw.get("schema") != SCHEMA_VERSION:
            found = raw.get("schema") if isinstance(raw, dict) else type(raw).__name__
            raise ModelError(
                f"{origin}: model schema {found!r}, this version reads {SCHEMA_VERSION}; "
                "export the run again or update dips-edge"
            )
        known = {f.name for f in dataclasses.fields(cls)}
        try:
            contract = cls(**{k: v for k, v in raw.items() if k in known})
        except TypeError as error:
            raise ModelError(f"{origin}: incomplete model contract: {error}") from error
        contract = dataclasses.replace(
            contract,
            classes=tuple(contract.classes),
            presence_calibration=_presence_calibration(raw.get("presence_calibration"), origin),
        )
        contract._check(origin)
        return contract

    def _check(self, origin: str) -> None:
        def need(ok: bool, what: str) -> None:
            if not ok:
                raise ModelError(f"{origin}: bad model contract: {what}; export the run again")

        need(
            len(self.classes) > 0 and all(isinstance(c, str) for c in self.classes),
            f"classes = {self.classes!r}, expected a list of names",
        )
        need(
            self.negative_class is None or self.negative_class in self.classes,
            f"negative_class {self.negative_class!r} is not one of {self.classes}",
        )
        for name in ("input_height", "input_width", "batch"):
            value = getattr(self, name)
            need(isinstance(value, int) and value > 0, f"{name} = {value!r}, expected a positive integer")
        for name in ("decision_threshold", "presence_threshold"):
            value = getattr(self, name)
            need(
                isinstance(value, (int, float)) and 0.0 <= value <= 1.0,
                f"{name} = {value!r}, expected a number in [0, 1]",
            )
        need(self.target in TARGETS, f"target {self.target!r}, this version knows {', '.join(TARGETS)}")
        need(self.box_rule == BOX_RULE, f"box rule {self.box_rule!r}, this version knows {BOX_RULE!r}")


def _presence_calibration(raw: Any, origin: str) -> PresenceCalibration | None:
    if raw is None:
        return None
    try:
        return PresenceCalibration.from_json(raw)
    except ValueError as error:
        raise ModelError(f"{origin}: bad model contract: {error}; export the run again") from error
