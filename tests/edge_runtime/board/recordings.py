"""Trees of files as boards have them, from one text per board in `trees/`.

No board was at hand: the layouts are put together from public documents, which each text names. The figures
in them are typical, not measured.

[directory]           what follows lies below it; {a,b} stands for both, here and in the lines below
name = content        a file
name -> path          a link, the path from the root
name ! EAGAIN         a file whose opening fails so: the kernel's answer cannot be had from an ordinary file
"""

from __future__ import annotations

import errno
import itertools
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

TREES = Path(__file__).parent / "trees"
BOARDS = sorted(path.stem for path in TREES.glob("*.txt"))
ORIN_NANO = "orin-nano-jetpack-6.2"
AGX_ORIN = "agx-orin-jetpack-6"
XAVIER_NX = "xavier-nx-jetpack-5.1"
AGX_XAVIER = "agx-xavier-jetpack-4.6"
THOR = "agx-thor-jetpack-7"
PC = "pc-intel"


def unfold(name: str, root: Path) -> dict[Path, int]:
    """Write the tree below `root`; the answer is the files to `refuse`, by error number."""
    failing = {}
    directory = ""
    for line in (TREES / f"{name}.txt").read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("["):
            directory = line.strip("[]")
            continue
        match = re.fullmatch(r"(\S+) (=|->|!) ?(.*)", line)
        assert match, f"{name}: cannot read {line!r}"
        for path in expand(f"{directory}/{match[1]}"):
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if match[2] == "=":
                target.write_text(match[3] + "\n")
            elif match[2] == "!":
                failing[target] = getattr(errno, match[3])
            else:
                (root / match[3]).mkdir(parents=True, exist_ok=True)
                target.symlink_to(os.path.relpath(root / match[3], target.parent), target_is_directory=True)
    return failing


def expand(path: str) -> list[str]:
    """Every path that the braces stand for."""
    parts = re.split(r"\{([^}]*)\}", path)
    choices = [part.split(",") if i % 2 else [part] for i, part in enumerate(parts)]
    return ["".join(choice) for choice in itertools.product(*choices)]


def refuse(monkeypatch: pytest.MonkeyPatch, failing: dict[Path, int]) -> None:
    """Let opening these files fail as on the board."""
    whole = os.open

    def opening(path: Any, *arguments: Any, **more: Any) -> int:
        number = failing.get(Path(path)) if isinstance(path, (str, Path)) else None
        if number is not None:
            raise OSError(number, os.strerror(number), str(path))
        return whole(path, *arguments, **more)

    monkeypatch.setattr(os, "open", opening)
