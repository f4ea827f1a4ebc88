"""The tables of a report's page. Wide ones scroll within their own box."""

from __future__ import annotations

from typing import Any

from edge_runtime.profiling import breakdown, words
from edge_runtime.profiling.plots import esc

_FIGURES = ("mean", "p50", "p90", "p95", "p99", "p99_9", "max", "jitter", "cpu")
MOST_LISTED = 2000


def percentiles(mode: dict[str, Any]) -> str:
    """A row per stage; the judged one stands out."""
    head = "".join(f"<th>{figure.replace('_', '.')}</th>" for figure in _FIGURES)
    rows = []
    for name, stage, depth in breakdown.stages_in_order(mode):
        cells = "".join(f"<td>{words.cell(stage[figure + '_ms'])}</td>" for figure in _FIGURES)
        thread = f"<small>{esc(stage['thread'], 40)}</small>" if stage.get("thread") else ""
        judged = ' class="judged"' if name == mode["total"] else ""
        label = f'<th class="depth{depth}">{esc(name, 40)}{thread}</th>'
        rows.append(f"<tr{judged}>{label}<td>{stage['n']}</td>{cells}</tr>")
    sampled = any(stage["sampled"] < stage["n"] for stage in mode["stages"].values())
    note = '<p class="quiet">Percentiles come from an even sample of the frames.</p>' if sampled else ""
    return f"{_table(f'<th></th><th>n</th>{head}', rows)}{note}"


def all_layers(layers: list[dict[str, Any]]) -> str:
    """Every layer, folded away."""
    rows = [
        f"<tr><th>{esc(layer['name'], 120)}</th><td>{esc(layer['kind'], 30)}</td>"
        f"<td>{layer['mean_ms']:.4f}</td><td>{words.percent(layer['share'])}</td></tr>"
        for layer in layers[:MOST_LISTED]
    ]
    shown = f"All {len(layers)} layers" if len(rows) == len(layers) else f"The slowest {len(rows)} layers"
    table = _table("<th></th><th>kind</th><th>ms</th><th>share</th>", rows)
    return f"<details><summary>{shown}</summary>{table}</details>"


def board_summary(summary: dict[str, Any]) -> str:
    """Start, end, least, mean and most of each sensor."""
    rows = [_range(f"{zone} °C", values, 1.0) for zone, values in summary["temps_c"].items() if values]
    rows += [_range(label, summary[key], unit) for label, key, unit in words.BOARD_RANGES if summary[key]]
    if not rows:
        return ""
    return _table("<th></th><th>start</th><th>end</th><th>min</th><th>mean</th><th>max</th>", rows)


def facts(report: dict[str, Any]) -> str:
    """Everything that must be known to measure the same again."""
    machine, model, source = report["machine"], report["model"], report["source"]
    energy = report["energy"]
    memory = machine["memory_bytes"]
    fixed = machine["clocks_fixed"]
    pairs: list[tuple[str, object]] = [
        ("board", machine["board"]),
        ("L4T, JetPack", _joined(machine["l4t"], machine["jetpack"])),
        ("OS", machine["os"]),
        ("CPU", _joined(machine["cpu"], words.some(machine["cores"], "core"))),
        ("memory", None if memory is None else f"{memory / 1e9:.3g} GB"),
        ("GPU", machine["gpu"]),
        ("CUDA, TensorRT", _joined(machine["cuda"], machine["tensorrt"])),
        ("power mode", machine["power_mode"]),
        ("clocks", None if fixed is None else "fixed" if fixed else "not fixed"),
        ("Python", machine["python"]),
        ("packages", ", ".join(f"{name} {version}" for name, version in machine["packages"].items()) or None),
        ("dips-edge", report["software"]["version"]),
        ("model", words.model(report)),
        ("model sha256", model["sha256"]),
        ("engine sha256", model["engine_sha256"]),
        ("training run", model["run_id"]),
        ("source", words.source(report)),
        ("source is live", "yes" if source["live"] else "no"),
        ("settings", words.settings(report)),
        ("energy", None if energy is None else words.energy(energy)),
        ("began", words.moment(report["t_utc"])),
    ]
    rows = "".join(f"<dt>{term}</dt><dd>{esc(value, 600)}</dd>" for term, value in pairs if value is not None)
    return f'<dl class="facts">{rows}</dl>'


def _joined(*values: str | None) -> str | None:
    return ", ".join(value for value in values if value) or None


def _range(label: str, values: dict[str, float], unit: float) -> str:
    keys = ("start", "end", "min", "mean", "max")
    cells = "".join(f"<td>{values[key] / unit:.1f}</td>" for key in keys)
    return f"<tr><th>{esc(label, 40)}</th>{cells}</tr>"


def _table(head: str, rows: list[str]) -> str:
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
