"""What a comparison leaves: table.md, table.csv, curves.svg, pictures.jpg, and compare.html with it all."""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING

from train.checkpoint import write_text
from train.compare.charts import threshold_curves
from train.compare.pictures import side_by_side
from train.compare.table import csv_text, html_tables, markdown
from train.evaluation.report import PAGE, STYLE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from train.compare.results import Row
    from train.data.types import Dataset

WIDE = ".wide{overflow-x:auto}.sheet{width:auto;max-width:100%}body{max-width:90rem}"


def write_comparison(out: Path, rows: Sequence[Row], dataset: Dataset, workers: int) -> Path:
    """Write every file; the page is the last and needs none of the others.

    Returns:
        Path of the page.

    Raises:
        TrainingError: a file cannot be written.
    """
    split = "test" if dataset.splits["test"] else "val"
    table = markdown(rows)
    curves = threshold_curves(rows, split)
    sheet = side_by_side(out, rows, dataset, split, workers)
    title = f"Comparison on {dataset.root.name}"
    if curves:
        write_text(out / "curves.svg", curves)
        table += "\n![accuracy over the threshold](curves.svg)\n"
    if sheet:
        (out / "pictures.jpg").write_bytes(sheet)
        table += "\n![the same photos through every method](pictures.jpg)\n"
    write_text(out / "table.md", f"# {title}\n\n{table}")
    write_text(out / "table.csv", csv_text(rows))
    path = out / "compare.html"
    body = (
        f"<h1>{escape(title)}</h1>{_failures(rows)}{html_tables(rows)}{_curves(curves)}{_sheet(sheet, split)}"
    )
    write_text(path, PAGE.format(title=escape(title), style=STYLE + WIDE, body=body))
    return path


def _failures(rows: Sequence[Row]) -> str:
    told = "".join(
        f"<li><b>{escape(row.method)}</b>, seed {seed}: {escape(why)}</li>"
        for row in rows
        for seed, why in row.failed.items()
    )
    return f"<h2>Failed</h2><ul>{told}</ul>" if told else ""


def _curves(svg: str) -> str:
    if not svg:
        return ""
    return (
        f"<h2>How much the threshold matters</h2>{svg}<p>Best checkpoints, largest contour; mean over seeds, "
        "their range shaded. A wide plateau is safer than a high peak.</p>"
    )


def _sheet(jpeg: bytes | None, split: str) -> str:
    if jpeg is None:
        return ""
    picture = base64.b64encode(jpeg).decode()
    legend = '<span class="found">reported box</span> <span class="true">true box</span>'
    return (
        f"<h2>Side by side: photos of {split}</h2><p>{legend}, tinted where the map is warm; first seed, "
        "best checkpoint, thresholds from val.</p>"
        f'<div class="wide"><img class="sheet" alt="photos through every method" '
        f'src="data:image/jpeg;base64,{picture}"></div>'
    )
