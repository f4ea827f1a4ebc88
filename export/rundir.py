"""What export needs to know of a run directory: classes, sizes, thresholds and metrics of one checkpoint.

RUN/metrics.json ──read_run──▶ RunFacts ──▶ ModelContract
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_runtime.contract import ModelContract
from edge_runtime.errors import ModelError
from train.evaluation.presence import calibration_of
from train.evaluation.subject import METRICS, read_metrics
from train.selection import LAST

if TYPE_CHECKING:
    from pathlib import Path

    from edge_runtime.presence import PresenceCalibration


@dataclass(frozen=True)
class RunFacts:
    """`input_hw`: network input at val, px. `data`: folder of the photos, where the run names it."""

    classes: tuple[str, ...]
    negative_class: str | None
    input_hw: tuple[int, int]
    decision_threshold: float
    presence_threshold: float
    presence_calibration: PresenceCalibration | None
    run_id: str
    metrics: dict[str, Any]
    data: str | None

    def contract(self, input_hw: tuple[int, int], tools: dict[str, str]) -> ModelContract:
        """The contract of an fp32 file of this run."""
        return ModelContract(
            classes=self.classes,
            negative_class=self.negative_class,
            input_height=input_hw[0],
            input_width=input_hw[1],
            decision_threshold=self.decision_threshold,
            presence_threshold=self.presence_threshold,
            presence_calibration=self.presence_calibration,
            run_id=self.run_id,
            tools=tools,
            metrics=self.metrics,
        )


def read_run(run_dir: Path, checkpoint: str) -> RunFacts:
    """Read RUN/metrics.json for the checkpoint "best" or "last", each with thresholds and figures of its own.

    Raises:
        ModelError: not a finished run, or a value is missing or of the wrong kind.
    """
    if not run_dir.is_dir():
        raise ModelError(f"{run_dir}: no such run directory; make one with `dips-edge train DATA --out RUN`")
    raw = read_metrics(run_dir)
    try:
        part, (height, width) = raw[checkpoint], raw["input_size"]
        chosen_by = raw["selection"] if checkpoint == "best" else LAST.words
        return RunFacts(
            classes=tuple(str(name) for name in raw["classes"]),
            negative_class=raw["negative_class"],
            input_hw=(int(height), int(width)),
            decision_threshold=float(part["decision_threshold"]),
            presence_threshold=float(part["presence_threshold"]),
            presence_calibration=calibration_of(part),
            run_id=str(raw["run_id"]),
            metrics={"checkpoint": checkpoint, "selection": chosen_by, **_figures(part)},
            data=raw.get("data"),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            f"{run_dir / METRICS}: damaged or from another version ({type(error).__name__}: {error}); "
            "train the run again"
        ) from error


def _figures(part: dict[str, Any]) -> dict[str, Any]:
    """The single figures of val and test; curves and tables stay in metrics.json."""
    return {
        split: {name: value for name, value in part[split].items() if not isinstance(value, list | dict)}
        for split in ("val", "test")
        if part.get(split)
    }
