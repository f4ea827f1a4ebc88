"""Runs one after the other: what is there stays, what stopped goes on, what fails does not stop the rest."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from train.compare.plan import Job, Plan, run_dir
from train.compare.runner import call_program, run_jobs

if TYPE_CHECKING:
    from collections.abc import Callable

PLAN = Plan("/photos", 2, {"dips": ["--epochs", "1"], "cam": []})


def _call(told: list[list[str]], why: Callable[[str], str | None]) -> Callable[[list[str], Path], str | None]:
    def call(args: list[str], log: Path) -> str | None:
        told.append(args)
        folder = Path(args[args.index("--out") + 1])
        assert log == folder.with_name(folder.name + ".log")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.toml").write_text("")
        reason = why(folder.name)
        if reason is None:
            (folder / "report.html").write_text("")
        return reason

    return call


def test_every_job_is_a_command_of_its_own(tmp_path: Path) -> None:
    told: list[list[str]] = []
    assert run_jobs(tmp_path, PLAN, ["--threads", "1"], _call(told, lambda _: None)) == {}
    assert told[0][:4] == ["train", "/photos", "--out", str(tmp_path / "runs" / "dips-0")]
    assert told[0][4:] == ["--threads", "1", "--seed", "0", "--epochs", "1"]
    assert told[2][-2:] == ["--reuse", str(tmp_path / "runs" / "dips-0")]
    assert told[3][-4:] == ["--method", "cam", "--seed", "1"]
    assert len(told) == 4


def test_a_failure_is_noted_and_the_rest_goes_on(tmp_path: Path) -> None:
    told: list[list[str]] = []
    failed = run_jobs(tmp_path, PLAN, [], _call(told, lambda name: "no memory" if name == "cam-0" else None))
    assert failed == {Job("cam", 0): "no memory"}
    assert len(told) == 4


def test_only_what_is_missing_is_done_again_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    run_jobs(tmp_path, PLAN, [], _call([], lambda name: "stopped" if name == "cam-1" else None))
    leftover = run_dir(tmp_path, Job("dips", 1))
    (leftover / "report.html").unlink()
    (leftover / "config.toml").unlink()  # killed before it began
    told: list[list[str]] = []
    assert run_jobs(tmp_path, PLAN, [], _call(told, lambda _: None)) == {}
    assert [args[3] for args in told] == [str(leftover), str(tmp_path / "runs" / "cam-1")]
    assert "--resume" not in told[0]
    assert told[1][-1] == "--resume"
    assert "--seed" not in told[1]


def test_an_end_without_a_report_is_a_failure(tmp_path: Path) -> None:
    failed = run_jobs(tmp_path, Plan("/photos", 1, {"cam": []}), [], lambda *_: None)
    assert list(failed.values()) == ["it ended without a report"]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str | None]:
    """Lets `dips-edge train x` be a script of its own; gives what is said of its end."""

    def call(script: str) -> str | None:
        package = tmp_path / "edge_runtime"
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "__main__.py").write_text(script)
        monkeypatch.chdir(tmp_path)  # where `python -m` looks first
        return call_program(["train", "x"], tmp_path / "run.log")

    return call


@pytest.mark.parametrize(
    ("script", "said", "why"),
    [
        pytest.param("import sys; print('well', file=sys.stderr)", "well", None, id="well"),
        pytest.param("import sys; sys.exit('error: no photo')", "error: no photo", "no photo", id="error"),
        pytest.param(
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            "",
            "killed by signal 9 (9 is often: not enough memory)",
            id="killed",
        ),
    ],
)
def test_a_program_says_how_it_ended(
    script: str, said: str, why: str | None, program: Callable[[str], str | None], tmp_path: Path
) -> None:
    assert program(script) == why
    assert (tmp_path / "run.log").read_text().split("\n", 1) == [
        "$ dips-edge train x",
        said + "\n" * bool(said),
    ]


def test_an_interrupted_program_interrupts_the_comparison(program: Callable[[str], str | None]) -> None:
    with pytest.raises(KeyboardInterrupt):
        program("import sys; sys.exit(130)")


def test_a_comparison_that_is_stopped_stops_its_program(
    program: Callable[[str], str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(text: str) -> int:
        raise KeyboardInterrupt  # as Ctrl-C would, while the program speaks

    monkeypatch.setattr("sys.stderr.write", write)
    script = """
import pathlib, sys, time
print("begun", file=sys.stderr, flush=True)
time.sleep(60)
pathlib.Path("ended").write_text("")
"""
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        program(script)
    assert time.monotonic() - started < 30
    assert not (tmp_path / "ended").exists()
