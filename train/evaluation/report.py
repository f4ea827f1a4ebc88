"""RUN/report.html: one self-contained page with curves, figures and photos of a finished run.

RUN/metrics.json + photos ──▶ charts, tables, overlays ──▶ report.html
"""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING, Any

from train.baselines.methods import DIPS
from train.checkpoint import write_text
from train.evaluation.figures import ERROR_MEANINGS, ERROR_MODES, GROUPS, format_value
from train.evaluation.metrics_errors import KINDS
from train.evaluation.report_charts import threshold_chart, training_chart
from train.evaluation.report_photos import Shot, choose, draw, judge
from train.evaluation.report_presence import presence_section
from train.evaluation.subject import open_run, read_metrics
from train.selection import BY_BOXES, BY_PROPOSALS, BY_PROTOCOL, BY_SEPARATION, LAST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from train.data.types import Dataset

PER_GROUP = 6
MOST_PHOTOS = 600  # a larger split is judged on its first photos only, for the choice of overlays
_CHOSEN = {
    BY_BOXES.words: "The best checkpoint was chosen by its boxes on val, which is box supervision of those "
    "photos; the last checkpoint, reported beside it, was not chosen at all.",
    BY_PROTOCOL.words: "The best checkpoint was chosen by its boxes on val at the best "
    "threshold (the protocol), which is box supervision of those photos; the last checkpoint, reported "
    "beside it, was not chosen at all.",
    BY_PROPOSALS.words: "The best checkpoint was chosen without any box, by agreement with proposals on "
    "val; the last checkpoint is reported beside it.",
    BY_SEPARATION.words: "The best checkpoint was chosen without any box, by how well its map tells "
    "val photos with an object from those without; the last checkpoint is reported beside it.",
    LAST.words: "No epoch was chosen: the best checkpoint is the last.",
    "class accuracy": "The best checkpoint was chosen without any box, by its class accuracy on val; "
    "the last checkpoint is reported beside it.",
}
_HEADLINES = ("box_acc_deployed", "box_acc_fixed_tau", "max_box_acc_v2", "false_alarm_rate", "class_acc")


def write_report(run_dir: Path, dataset: Dataset, *, workers: int = 1, seed: int = 0) -> Path:
    """Write RUN/report.html for the photos of test, or of val where there is no test.

    Args:
        run_dir: a finished run (metrics.json and both checkpoints).
        seed: of the random photos.

    Raises:
        ModelError: an unfinished or damaged run. TrainingError: the page cannot be written.
    """
    metrics = read_metrics(run_dir)
    subject = open_run(run_dir, "best")
    split = "test" if dataset.splits["test"] else "val"
    images = subject.relabel(dataset, split)[:MOST_PHOTOS]
    shots = judge(subject.predict(images, workers), subject.thresholds, subject.negative, subject.presence)
    groups = choose(shots, subject.negative, PER_GROUP, seed)
    sections = [
        _summary(run_dir, metrics, split),
        _training(metrics),
        _thresholds(metrics),
        presence_section(metrics),
        _tables(metrics),
        *(_photos(name, group, subject.classes, split) for name, group in groups.items()),
        _seconds(metrics),
    ]
    path = run_dir / "report.html"
    write_text(path, PAGE.format(title=escape(run_dir.name), style=STYLE, body="\n".join(sections)))
    return path


def _summary(run_dir: Path, metrics: Mapping[str, Any], split: str) -> str:
    figures = metrics["best"].get(split, {})
    named = {f.key: f for group in GROUPS.values() for f in group}
    cards = "".join(
        f'<div class="card"><b>{format_value(named[key], figures[key])}</b>{escape(named[key].label)}</div>'
        for key in _HEADLINES
        if figures.get(key) is not None
    )
    chosen = _CHOSEN.get(metrics["selection"], f"The best checkpoint was chosen by: {metrics['selection']}.")
    height, width = metrics["input_size"]
    method = f"Method: {metrics['method']}, a baseline. " if metrics.get("method", DIPS) != DIPS else ""
    facts = (
        f"{method}Classes: {', '.join(metrics['classes'])}. Class without an object: "
        f"{metrics['negative_class'] or 'none'}. Network input {width} x {height} px. "
        f"Best epoch: {metrics.get('best_epoch', '-')}. Run id {metrics['run_id']}."
    )
    return (
        f"<h1>{escape(run_dir.name)}</h1><p>{escape(facts)}</p><p>{escape(chosen)} Thresholds were "
        f"chosen on val; trained from image labels only.</p>"
        f"<h2>Best checkpoint on {split}</h2><div class='cards'>{cards}</div>"
    )


def _training(metrics: Mapping[str, Any]) -> str:
    history = metrics.get("history") or []
    if not history:
        return ""
    return f"<h2>Training</h2>{training_chart(history, metrics.get('best_epoch'))}"


def _thresholds(metrics: Mapping[str, Any]) -> str:
    parts = {
        f"{split}, {which}": metrics[which][split]
        for which in ("best", "last")
        for split in ("val", "test")
        if "curve" in metrics[which].get(split, {})
    }
    if not parts:
        return ""
    chart = threshold_chart(parts, metrics["best"]["tau"], metrics["best"]["decision_threshold"])
    return (
        f"<h2>How much the threshold matters</h2>{chart}<p>IoU .5, largest contour (left) or first region "
        "(right, without the presence test). A wide plateau is safer than a high peak; the marked thresholds "
        "are those of the best checkpoint.</p>"
    )


def _tables(metrics: Mapping[str, Any]) -> str:
    columns = [(w, s) for s in ("test", "val") for w in ("best", "last") if metrics[w].get(s)]
    head = "".join(f"<th>{s}<br>{w}</th>" for w, s in columns)
    rows = []
    for title, group in GROUPS.items():
        rows.append(f'<tr class="group"><th colspan="{len(columns) + 2}">{title}</th></tr>')
        for figure in group:
            values = [metrics[w][s].get(figure.key) for w, s in columns]
            if any(v is not None for v in values):
                cells = "".join(f"<td>{format_value(figure, v)}</td>" for v in values)
                note = f"<td class='note'>{escape(figure.meaning)}</td>"
                rows.append(f"<tr><th>{escape(figure.label.strip())}</th>{cells}{note}</tr>")
    table = f"<table><tr><th></th>{head}<th></th></tr>{''.join(rows)}</table>"
    return f"<h2>All figures</h2>{table}{_errors(metrics)}"


def _errors(metrics: Mapping[str, Any]) -> str:
    split = "test" if "errors" in metrics["best"].get("test", {}) else "val"
    errors = metrics["best"].get(split, {}).get("errors")
    if errors is None:
        return ""
    head = "".join(f'<th title="{escape(ERROR_MEANINGS[k])}">{k}</th>' for k in KINDS)
    rows = "".join(
        f"<tr><th>{judged}</th><td class='note'>{mode}</td>"
        + "".join(f"<td>{errors[key][name][kind]:.1f}</td>" for kind in KINDS)
        + "</tr>"
        for key, judged in (("class_known", "box only"), ("by_class", "class and box"))
        for name, mode in ERROR_MODES.items()
    )
    legend = "; ".join(f"<b>{k}</b>: {escape(m)}" for k, m in ERROR_MEANINGS.items())
    return (
        f"<h2>How boxes fail, % of {split} photos with boxes</h2>"
        f"<table><tr><th>judged</th><th class='note'>threshold</th>{head}</tr>{rows}</table><p>{legend}.</p>"
    )


def _photos(name: str, shots: Sequence[Shot], classes: Sequence[str], split: str) -> str:
    figures = "".join(
        f'<figure><img alt="{escape(s.image.image_id)}" src="data:image/jpeg;base64,'
        f'{base64.b64encode(draw(s)).decode()}"><figcaption>{_caption(s, classes)}</figcaption></figure>'
        for s in shots
    )
    legend = '<span class="found">reported box</span> <span class="true">true box</span>'
    return (
        f"<h2>{name}: photos of {split}</h2><p>{legend}, tinted where the map is warm</p>"
        f"<div class='photos'>{figures}</div>"
    )


def _caption(shot: Shot, classes: Sequence[str]) -> str:
    said = f"{classes[shot.label]} {shot.confidence:.2f}, presence {shot.decision.presence:.2f}"
    if shot.iou is not None:
        said = f"IoU {shot.iou:.2f}, {said}"
    if not shot.decision.present:
        said += ", nothing reported"
    of = f"{shot.image.image_id} ({classes[shot.image.label]})"
    return f"{escape(said)}<br><small>{escape(of)}</small>"


def _seconds(metrics: Mapping[str, Any]) -> str:
    stages = {k: v for k, v in metrics.get("seconds", {}).items() if "/" not in k}
    rows = "".join(f"<tr><th>{escape(k)}</th><td>{v:.0f} s</td></tr>" for k, v in stages.items())
    skipped = metrics.get("skipped") or []
    unread = f"<p>Photos that could not be read: {escape(', '.join(skipped))}</p>" if skipped else ""
    return f"<h2>Where the time went</h2><table>{rows}</table>{unread}" if rows else unread


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}: report</title><style>{style}</style></head>
<body>{body}</body></html>
"""
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1f2933;max-width:62rem;margin:2rem auto;padding:0 1rem}
h1{margin:0 0 .3rem}h2{margin:2.2rem 0 .6rem;font-size:1.15rem}p{margin:.4rem 0;max-width:52rem}
svg{max-width:100%;height:auto}
.cards{display:flex;flex-wrap:wrap;gap:.7rem}
.card{background:#f0f4f8;border-radius:.5rem;padding:.6rem 1rem;font-size:.85rem}
.card b{display:block;font-size:1.5rem}
table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .6rem;text-align:right;border-bottom:1px solid #e4e7eb;white-space:nowrap}
th:first-child,.note{text-align:left}td.note{white-space:normal;color:#52606d}
th{font-weight:600}tr.group th{padding-top:1rem;color:#0b69a3}
.photos{display:grid;grid-template-columns:repeat(auto-fill,minmax(17rem,1fr));gap:.9rem}
figure{margin:0}img{width:100%;border-radius:.3rem;display:block}
figcaption{font-size:.8rem;line-height:1.35;margin-top:.25rem}small{color:#7b8794;overflow-wrap:anywhere}
.found,.true{padding:.05rem .5rem;border:3px solid #ff961e;border-radius:.3rem}.true{border:2px solid #2dd4be}
@media(prefers-color-scheme:dark){body{background:#11161c;color:#e4e7eb}.card{background:#1f2933}
svg{background:#fff;border-radius:.4rem}th,td{border-color:#323f4b}td.note{color:#9aa5b1}}
"""
