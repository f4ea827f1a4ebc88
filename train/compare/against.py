"""Ablations beneath DiPS: what each change costs or gains, in points, seed by seed.

rows ──pairs of runs of one seed──▶ mean difference to dips ──▶ part of table.md, table.csv, compare.html
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from train.baselines.methods import DIPS
from train.compare.ablations import about, is_ablation
from train.compare.results import COLUMNS, spread_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from train.compare.results import Column, Row, Spread

HEAD = ("ablation", *(column.label for column in COLUMNS), "seeds", "what is changed")
TITLE = "difference to dips"
NOTE = (
    "Difference to dips: of runs with the same seed, mean ± standard deviation over the seeds both have, "
    "in the unit of the column. With two or three seeds, a few points may still be noise."
)


def pairs(rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """(ablation, dips) of the rows that have a seed in common."""
    dips = next((row for row in rows if row.method == DIPS), None)
    if dips is None:
        return []
    return [(row, dips) for row in rows if is_ablation(row.method) and row.runs.keys() & dips.runs.keys()]


def difference(row: Row, dips: Row, column: Column, checkpoint: str, split: str) -> Spread | None:
    """Of one figure, over the seeds where both have it; None where there is none."""
    found = []
    for seed in sorted(row.runs.keys() & dips.runs.keys()):
        here, there = (column.of(runs[seed][checkpoint].get(split, {})) for runs in (row.runs, dips.runs))
        if here is not None and there is not None:
            found.append(here - there)
    return spread_of(found)


def markdown_against(rows: Sequence[Row], checkpoint: str, split: str) -> str:
    """The table as Markdown; empty without ablations."""
    lines = _lines(rows, checkpoint, split)
    if not lines:
        return ""
    table = [" | ".join(HEAD), " | ".join(["---"] * len(HEAD)), *(" | ".join(line) for line in lines)]
    return f"### {split}: {TITLE}\n\n" + "\n".join(f"| {line} |" for line in table)


def html_against(rows: Sequence[Row], checkpoint: str, split: str) -> str:
    """The same for the page."""
    lines = _lines(rows, checkpoint, split)
    if not lines:
        return ""
    head = "".join(f"<th>{escape(label)}</th>" for label in HEAD)
    body = "".join(
        f"<tr><th>{escape(name)}</th>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
        for name, *cells in lines
    )
    return f"<h3>{split}: {TITLE}</h3><div class='wide'><table><tr>{head}</tr>{body}</table></div>"


def _lines(rows: Sequence[Row], checkpoint: str, split: str) -> list[list[str]]:
    return [
        [
            row.method,
            *(_cell(difference(row, dips, column, checkpoint, split), column) for column in COLUMNS),
            str(len(row.runs.keys() & dips.runs.keys())),
            about(row.method),
        ]
        for row, dips in pairs(rows)
    ]


def _cell(spread: Spread | None, column: Column) -> str:
    """`-3.2 ± 1.1`, the mean alone for a single seed, a dash for nothing."""
    if spread is None:
        return "-"
    mean = f"{spread.mean:+.{column.digits}f}"
    return mean if spread.std is None else f"{mean} ± {spread.std:.{column.digits}f}"
