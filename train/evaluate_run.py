"""The exact figures at the end of a run: best and last checkpoint, val and test.

RUN ──evaluate──▶ metrics.json ──▶ report.html
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import torch

from train.checkpoint import write_text
from train.evaluation import choose_thresholds, evaluate_split, report_split, score_split
from train.localizer import load_localizer
from train.metrics_center import center_box_figures
from train.predict import predict_run
from train.report import write_report
from train.split_scores import pseudo_boxes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from train.config import TrainConfig
    from train.epochs import Outcome
    from train.evaluation import Prediction
    from train.proposals import Proposal
    from train.shared import Run

_log = logging.getLogger(__name__)
SAID = (
    "max_box_acc_v2",
    "max_box_acc",
    "box_acc_fixed_tau",
    "box_acc_deployed",
    "false_alarm_rate",
    "class_acc",
)


def evaluate_run(
    run: Run[TrainConfig], outcome: Outcome, val_proposals: Sequence[Sequence[Proposal]]
) -> None:
    """Evaluate both checkpoints; write `metrics.json`, then `report.html`."""
    proposals = pseudo_boxes(run.dataset.splits["val"], val_proposals)
    results: dict[str, Any] = {which: _evaluate(run, which, proposals) for which in ("best", "last")}
    metrics = {
        "run_id": (run.out / "run_id").read_text(encoding="utf-8").strip(),
        "data": str(run.dataset.root.resolve()),
        "classes": list(run.dataset.classes),
        "negative_class": None if run.dataset.negative is None else run.dataset.classes[run.dataset.negative],
        "input_size": [run.config.localizer.eval_size] * 2,
        "selection": outcome.selection,
        "best_epoch": outcome.best_epoch,
        "decision_threshold": results["best"]["decision_threshold"],
        "presence_threshold": results["best"]["presence_threshold"],
        "tau": results["best"]["tau"],
        **run.facts,
        "history": outcome.history,
        "skipped": outcome.skipped,
        "seconds": run.seconds,
        **results,
    }
    write_text(run.out / "metrics.json", json.dumps(metrics, indent=1, allow_nan=False))
    _log.info("report: %s", write_report(run.out, run.dataset, workers=run.workers))


def _evaluate(run: Run[TrainConfig], which: str, proposals: dict[str, NDArray[np.int64]]) -> dict[str, Any]:
    model = load_localizer(run.out, which).to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    side, negative = run.config.localizer.eval_size, run.dataset.negative

    def predict(split: str) -> Iterator[Prediction]:
        return predict_run(model, run.dataset.splits[split], (side, side), workers=run.workers)

    val = score_split(predict("val"), negative, proposals=proposals)
    chosen = choose_thresholds(val)
    result: dict[str, Any] = {
        "decision_threshold": chosen.decision,
        "presence_threshold": chosen.presence,
        "tau": chosen.tau,
        "val": report_split(val, chosen),
    }
    if run.dataset.splits["test"]:
        result["test"] = evaluate_split(predict("test"), negative, chosen)
    for split in ("val", "test"):
        figures = result.get(split, {})
        figures |= center_box_figures(run.dataset, split) if figures else {}
        said = ", ".join(f"{k} {figures[k]:.1f}" for k in SAID if figures.get(k) is not None)
        if said:
            _log.info("%s checkpoint, %s: %s", which, split, said)
    return result
