"""The exact figures at the end of a run: best and last checkpoint, val and test.

RUN ──evaluate──▶ metrics.json ──▶ report.html
"""

from __future__ import annotations

import copy
import json
import logging
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from edge_runtime.progress import counted
from train.checkpoint import write_text
from train.evaluation.evaluate import choose_thresholds, evaluate_split, report_split, score_split
from train.evaluation.metrics_center import center_box_figures
from train.evaluation.predict import predict_run
from train.evaluation.presence import KEY, fit_on_val
from train.evaluation.report import write_report
from train.evaluation.split_scores import PresenceRule, pseudo_boxes
from train.localizer import load_localizer
from train.tensors import same_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from train.config import TrainConfig
    from train.data.types import Dataset, Image
    from train.epochs import Outcome
    from train.evaluation.evaluate import Prediction
    from train.localizer import Localizer
    from train.proposals import Proposal
    from train.shared import AnyRun, Run

M = TypeVar("M", bound=torch.nn.Module)
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
    side = run.config.localizer.eval_size

    def judge(which: str, model: Localizer) -> dict[str, Any]:
        model.to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

        def predict(images: Sequence[Image]) -> Iterator[Prediction]:
            watch = run.quarantine.watch(images)
            found = predict_run(model, images, (side, side), workers=run.workers, on_skip=watch)
            return counted(found, f"{which} checkpoint", len(images))

        return judge_checkpoint(run.dataset, which, predict, PresenceRule.MAP, proposals)

    results = judge_checkpoints(lambda which: load_localizer(run.out, which), judge)
    write_results(run, outcome, results, side)


def judge_checkpoints(
    load: Callable[[str], M], judge: Callable[[str, M], dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """The figures of "best" and of "last", made once where both have the same weights."""
    best, last = load("best"), load("last")
    alike = same_weights(best, last)
    results = {"best": judge("best", best)}
    if alike:
        _log.info("last checkpoint: the same weights")
    results["last"] = copy.deepcopy(results["best"]) if alike else judge("last", last)
    return results


def write_results(run: AnyRun, outcome: Outcome, results: Mapping[str, dict[str, Any]], side: int) -> None:
    """Write `metrics.json` and `report.html` of a run.

    Args:
        results: of `judge_checkpoint`, by checkpoint. side: of the network's input, px.
    """
    negative = run.dataset.negative
    metrics = {
        "run_id": (run.out / "run_id").read_text(encoding="utf-8").strip(),
        "data": str(run.dataset.root.resolve()),
        "classes": list(run.dataset.classes),
        "negative_class": None if negative is None else run.dataset.classes[negative],
        "input_size": [side] * 2,
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


def judge_checkpoint(
    dataset: Dataset,
    which: str,
    predict: Callable[[Sequence[Image]], Iterator[Prediction]],
    presence: PresenceRule,
    proposals: Mapping[str, NDArray[np.int64]] | None = None,
) -> dict[str, Any]:
    """Thresholds chosen on val, and every figure of val and test with them.

    Args:
        which: name of the checkpoint, for the log.
        proposals: as for `score_split`.
    """
    negative = dataset.negative
    val = score_split(predict(dataset.splits["val"]), negative, proposals=proposals, presence=presence)
    chosen, in_view = choose_thresholds(val), fit_on_val(val)
    if in_view.note is not None:
        _log.info("%s checkpoint, P(in view): %s", which, in_view.note)
    result: dict[str, Any] = {
        "decision_threshold": chosen.decision,
        "presence_threshold": chosen.presence,
        "tau": chosen.tau,
        KEY: in_view.to_json(),
        "val": report_split(val, chosen),
    }
    if dataset.splits["test"]:
        result["test"] = evaluate_split(predict(dataset.splits["test"]), negative, chosen, presence)
    for split in ("val", "test"):
        figures = result.get(split, {})
        figures |= center_box_figures(dataset, split) if figures else {}
        said = ", ".join(f"{k} {figures[k]:.1f}" for k in SAID if figures.get(k) is not None)
        if said:
            _log.info("%s checkpoint, %s: %s", which, split, said)
    return result
