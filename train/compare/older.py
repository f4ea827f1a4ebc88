"""Runs of a comparison that an older version trained, whose defaults were others.

DIR/runs/METHOD-SEED/config.toml + what the flags mean today ──▶ lines of warning
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from train.compare.plan import run_dir
from train.config import read_run_config
from train.evaluation.subject import CONFIG
from train.settings import flatten

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from train.compare.plan import Plan
    from train.config import TrainConfig

LEFT_OPEN = ("seed", "optim.epochs")  # each job's own, and chosen from the photos


def other_defaults(out: Path, plan: Plan, today: Mapping[str, TrainConfig]) -> Iterator[str]:
    """One line for each run of DiPS, or of a part of it changed, whose settings are not those of today.

    Args:
        today: resolved settings by method or ablation.

    Raises:
        UsageError: a run's `config.toml` cannot be read.
    """
    for job in plan.jobs():
        folder = run_dir(out, job)
        if job.method not in today or not (folder / CONFIG).is_file():
            continue
        then, now = flatten(read_run_config(folder)), flatten(today[job.method])
        other = [f"{k} {v}, now {now[k]}" for k, v in then.items() if v != now[k] and k not in LEFT_OPEN]
        if other:
            yield (
                f"{folder}: trained by an older version, with other settings ({'; '.join(other)}). Rows and "
                "differences then mix both; compare into another --out to train it anew"
            )
