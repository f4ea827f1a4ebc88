"""A report on a terminal: plain text, 100 columns.

report ──▶ what was measured on what ──▶ a table per mode ──▶ layers ──▶ board and energy
"""

from __future__ import annotations

import textwrap
from typing import Any

from edge_runtime.profiling import breakdown, words
from edge_runtime.profiling.words import cell, ms, percent, plain

WIDTH = 100
NAME_WIDTH = 20
MOST_LAYERS = 10
FIGURES = ("mean", "p50", "p90", "p95", "p99", "p99_9", "max", "jitter", "cpu")


def as_text(report: dict[str, Any]) -> str:
    """What a report says, in lines of at most 100 columns."""
    deadline_ms = report["settings"]["deadline_ms"]
    blocks = [_head(report)]
    for name, title in words.MODES.items():
        if report[name]:
            blocks.append(_mode(report, name, title, deadline_ms))
    if report["layers"]:
        blocks.append(_layers(report["layers"]))
    blocks.append(_board(report))
    return "\n\n".join("\n".join(lines) for lines in blocks)


def _head(report: dict[str, Any]) -> list[str]:
    lines = []
    if report["partial"] is not None:
        lines += [*_wrapped(f"PARTIAL: {plain(report['partial'])}", "         "), ""]
    about = [words.model(report), words.machine(report), words.source(report), words.settings(report)]
    return lines + _wrapped("; ".join(about), "  ")


def _mode(report: dict[str, Any], name: str, title: str, deadline_ms: float) -> list[str]:
    mode = report[name]
    frames = words.some(mode["frames"], "frame")
    lines = [f"{title}: {frames} in {words.span(mode['seconds'])} = {mode['fps']:.1f} fps"]
    lines.append("  " + words.missed(mode, deadline_ms))
    head = "".join(f"{figure.replace('_', '.'):>8}" for figure in FIGURES)
    lines.append(f"  {'ms':<{NAME_WIDTH - 2}}{'n':>8}{head}")
    lines += [_stage(*each) for each in breakdown.stages_in_order(mode)]
    part = breakdown.largest_part(mode)
    if len(mode["stages"]) > 1:
        lines.append(f"  most of {plain(mode['total'], 30)}: {plain(part.name, 30)}, {percent(part.share)}")
    lines += _wrapped(f"  frame rate limited by {breakdown.bound_by(report, name)}", "    ")
    if name == "pipeline":
        lines += _wrapped("  " + words.counts(mode), "    ")
    if any(stage["sampled"] < stage["n"] for stage in mode["stages"].values()):
        lines.append("  percentiles come from an even sample of the frames; n, mean and max from all")
    return lines


def _stage(name: str, stage: dict[str, Any], depth: int) -> str:
    label = "  " * (depth + 1) + plain(name, NAME_WIDTH - 2 * depth - 2)
    cells = "".join(f"{cell(stage[figure + '_ms']):>8}" for figure in FIGURES)
    return f"{label:<{NAME_WIDTH}}{stage['n']:>8}{cells}"


def _layers(layers: dict[str, Any]) -> list[str]:
    found = layers["layers"]
    lines = _wrapped(
        f"layers: {len(found)} in {ms(layers['total_ms'])} ms, {words.some(layers['runs'], 'run')}, "
        f"timed by {plain(layers['by'], 60)}"
    )
    lines.append(f"  {'ms':>8}{'share':>9}  {'kind':<16} slowest {min(MOST_LAYERS, len(found))}")
    for layer in found[:MOST_LAYERS]:
        lines.append(
            f"  {layer['mean_ms']:>8.3f}{percent(layer['share']):>9}  {plain(layer['kind'], 16):<16} "
            f"{plain(layer['name'], WIDTH - 38)}"
        )
    lines.append(f"  {'ms':>8}{'share':>9}  by kind")
    for kind in layers["kinds"][:MOST_LAYERS]:
        times = f"{kind['mean_ms']:>8.3f}{percent(kind['share']):>9}"
        lines.append(f"  {times}  {plain(kind['kind'], 40)} x {kind['count']}")
    if len(layers["kinds"]) > MOST_LAYERS:
        lines.append(f"  and {words.some(len(layers['kinds']) - MOST_LAYERS, 'kind')} more")
    return lines


def _board(report: dict[str, Any]) -> list[str]:
    board, energy = report["board"], report["energy"]
    if board is None:
        return ["board: no sensors that can be read on this machine"]
    summary = board["summary"]
    lines = [f"board: {words.some(len(board['samples']), 'sample')}, one every {board['interval_s']:.3g} s"]
    for zone, values in summary["temps_c"].items():
        if values:
            lines.append(_range(f"{plain(zone, 24)} °C", values, 1))
    for label, key, unit in words.BOARD_RANGES:
        if summary[key]:
            lines.append(_range(label, summary[key], 1, unit))
    lines.append("  " + (words.throttling(board) or words.NO_THROTTLING[summary["throttled_s"] is not None]))
    if energy:
        lines.append(f"  energy: {words.energy(energy)}")
    for note in board["notes"]:
        lines += _wrapped(f"  note: {plain(note)}", "        ")
    return lines


def _range(label: str, values: dict[str, float], digits: int, scale: float = 1.0) -> str:
    start, end, mean, most = (f"{values[key] / scale:.{digits}f}" for key in ("start", "end", "mean", "max"))
    return f"  {label:<28} {start:>9} -> {end:>8}   mean {mean:>8}   max {most:>8}"


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, drop_whitespace=True) or [""]
