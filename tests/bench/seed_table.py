"""Mean and range over runs that differ in their seed: `python -m tests.bench.seed_table RUN RUN RUN`.

Reads each RUN/metrics.json and prints a Markdown table of the figures we promise something about.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

FIGURES = {
    "max_box_acc_v2": "MaxBoxAccV2",
    "max_box_acc": "MaxBoxAcc (IoU .5)",
    "box_acc_fixed_tau": "box accuracy at the fixed val threshold (protocol rule)",
    "box_acc_deployed": "box accuracy as deployed (absolute thresholds, presence gate)",
    "box_recall_deployed": "recall per box as deployed",
    "false_alarm_rate": "false alarms on negative photos",
    "class_acc": "class accuracy of the class head",
}


def cell(values: list[float | None]) -> str:
    """`81.2 (79.7-83.8)`: mean and range of the seeds, or a dash where there is no such figure."""
    known = [v for v in values if v is not None]
    return f"{sum(known) / len(known):.1f} ({min(known):.1f}-{max(known):.1f})" if known else "-"


def main(run_dirs: list[str]) -> None:
    """Print one table for the given runs."""
    if not run_dirs:
        sys.exit("usage: python -m tests.bench.seed_table RUN [RUN ...]")
    runs = [json.loads((Path(d) / "metrics.json").read_text(encoding="utf-8")) for d in run_dirs]
    print(f"{len(runs)} seeds, mean (range), percent; best checkpoint chosen by: {runs[0]['selection']}\n")
    columns = [(which, split) for which in ("best", "last") for split in ("val", "test")]
    print("| | " + " | ".join(f"{which}, {split}" for which, split in columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for key, name in FIGURES.items():
        row = [cell([run[which].get(split, {}).get(key) for run in runs]) for which, split in columns]
        if any(c != "-" for c in row):
            print(f"| {name} | " + " | ".join(row) + " |")
    stages = {k for run in runs for k in run["seconds"] if "/" not in k}
    spent = ", ".join(f"{k} {max(run['seconds'].get(k, 0) for run in runs) / 60:.1f}" for k in sorted(stages))
    print(f"\nminutes per stage (slowest seed): {spent}")


if __name__ == "__main__":
    main(sys.argv[1:])
