"""What export needs to know of a run directory: classes, sizes, thresholds and metrics of one checkpoint.

RUN/metrics.json ──read_run──▶ RunFacts ──▶ ModelContract
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_runtime.contract import ModelContract
from edge_runtime.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

METRICS = "metrics.json"
CHECKPOINTS = ("best", "last")


@dataclass(frozen=True)
class RunFacts:
    """`input_hw`: network input at val, px. `data`: folder of the photos, where the run names it."""

    classes: tuple[str, ...]
    negative_class: str | None
    input_hw: tuple[int, int]
    decision_threshold: float
    presence_threshold: float
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
            run_id=self.run_id,
            tools=tools,
            metrics=self.metrics,
        )


def read_run(run_dir: Path, checkpoint: str) -> RunFacts:
    """Read RUN/metrics.json for the checkpoint "best" or "last", each with thresholds and figures of its own.

    Raises:
        ModelError: not a finished run, or a value is missing or of the wrong kind.
    """
    path = run_dir / METRICS
    if not run_dir.is_dir():
        raise ModelError(f"{run_dir}: no such run directory; make one with `dips-edge train DATA --out RUN`")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        part = raw[checkpoint]
        chosen_by = raw["selection"] if checkpoint == "best" else "none (last epoch)"
        return RunFacts(
            classes=tuple(str(name) for name in raw["classes"]),
            negative_class=raw["negative_class"],
            input_hw=_height_width(raw["input_size"]),
            decision_threshold=float(part.get("decision_threshold", raw["decision_threshold"])),
            presence_threshold=float(part.get("presence_threshold", raw["presence_threshold"])),
            run_id=str(raw["run_id"]),
            metrics={"checkpoint": checkpoint, "selection": chosen_by, **_figures(part)},
            data=raw.get("data"),
        )
    except OSError as error:
        raise ModelError(
            f"{path}: cannot be read ({error.strerror}); {run_dir} is not a finished run of `dips-edge train`"
        ) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            f"{path}: damaged or from another version ({type(error).__name__}: {error}); train the run again"
        ) from error


def _height_width(size: int | list[int]) -> tuple[int, int]:
    """One number is a square; a list is [height, width]."""
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width)


def _figures(part: dict[str, Any]) -> dict[str, Any]:
    """The single figures of val and test; curves and tables stay in metrics.json."""
    return {
        split: {name: value for name, value in part[split].items() if not isinstance(value, list | dict)}
        for split in ("val", "test")
        if part.get(split)
    }
