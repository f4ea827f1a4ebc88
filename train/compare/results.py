"""Figures of a comparison: per row, checkpoint and split the mean, spread and range over seeds.

DIR/runs/*/metrics.json ──▶ Row per method or ablation ──▶ train.compare.table, charts, page
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from train.compare.cost import Cost, measure
from train.compare.plan import is_done, run_dir
from train.evaluation.subject import read_metrics

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from train.compare.plan import Job, Plan

CHECKPOINTS, SPLITS = ("best", "last"), ("test", "val")


@dataclass(frozen=True)
class Column:
    """`path`: where the figure is in the figures of a split. `digits`: after the point."""

    label: str
    path: tuple[str, ...]
    digits: int = 1

    def of(self, figures: Mapping[str, Any]) -> float | None:
        """The figure, None where it cannot be told."""
        value: Any = figures
        for key in self.path:
            value = value.get(key) if isinstance(value, dict) else None
        return None if value is None else float(value)


_AT_VAL = ("errors", "class_known", "val_tau")
COLUMNS = (
    Column("MaxBoxAccV2", ("max_box_acc_v2",)),
    Column("MaxBoxAcc", ("max_box_acc",)),
    Column("Top-1 Loc", ("top1_loc",)),
    Column("Top-5 Loc", ("top5_loc",)),
    Column("LPE", (*_AT_VAL, "part")),
    Column("LME", (*_AT_VAL, "more")),
    Column("at val threshold", ("box_acc_fixed_tau",)),
    Column("curve width", ("curve_width",), 2),
    Column("as deployed", ("box_acc_deployed",)),
    Column("recall per box", ("box_recall_deployed",)),
    Column("false alarms", ("false_alarm_rate",)),
    Column("class accuracy", ("class_acc",)),
)


@dataclass(frozen=True)
class Spread:
    """A figure over seeds; `std` is that of the sample, None for a single seed."""

    mean: float
    std: float | None
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Row:
    """A method or ablation: metrics.json by seed of finished runs, why the others failed, what it costs."""

    method: str
    runs: Mapping[int, Mapping[str, Any]]
    failed: Mapping[int, str]
    cost: Cost | None

    def spread(self, column: Column, checkpoint: str, split: str) -> Spread | None:
        """One figure over the finished seeds; None where none of them has it."""
        values = [column.of(run[checkpoint].get(split, {})) for run in self.runs.values()]
        return spread_of([v for v in values if v is not None])

    def has(self, checkpoint: str, split: str) -> bool:
        """Whether any finished run was judged there."""
        return any(run[checkpoint].get(split) for run in self.runs.values())


def spread_of(values: list[float]) -> Spread | None:
    """Mean, sample standard deviation and range; None of nothing."""
    if not values:
        return None
    std = statistics.stdev(values) if len(values) > 1 else None
    return Spread(statistics.fmean(values), std, min(values), max(values), len(values))


def gather(out: Path, plan: Plan, failed: Mapping[Job, str]) -> list[Row]:
    """One row per method, in the plan's order. Raises ModelError for a damaged metrics.json."""
    rows = []
    for method in plan.methods:
        jobs = [job for job in plan.jobs() if job.method == method]
        done = [job for job in jobs if is_done(out, job)]
        runs = {job.seed: read_metrics(run_dir(out, job)) for job in done}
        why = {job.seed: failed.get(job, "not done yet") for job in jobs if job not in done}
        rows.append(Row(method, runs, why, measure(run_dir(out, done[0])) if done else None))
    return rows
