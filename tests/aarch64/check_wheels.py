"""Does everything that flies install on every JetPack, from wheels alone? Asks the package index.

pyproject.toml ──requirements of a board (markers)──▶ pip, for its Python and glibc, one by one ──▶ table

By hand: python tests/aarch64/check_wheels.py   (minutes; exit code 1 where something has no wheel)
pip's configuration is left out, so that nothing is found which a board would not find; PIP_INDEX_URL counts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name, parse_wheel_filename

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
EXTRAS = ("guidance",)  # beside the base install; what `jetson` holds is built on the board
FIRST_MANYLINUX = 17  # manylinux2014: the oldest glibc (2.17) that wheels for 64-bit Arm are made for
FROM_JETPACK = {"opencv-python": "JetPack's OpenCV"}  # switched off there by a marker, and why


@dataclass(frozen=True)
class Board:
    """A JetPack: `python` and `glibc` are those of its Ubuntu, `release` is what `uname -r` says."""

    name: str
    python: str
    glibc: tuple[int, int]
    release: str

    @property
    def platforms(self) -> list[str]:
        """Wheel platforms that its glibc can load, newest first."""
        newest_first = range(self.glibc[1], FIRST_MANYLINUX - 1, -1)
        return [*(f"manylinux_2_{minor}_aarch64" for minor in newest_first), "manylinux2014_aarch64"]

    def wants(self, requirement: Requirement) -> bool:
        """Whether pip on this board would take the requirement or skip it for its marker."""
        here = {
            "implementation_name": "cpython",
            "os_name": "posix",
            "platform_machine": "aarch64",
            "platform_python_implementation": "CPython",
            "platform_release": self.release,
            "platform_system": "Linux",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
            "extra": "",
        }
        return requirement.marker is None or requirement.marker.evaluate(here)


BOARDS = (
    Board("JetPack 5.1", "3.8", (2, 31), "5.10.120-tegra"),
    Board("JetPack 6", "3.10", (2, 35), "5.15.148-tegra"),
    Board("JetPack 7", "3.12", (2, 39), "6.8.12-tegra"),
)


@dataclass(frozen=True)
class Wheel:
    """What pip chose: `requires` are its own requirements as written in its metadata."""

    version: str
    file: str
    requires: tuple[str, ...]

    @property
    def oldest_glibc(self) -> str:
        """The least it asks of a board: "any" for pure Python, else such as "glibc 2.17"."""
        platforms = {tag.platform for tag in parse_wheel_filename(self.file)[3]}
        if platforms == {"any"}:
            return "any"
        minors = [int(p.split("_")[2]) for p in platforms if p.startswith("manylinux_2_")]
        return f"glibc 2.{min([*minors, *(17 for p in platforms if p.startswith('manylinux2014_'))])}"


class NoWheel(Exception):
    """pip finds no wheel of this requirement for the board; the message is pip's last line."""


def project() -> dict[str, Any]:
    """The [project] table of pyproject.toml."""
    return dict(tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"])


def requirements() -> list[Requirement]:
    """Of the base install and of `EXTRAS`."""
    table = project()
    lines = [*table["dependencies"], *(r for extra in EXTRAS for r in table["optional-dependencies"][extra])]
    return [Requirement(line) for line in lines]


def resolve(
    wanted: Iterable[Requirement], board: Board, find: Callable[[str, Board], Wheel]
) -> dict[str, Wheel | None]:
    """Wheels by package, with all they need themselves; None for what has none.

    A package that is asked for again with a narrower range is looked for again with all ranges together.
    """
    ranges: dict[str, SpecifierSet] = {}
    wheels: dict[str, Wheel | None] = {}
    waiting = [r for r in wanted if board.wants(r)]
    while waiting:
        asked = waiting.pop(0)
        name = canonicalize_name(asked.name)
        together = ranges.get(name, SpecifierSet()) & asked.specifier
        known = wheels.get(name)
        if name in wheels and (known is None or known.version in asked.specifier):
            ranges[name] = together
            continue
        ranges[name] = together
        try:
            wheel = find(f"{name}{together}", board)
        except NoWheel:
            wheels[name] = None
            continue
        wheels[name] = wheel
        waiting += [r for r in map(Requirement, wheel.requires) if board.wants(r)]
    return wheels


@cache
def ask_pip(requirement: str, board: Board) -> Wheel:
    """What pip on this board would install. Raises NoWheel."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
    command += ["--no-deps", "--only-binary=:all:", "--implementation=cp", f"--python-version={board.python}"]
    command += [f"--platform={platform}" for platform in board.platforms]
    plain = {k: v for k, v in os.environ.items() if k not in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL")}
    plain["PIP_CONFIG_FILE"] = os.devnull
    with tempfile.TemporaryDirectory() as nowhere:
        command += [f"--target={nowhere}", "--report=-", requirement]
        done = subprocess.run(command, capture_output=True, text=True, env=plain)
    if done.returncode:
        raise NoWheel((done.stderr.strip().splitlines() or ["pip failed"])[-1])
    found = json.loads(done.stdout)["install"][0]
    about, file = found["metadata"], found["download_info"]["url"].rpartition("/")[2]
    if board.python not in SpecifierSet(about.get("requires_python", "")):
        raise NoWheel(f"{file} is for Python {about['requires_python']}")
    return Wheel(about["version"], file, tuple(about.get("requires_dist", ())))


def table(found: dict[Board, dict[str, Wheel | None]]) -> list[str]:
    """Markdown: a line per package, a column per board; what we ask for first, then what that needs."""
    ours = list(dict.fromkeys(canonicalize_name(r.name) for r in requirements()))
    names = [*ours, *sorted({name for wheels in found.values() for name in wheels} - set(ours))]
    heads = [f"{b.name}: CPython {b.python}, glibc {b.glibc[0]}.{b.glibc[1]}" for b in found]
    lines = [f"| package | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for name in names:
        cells = [_cell(name, wheels) for wheels in found.values()]
        lines.append(f"| {f'**{name}**' if name in ours else name} | {' | '.join(cells)} |")
    return lines


def _cell(name: str, wheels: dict[str, Wheel | None]) -> str:
    if name not in wheels:
        return FROM_JETPACK.get(name, "not needed")
    wheel = wheels[name]
    return "**no wheel**" if wheel is None else f"{wheel.version} ({wheel.oldest_glibc})"


def main() -> int:
    found = {board: resolve(requirements(), board, ask_pip) for board in BOARDS}
    print(*table(found), sep="\n")
    missing = [
        f"no wheel of {name} for {board.name}"
        for board, wheels in found.items()
        for name, wheel in wheels.items()
        if wheel is None
    ]
    print(*missing, sep="\n", end="\n" if missing else "", file=sys.stderr)
    return bool(missing)


if __name__ == "__main__":
    sys.exit(main())
