"""Trains the jobs of a comparison one after the other, each in a process of its own.

A run that is there is not done again, one that was interrupted goes on, one that fails is noted and the next
one begins: a process that crashes or is killed for memory takes no other with it.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from train.baselines.methods import DIPS
from train.compare.ablations import is_dips
from train.compare.plan import Job, is_done, run_dir
from train.evaluation.subject import CONFIG

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from train.compare.plan import Plan

    Call = Callable[[list[str], Path], str | None]

_log = logging.getLogger(__name__)
PATIENCE_S = 20.0  # for a stopped run to write what it has


def run_jobs(out: Path, plan: Plan, common: Sequence[str], call: Call | None = None) -> Mapping[Job, str]:
    """Bring every job to its end.

    Args:
        common: flags for every run, like --device.
        call: runs `dips-edge ARGS` and logs to a file; returns None, or why it failed.

    Returns:
        Why it failed, by job.
    """
    jobs = list(plan.jobs())
    failed: dict[Job, str] = {}
    for number, job in enumerate(jobs, 1):
        folder = run_dir(out, job)
        if is_done(out, job):
            continue
        _log.info("== %s, seed %d (%d of %d)", job.method, job.seed, number, len(jobs))
        args = ["train", plan.data, "--out", str(folder), *common]
        if (folder / CONFIG).is_file():
            args.append("--resume")
        else:
            shutil.rmtree(folder, ignore_errors=True)  # stopped before it began
            method = [] if is_dips(job.method) else ["--method", job.method]
            args += [*method, "--seed", str(job.seed), *plan.arguments[job.method], *_reused(out, job)]
        why = (call or call_program)(args, folder.with_name(f"{folder.name}.log"))
        if why is None and not is_done(out, job):
            why = "it ended without a report"
        if why is not None:
            failed[job] = why
            _log.warning("%s, seed %d failed: %s; the rest goes on", job.method, job.seed, why)
    return failed


def _reused(out: Path, job: Job) -> list[str]:
    """Flags that name the runs here whose stages this one may take over; the nearest comes first."""
    if not is_dips(job.method):
        return []
    donors = dict.fromkeys([Job(DIPS, job.seed), Job(job.method, 0), Job(DIPS, 0)])
    folders = [run_dir(out, donor) for donor in donors if donor != job]
    return [word for folder in folders if (folder / CONFIG).is_file() for word in ("--reuse", str(folder))]


def call_program(args: list[str], log: Path) -> str | None:
    """Run `dips-edge ARGS`, show what it says and keep it in `log`.

    Returns:
        None when it ended well, else its error line.

    Raises:
        KeyboardInterrupt: also for a run that was interrupted from outside.
    """
    command = [sys.executable, "-m", "edge_runtime", *args]
    last = ""
    with (
        log.open("a", encoding="utf-8") as file,
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace") as process,
    ):
        file.write(f"$ dips-edge {' '.join(args)}\n")
        assert process.stderr is not None
        try:
            for line in process.stderr:
                file.write(line)
                file.flush()
                sys.stderr.write(line)
                last = line.strip() or last
            code = process.wait()
        except BaseException:
            _stop(process)
            raise
    if code == 130:
        raise KeyboardInterrupt
    if code < 0:
        return f"killed by signal {-code} (9 is often: not enough memory)"
    return None if code == 0 else last.removeprefix("error: ")


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
