"""A report as one page that needs nothing else: no network, no script, readable on a phone and on paper.

report ──▶ verdict ──▶ per mode: where the time goes, percentiles, distribution, timeline
       ──▶ layers ──▶ board over time ──▶ facts of the machine ──▶ how to read it
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_runtime.profiling import breakdown, charts, pagetables, words
from edge_runtime.profiling.plots import esc
from edge_runtime.profiling.verdict import verdict

STYLE = Path(__file__).with_name("page.css")
# Nothing may be fetched and nothing run, whatever a model or a source is called.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_GUIDE = (
    ("age", "From the moment a picture was there until the record of it was, boxes and all."),
    ("p99", "99 of 100 frames took no longer. A flight is planned with p99 or more, not with the mean."),
    ("max, p99.9", "The worst of this run. A longer run finds worse ones; - stands for too few frames."),
    ("jitter", "Mean difference from one frame to the next."),
    ("cpu", "Time for which the thread was computing. Much less than the mean: it waited, e.g. for the GPU."),
    ("wait", "A finished picture waits for the network, which is busy with the one before."),
    ("missed", "Frames whose judged time was longer than the deadline."),
    ("parts", "Indented rows are parts of the row above them."),
)


def as_html(report: dict[str, Any]) -> str:
    """The page, a whole HTML document; the report must have passed `reportfile.check`."""
    name = esc(report["model"]["name"], 80)
    sections = [_top(report)]
    for mode, title in words.MODES.items():
        if report[mode]:
            sections.append(_mode(report, mode, title))
    if report["layers"]:
        sections.append(_layers(report["layers"]))
    sections += [_board(report), _facts(report), _guide()]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>Profile of {name}</title>\n<style>\n{STYLE.read_text(encoding='utf-8')}</style></head>\n"
        f"<body>\n<main>\n{''.join(sections)}</main>\n</body></html>\n"
    )


def _top(report: dict[str, Any]) -> str:
    found, name = verdict(report), esc(report["model"]["name"], 80)
    partial = ""
    if report["partial"] is not None:
        partial = f'<p class="partial"><b>Partial</b> Not all was measured: {esc(report["partial"])}</p>\n'
    tiles = "".join(
        f'<div class="tile {tile.state}"><dt>{esc(tile.label)}</dt><dd>{esc(tile.value, 40)}'
        + (f"<small>{esc(tile.unit)}</small>" if tile.unit else "")
        + (f"<span>{esc(tile.note)}</span>" if tile.note else "")
        + "</dd></div>"
        for tile in found.tiles
    )
    remarks = "".join(f"<li>{esc(remark, 300)}</li>" for remark in found.remarks)
    about = (
        f"{words.model_facts(report)} on {words.machine(report)}",
        f"{words.source(report)}; {words.settings(report)}",
        words.moment(report["t_utc"]),
    )
    lines = "<br>".join(esc(line, 300) for line in about)
    return (
        f'<header><p class="kicker">dips-edge profile</p><h1>{name}</h1>'
        f'<p class="quiet">{lines}</p></header>\n'
        f'{partial}<section class="verdict {found.state}"><h2><span>{found.word}</span> '
        f'{esc(found.sentence, 300)}</h2><dl class="tiles">{tiles}</dl>'
        + (f'<ul class="remarks">{remarks}</ul>' if remarks else "")
        + "</section>\n"
    )


def _mode(report: dict[str, Any], name: str, title: str) -> str:
    mode, deadline_ms = report[name], report["settings"]["deadline_ms"]
    said = words.counts(mode) if name == "pipeline" else words.missed(mode, deadline_ms)
    parts = breakdown.parts_of_total(mode)
    bar = ""
    if len(parts) > 1:
        pieces = [(part.name, part.mean_ms, part.share, "") for part in parts]
        mean = f"<small>mean of {esc(mode['total'], 40)}</small>"
        bar = f"<h3>Where the time goes {mean}</h3>{charts.shares(pieces)}"
    plots = (
        ("How often how long", charts.histogram(mode, deadline_ms)),
        ("Over time", charts.timeline(mode, deadline_ms)),
    )
    drawn = "".join(f"<div><h3>{label}</h3>{body}</div>" for label, body in plots if body)
    return (
        f"<section><h2>{title.capitalize()} <small>{words.some(mode['frames'], 'frame')} in "
        f"{words.span(mode['seconds'])}, {mode['fps']:.1f} fps</small></h2>"
        f'<p class="quiet">{esc(said, 400)}</p>{bar}<h3>Percentiles <small>ms</small></h3>'
        f'{pagetables.percentiles(mode)}<div class="pair">{drawn}</div></section>\n'
    )


def _layers(layers: dict[str, Any]) -> str:
    found = layers["layers"]
    kinds = [(kind["kind"], kind["mean_ms"], kind["share"], f"× {kind['count']}") for kind in layers["kinds"]]
    shown = min(charts.MOST_LAYERS, len(found))
    rest = pagetables.all_layers(found) if len(found) > shown else ""
    return (
        f"<section><h2>Layers <small>{words.some(len(found), 'layer')}, {words.ms(layers['total_ms'])} ms, "
        f"{words.some(layers['runs'], 'run')}, timed by {esc(layers['by'], 60)}</small></h2>"
        f"<h3>By kind</h3>{charts.shares(_few(kinds))}<h3>The slowest {shown}</h3>"
        f"{charts.layer_bars(found)}{rest}</section>\n"
    )


def _few(kinds: list[tuple[str, float, float, str]], most: int = 8) -> list[tuple[str, float, float, str]]:
    """At most so many; the rest together as the last one."""
    if len(kinds) <= most:
        return kinds
    rest = kinds[most - 1 :]
    together = (f"{len(rest)} other kinds", sum(each[1] for each in rest), sum(each[2] for each in rest), "")
    return [*kinds[: most - 1], together]


def _board(report: dict[str, Any]) -> str:
    board = report["board"]
    if board is None:
        none = "No sensors that can be read on this machine."
        return f'<section><h2>Board</h2><p class="quiet">{none}</p></section>\n'
    throttled = words.throttling(board)
    said = throttled or words.NO_THROTTLING[board["summary"]["throttled_s"] is not None]
    notes = "".join(f"<li>{esc(note)}</li>" for note in board["notes"][:40])
    sampled = f"{words.some(len(board['samples']), 'sample')}, one every {board['interval_s']:.3g} s"
    return (
        f"<section><h2>Board <small>{sampled}</small></h2>"
        f'<p class="{"alarm" if throttled else "quiet"}">{esc(said).capitalize()}.</p>'
        f"{charts.board(board['samples'])}{pagetables.board_summary(board['summary'])}"
        + (f'<ul class="quiet notes">{notes}</ul>' if notes else "")
        + "</section>\n"
    )


def _facts(report: dict[str, Any]) -> str:
    return f"<section><h2>Machine, model, settings</h2>{pagetables.facts(report)}</section>\n"


def _guide() -> str:
    rows = "".join(f"<dt>{term}</dt><dd>{meaning}</dd>" for term, meaning in _GUIDE)
    return f'<section><h2>How to read it</h2><dl class="facts">{rows}</dl></section>\n'
