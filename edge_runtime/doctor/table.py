"""The rows as text for people and as a document for machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edge_runtime import __version__

if TYPE_CHECKING:
    from edge_runtime.doctor.machine import Row

_COLOURS = {"ok": "green", "missing": "yellow", "problem": "red"}


def as_text(examined: dict[str, list[Row]], *, works: bool) -> str:
    """A table per subject, what to do below each row that needs it, and the verdict."""
    everything = [row for rows in examined.values() for row in rows]
    name_width = max(len(row.name) for row in everything)
    state_width = max(len(state) for state in _COLOURS)
    indent = " " * (2 + name_width + 2 + state_width + 2)
    lines = []
    for subject, rows in examined.items():
        lines.append(click.style(subject, bold=True))
        for row in rows:
            state = click.style(row.state.ljust(state_width), fg=_COLOURS[row.state])
            lines.append(f"  {row.name.ljust(name_width)}  {state}  {row.text}")
            if row.advice:
                lines.append(f"{indent}→ {row.advice}")
    problems = sum(row.state == "problem" for row in everything)
    lines.append("")
    lines.append(_verdict(problems, works=works))
    return "\n".join(lines)


def as_dict(examined: dict[str, list[Row]], *, works: bool) -> dict[str, Any]:
    """Version 1: `run_works`, and per row `subject`, `name`, `state`, `text`, `advice`."""
    rows = [
        {"subject": subject, "name": row.name, "state": row.state, "text": row.text, "advice": row.advice}
        for subject, found in examined.items()
        for row in found
    ]
    return {"v": 1, "type": "doctor", "software": __version__, "run_works": works, "rows": rows}


def _verdict(problems: int, *, works: bool) -> str:
    found = {0: "no problem found", 1: "one problem found"}.get(problems, f"{problems} problems found")
    return f"`dips-edge run` {'works' if works else 'cannot work'} here; {found}"
