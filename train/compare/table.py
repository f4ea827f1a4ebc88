"""The paper-style table of a comparison: Markdown, CSV, and the rows of the HTML page."""

from __future__ import annotations

import csv
import io
from html import escape
from typing import TYPE_CHECKING

from train.compare.against import NOTE, difference, html_against, markdown_against, pairs
from train.compare.results import CHECKPOINTS, COLUMNS, SPLITS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from train.compare.results import Column, Row, Spread

HEAD = ("method", *(c.label for c in COLUMNS), "params (M)", "CPU ms", "input px", "seeds")
NOTES = (
    "Mean ± standard deviation (range) over seeds, percent; curve width: share of thresholds with at least "
    "90 % of the best accuracy. LPE: the box misses much of the object, LME: it holds much else, both at the "
    "threshold from val. False alarms: photos without an object where a box is reported.",
    "MaxBoxAcc, MaxBoxAccV2 and Top-k Loc take the best threshold of the very split, as published tables do; "
    "the threshold of the other columns was chosen on val. Baselines are told the photo's class for their "
    "map (the protocol's rule); DiPS is not.",
    "CPU ms: one photo, one thread, float32, PyTorch, CPU time on the machine that made this table.",
)


def sections(rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """(checkpoint, split) pairs that any method was judged on."""
    for split in SPLITS:
        for checkpoint in CHECKPOINTS:
            if any(row.has(checkpoint, split) for row in rows):
                yield checkpoint, split


def said(checkpoint: str, rows: Sequence[Row]) -> str:
    """How the checkpoint was chosen."""
    if checkpoint == "last":
        return "last checkpoint, chosen by nothing"
    chosen = dict.fromkeys(str(run["selection"]) for row in rows for run in row.runs.values())
    if len(chosen) > 1:
        chosen.pop("nothing", None)
    return f"best checkpoint, chosen by {' or '.join(chosen)}"


def markdown(rows: Sequence[Row]) -> str:
    """Every section as a Markdown table, with notes."""
    parts = []
    for checkpoint, split in sections(rows):
        lines = [" | ".join(HEAD), " | ".join(["---"] * len(HEAD))]
        lines += [" | ".join(_cells(row, checkpoint, split)) for row in rows]
        parts.append(f"## {split}: {said(checkpoint, rows)}\n\n" + "\n".join(f"| {line} |" for line in lines))
        parts += filter(None, [markdown_against(rows, checkpoint, split)])
    failures = [f"- {row.method}, seed {seed}: {why}" for row in rows for seed, why in row.failed.items()]
    if failures:
        parts.append("## Failed\n\n" + "\n".join(failures))
    return "\n\n".join([*parts, *_notes(rows)]) + "\n"


def html_tables(rows: Sequence[Row]) -> str:
    """The same for the page."""
    parts = []
    for checkpoint, split in sections(rows):
        head = "".join(f"<th>{escape(h)}</th>" for h in HEAD)
        body = ""
        for row in rows:
            name, *cells = (escape(cell) for cell in _cells(row, checkpoint, split))
            body += f"<tr><th>{name}</th>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
        parts.append(
            f"<h2>{split}: {escape(said(checkpoint, rows))}</h2><div class='wide'>"
            f"<table><tr>{head}</tr>{body}</table></div>{html_against(rows, checkpoint, split)}"
        )
    return "".join(parts) + "".join(f"<p>{escape(note)}</p>" for note in _notes(rows))


def csv_text(rows: Sequence[Row]) -> str:
    """One line per method, checkpoint and split; numbers in full. `..._to_dips`: of ablations."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    keys = ["_".join(c.path) if len(c.path) == 1 else c.label.lower() for c in COLUMNS]
    spreads_of = [f"{key}_{kind}" for key in keys for kind in ("mean", "std", "min", "max")]
    about = ["method", "checkpoint", "split", "seeds", "failed"]
    against = [f"{key}_to_dips" for key in keys]
    writer.writerow([*about, *spreads_of, "parameters", "cpu_ms", "input_px", *against])
    dips_of = {row.method: dips for row, dips in pairs(rows)}
    for checkpoint, split in sections(rows):
        for row in rows:
            spreads = [row.spread(column, checkpoint, split) for column in COLUMNS]
            numbers = [v for s in spreads for v in ((s.mean, s.std, s.low, s.high) if s else (None,) * 4)]
            cost = row.cost
            costs = [None] * 3 if cost is None else [cost.parameters, round(cost.cpu_ms, 1), cost.side]
            found = [
                difference(row, dips_of[row.method], column, checkpoint, split)
                for column in (COLUMNS if row.method in dips_of else ())
            ]
            to_dips = [spread.mean if spread else None for spread in found] or [None] * len(COLUMNS)
            counts = [len(row.runs), len(row.failed)]
            writer.writerow([row.method, checkpoint, split, *counts, *numbers, *costs, *to_dips])
    return file.getvalue()


def _notes(rows: Sequence[Row]) -> list[str]:
    return [*NOTES, *([NOTE] if pairs(rows) else [])]


def _cells(row: Row, checkpoint: str, split: str) -> list[str]:
    figures = [cell(row.spread(column, checkpoint, split), column) for column in COLUMNS]
    cost = row.cost
    costs = (
        ["-"] * 3 if cost is None else [f"{cost.parameters / 1e6:.2f}", f"{cost.cpu_ms:.0f}", f"{cost.side}"]
    )
    count = f"{len(row.runs)}"
    if row.failed:
        count += f" of {len(row.runs) + len(row.failed)} ({', '.join(f'{s} failed' for s in row.failed)})"
    return [row.method, *figures, *costs, count]


def cell(spread: Spread | None, column: Column) -> str:
    """`89.5 ± 1.6 (87.8-91.0)`, the mean alone for a single seed, a dash for nothing."""
    if spread is None:
        return "-"
    digits = column.digits
    mean = f"{spread.mean:.{digits}f}"
    if spread.std is None:
        return mean
    return f"{mean} ± {spread.std:.{digits}f} ({spread.low:.{digits}f}-{spread.high:.{digits}f})"
