"""The exact figures at the end of a run: best and last checkpoint, val and test ──▶ RUN/metrics.json."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from train.checkpoint import write_text
from train.evaluation import SplitScores, choose_thresholds, report_split
from train.localizer import load_localizer
from train.validate import predict_maps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from train.localizer import Localizer
    from train.loop import Outcome
    from train.proposals import Proposal
    from train.run import Run

_log = logging.getLogger(__name__)
SAID = (
    "max_box_acc_v2",
    "max_box_acc",
    "box_acc_fixed_tau",
    "box_acc_deployed",
    "false_alarm_rate",
    "class_acc",
)


def evaluate_run(run: Run, outcome: Outcome, val_proposals: Sequence[Sequence[Proposal]]) -> None:
    """Evaluate both checkpoints and write `metrics.json`."""
    results: dict[str, Any] = {which: _evaluate(run, which) for which in ("best", "last")}
    metrics = {
        "run_id": (run.out / "run_id").read_text(encoding="utf-8").strip(),
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


def _evaluate(run: Run, which: str) -> dict[str, Any]:
    model = load_localizer(run.out, which).to(run.device)
    val = _score(run, model, "val")
    chosen = choose_thresholds(val)
    result: dict[str, Any] = {
        "decision_threshold": chosen.decision,
        "presence_threshold": chosen.presence,
        "tau": chosen.tau,
        "val": report_split(val, chosen),
    }
    if run.dataset.splits["test"]:
        result["test"] = report_split(_score(run, model, "test"), chosen)
    for split in ("val", "test"):
        figures = result.get(split, {})
        said = ", ".join(f"{k} {figures[k]:.1f}" for k in SAID if figures.get(k) is not None)
        if said:
            _log.info("%s checkpoint, %s: %s", which, split, said)
    return result


def _score(run: Run, model: Localizer, split: str) -> SplitScores:
    images = run.dataset.splits[split]
    scores = SplitScores()
    side = run.config.localizer.eval_size
    for i, score_map, class_probs in predict_maps(model, images, side, run.workers):
        scores.add(images[i], score_map, class_probs, run.dataset.negative)
    return scores
