"""What a comparison trains, and that it stays the same when it is continued.

flags ──▶ Plan ──▶ DIR/compare.json; DIR/runs/METHOD-SEED/ for each of its jobs
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_runtime.errors import ModelError, UsageError
from train.baselines.methods import DIPS, METHODS
from train.checkpoint import write_text
from train.compare.ablations import is_ablation, is_dips

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

FILE = "compare.json"


@dataclass(frozen=True)
class Job:
    """One run."""

    method: str
    seed: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.method}-{self.seed}"


@dataclass(frozen=True)
class Plan:
    """`arguments`: flags of `dips-edge train` by method or ablation, without DATA, --out, --method and
    --seed."""

    data: str
    seeds: int
    arguments: Mapping[str, Sequence[str]]

    @property
    def methods(self) -> list[str]:
        """In the order of the table: as asked for, ablations right beneath DiPS."""
        rows = [name for name in self.arguments if is_ablation(name)]
        rest = [name for name in self.arguments if not is_ablation(name)]
        at = rest.index(DIPS) + 1 if DIPS in rest else len(rest)
        return [*rest[:at], *rows, *rest[at:]]

    def jobs(self) -> Iterator[Job]:
        """Every run: the first seed of all methods before the second; where a seed changes nothing, one."""
        for seed in range(self.seeds):
            for method in self.methods:
                if seed == 0 or is_dips(method) or METHODS[method].seeded:
                    yield Job(method, seed)


def run_dir(out: Path, job: Job) -> Path:
    """Where a job's run lies."""
    return out / "runs" / job.name


def is_done(out: Path, job: Job) -> bool:
    """Whether a job's run is finished: its report is the last thing that it writes."""
    return (run_dir(out, job) / "report.html").is_file()


def parse_methods(text: str) -> list[str]:
    """`cam,has` as a list. Raises UsageError for a method that does not exist, or none at all."""
    known = (DIPS, *METHODS)
    names = list(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))
    if names == ["all"]:
        return list(known)
    wrong = [name for name in names if name not in known]
    if wrong or not names:
        what = repr(wrong[0]) if wrong else "nothing"
        raise UsageError(f"--methods: {what}: expected some of {', '.join(known)}, or all")
    return names


def split_settings(assignments: Sequence[str], methods: Sequence[str]) -> dict[str, list[str]]:
    """`cam:optim.lr=1e-3` texts by method, as KEY=VALUE.

    Raises:
        UsageError: a text of another form, or for a method that is not compared.
    """
    found: dict[str, list[str]] = {}
    for text in assignments:
        method, colon, assignment = text.partition(":")
        if not colon or "=" not in assignment or "=" in method:
            raise UsageError(f"--set {text!r}: expected METHOD:KEY=VALUE, like cam:optim.lr=1e-3")
        if method not in methods:
            raise UsageError(
                f"--set {text!r}: {method!r} is not among what is compared: {', '.join(methods)}"
            )
        found.setdefault(method, []).append(assignment)
    return found


def enlist(out: Path, plan: Plan) -> Plan:
    """Write the plan into `out`; where one is there, add to it.

    A method of which no run has ended well may get other flags; its runs begin anew.

    Returns:
        The plan of all there is to compare in `out`.

    Raises:
        UsageError: `out` holds something else, or runs with other photos or settings.
    """
    path = out / FILE
    if path.is_file():
        plan = _together(out, _read(path), plan)
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and holds no comparison; choose another --out")
    try:
        (out / "runs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{out}: cannot be made ({error.strerror}); choose another --out") from error
    arguments = {method: list(flags) for method, flags in plan.arguments.items()}
    document = {"data": plan.data, "seeds": plan.seeds, "arguments": arguments}
    write_text(path, json.dumps(document, indent=1))
    return plan


def _read(path: Path) -> Plan:
    try:
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Plan(
            str(raw["data"]), int(raw["seeds"]), {str(k): list(v) for k, v in raw["arguments"].items()}
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: damaged ({error}); remove it and give the same flags again") from error


def _together(out: Path, stored: Plan, asked: Plan) -> Plan:
    path = out / FILE
    if stored.data != asked.data:
        raise UsageError(f"{path}: compares on {stored.data}, not on {asked.data}; choose another --out")
    for method, flags in asked.arguments.items():
        before = stored.arguments.get(method, flags)
        if list(before) == list(flags):
            continue
        jobs = [job for job in stored.jobs() if job.method == method]
        if any(is_done(out, job) for job in jobs):
            then, now = (" ".join(words) or "no flags" for words in (before, flags))
            raise UsageError(
                f"{path}: {method} was trained with {then}; not with {now}. Give the same flags, "
                "or another --out"
            )
        for job in jobs:
            shutil.rmtree(run_dir(out, job), ignore_errors=True)
    arguments = {**stored.arguments, **asked.arguments}
    return Plan(stored.data, max(stored.seeds, asked.seeds), arguments)
