"""What a doctor looks at and what it says: files under a root, programs with a time limit, rows."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TIMEOUT_S = 30.0  # the first import of TensorRT from a slow card takes several seconds

State = Literal["ok", "missing", "problem"]


@dataclass(frozen=True)
class Row:
    """One fact.

    Attributes:
        name: what it is about.
        state: "missing" is fine where it is not needed; "problem" never is.
        text: what was found.
        advice: what to do, where there is something.
    """

    name: str
    state: State
    text: str
    advice: str = ""


@dataclass(frozen=True)
class Ran:
    """How a program ended: `code` is None when it is not installed or was stopped; negative for a signal."""

    code: int | None
    out: str = ""
    why: str = ""


def execute(command: Sequence[str], timeout_s: float = TIMEOUT_S) -> Ran:
    """Run a program without input, for at most `timeout_s`; never raises for what the program does."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired:
        return Ran(None, why=f"no answer within {timeout_s:g} s")
    except OSError as error:
        return Ran(None, why=error.strerror or str(error))
    return Ran(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Machine:
    """The machine to examine; tests put another root and other programs here.

    Attributes:
        root: where /proc, /sys, /etc, /dev and /var lie.
        engine_dir: where engines would be kept.
        execute: runs a program.
        installed: whether a top-level package can be found for import, without importing it.
    """

    root: Path = Path("/")
    engine_dir: Path = Path()
    execute: Callable[[Sequence[str]], Ran] = execute
    installed: Callable[[str], bool] = lambda name: importlib.util.find_spec(name) is not None

    def python(self, code: str) -> dict[str, Any] | str:
        """The JSON object `code` prints in an interpreter of its own that finds us, or why it fails."""
        find_us = f"import sys; sys.path[:] = {sys.path!r}\n"
        ran = self.execute([sys.executable, "-c", find_us + code])
        if ran.code == 0:
            try:
                return dict(json.loads(ran.out.strip().splitlines()[-1]))
            except (ValueError, IndexError, TypeError):
                return "gives no answer"
        if ran.code is None:
            return ran.why
        if ran.code < 0:
            return f"crashes (signal {-ran.code})"
        return next(
            (line for line in reversed(ran.why.splitlines()) if line.strip()), f"exit code {ran.code}"
        )
