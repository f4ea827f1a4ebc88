"""A comparison for people and for machines."""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edge_runtime.profiling.words import MODES, ms, plain

if TYPE_CHECKING:
    from edge_runtime.profiling.compare import Comparison, Row

WIDTH = 100
NAME_WIDTH = 20


def as_text(comparison: Comparison, a_name: str = "a", b_name: str = "b") -> str:
    """Warnings first, then a table per mode, then what fails; at most 100 columns."""
    lines = _wrapped(f"a = {plain(a_name)}")[:1] + _wrapped(f"b = {plain(b_name)}")[:1]
    for warning in comparison.warnings:
        lines += _wrapped(f"WARNING  {warning}", "         ")
    for difference in comparison.differences:
        lines += _wrapped(f"differs  {difference}", "         ")
    for mode, title in MODES.items():
        rows = [row for row in comparison.rows if row.mode == mode]
        if rows:
            lines += ["", _head(title), *_table(rows)]
    lines += ["", "ratio of p50 and p99: of the typical of up to 20 equal stretches, with its 95 % interval"]
    if any(_bursts(row) for row in comparison.rows):
        lines.append("*: the whole runs differ otherwise than their typical stretches: bursts in one of them")
    return "\n".join([*lines, *_conclusion(comparison)])


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """The same for machines; times in ms."""
    return {
        "v": 1,
        "type": "comparison",
        "fail_over": comparison.fail_over,
        "regression": bool(comparison.regressions),
        "warnings": list(comparison.warnings),
        "differences": list(comparison.differences),
        "unjudged": list(comparison.unjudged),
        "rows": [
            {**asdict(row), "interval": None if row.interval is None else list(row.interval)}
            for row in comparison.rows
        ],
    }


def _conclusion(comparison: Comparison) -> list[str]:
    lines = []
    for each in comparison.unjudged:
        lines += _wrapped(f"NOT JUDGED  {plain(each)}", "            ")
    allowed = f"{100 * comparison.fail_over:.3g} %"
    for row in comparison.regressions:
        assert row.ratio is not None and row.interval is not None, "judged without a ratio"
        lines += _wrapped(
            f"REGRESSION  {MODES[row.mode]}: {row.figure} of {plain(row.stage, 40)} is "
            f"{100 * (row.ratio - 1):.1f} % slower (95 %: {100 * (row.interval[0] - 1):.1f} to "
            f"{100 * (row.interval[1] - 1):.1f} %), allowed are {allowed}",
            "            ",
        )
    if not comparison.regressions and any(row.judged and row.interval for row in comparison.rows):
        lines.append(f"no regression beyond {allowed}")
    return lines


def _head(title: str) -> str:
    return _line(title + ", ms", "", "a", "b", "b / a", "95 % interval", "verdict", indent="")


def _table(rows: list[Row]) -> list[str]:
    lines, before = [], None
    for row in rows:
        lines.append(
            _line(
                plain(row.stage, NAME_WIDTH) if row.stage != before else "",
                row.figure.replace("_", "."),
                ms(row.a_ms),
                ms(row.b_ms),
                "-" if row.ratio is None else f"{row.ratio:.3f}",
                "" if row.interval is None else "{:.3f} to {:.3f}".format(*row.interval),
                ("REGRESSION" if row.regression else row.verdict) + ("*" if _bursts(row) else ""),
            )
        )
        before = row.stage
    return lines


def _line(
    stage: str, figure: str, a: str, b: str, ratio: str, interval: str, verdict: str, indent: str = "  "
) -> str:
    name = f"{indent + stage:<{NAME_WIDTH + 2}}"
    return f"{name} {figure:<5} {a:>9} {b:>9} {ratio:>7}   {interval:<16} {verdict}".rstrip()


def _bursts(row: Row) -> bool:
    """Whether the ratio of the whole runs lies far outside the interval of their typical stretches."""
    if row.interval is None or not row.a_ms or row.b_ms is None:
        return False
    whole = row.b_ms / row.a_ms
    return not 0.95 * row.interval[0] <= whole <= 1.05 * row.interval[1]


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent) or [""]
