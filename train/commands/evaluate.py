"""`dips-edge evaluate RUN|MODEL.onnx DATA`: every figure of a run or of a model file on a split of photos."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Any

import click

from edge_runtime import cliutil
from edge_runtime.summary import check_target, write_json

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from train.evaluation.evaluate import Prediction
    from train.evaluation.subject import Subject


@cliutil.command("evaluate")
@click.argument("model", type=cliutil.PATH, metavar="RUN|MODEL")
@click.argument("data", type=cliutil.PATH)
@click.option("--split", type=click.Choice(["val", "test"]), default="test", help="Which photos of DATA.")
@click.option("--checkpoint", type=click.Choice(["best", "last"]), default="best", help="Which of RUN.")
@click.option(
    "--device",
    type=click.Choice(["cpu", "tensorrt"]),
    default="cpu",
    help="What runs MODEL: tensorrt measures the very engine that flies.",
)
@click.option("--out", type=cliutil.PATH, metavar="FILE", help="Write the JSON document here, too.")
@click.option("--force", is_flag=True, help="Overwrite --out.")
@click.option("--workers", type=click.IntRange(1), default=2, help="Threads that decode photos.")
@cliutil.json_option
def evaluate(
    model: Path,
    data: Path,
    split: str,
    checkpoint: str,
    device: str,
    out: Path | None,
    force: bool,
    workers: int,
    as_json: bool,
) -> None:
    """Measure RUN (a run directory) or MODEL (a model file) on the photos in DATA.

    Thresholds are those chosen on val in training; nothing is tuned here. Protocol figures that say
    "on this very split" look at its boxes to pick theirs, as published tables do. Without boxes in DATA,
    only class and presence figures are given.
    """
    if out is not None:
        check_target(out, force=force)
    from train.commands.train import let_idle_threads_sleep

    let_idle_threads_sleep()  # before torch is imported
    from train.data.dataset import load_dataset
    from train.evaluation.evaluate import evaluate_split
    from train.evaluation.figures import text_table
    from train.evaluation.metrics_center import center_box_figures
    from train.evaluation.subject import open_subject

    subject = open_subject(model, checkpoint, device)
    dataset = load_dataset(
        data, negative_class=_negative_to_name(subject), splits=tuple(dict.fromkeys(("val", split)))
    )
    images = subject.relabel(dataset, split)
    predictions = _with_progress(subject.predict(images, workers), len(images))
    figures = evaluate_split(predictions, subject.negative, subject.thresholds, subject.presence)
    figures |= center_box_figures(dataset, split) if figures["localized_photos"] else {}
    document = describe(subject, data, split) | {"figures": figures}
    if out is not None:
        write_json(out, document)
    if as_json:
        click.echo(json.dumps(document, allow_nan=False))
    else:
        click.echo(f"{_heading(document)}\n{text_table(figures)}")


def describe(subject: Subject, data: Path, split: str) -> dict[str, Any]:
    """Where the figures come from: network, photos, thresholds."""
    t = subject.thresholds
    return {
        "model": subject.name,
        **subject.origin,
        "data": str(data),
        "split": split,
        "thresholds": {"tau": t.tau, "decision": t.decision, "presence": t.presence},
        "presence_calibration": None if t.calibration is None else dataclasses.asdict(t.calibration),
    }


def _negative_to_name(subject: Subject) -> str | None:
    """A negative class must be named to the data set unless its name says so already."""
    name = subject.negative_class
    return None if name is None or name.lower() == "background" else name


def _heading(document: dict[str, Any]) -> str:
    figures, t, fitted = document["figures"], document["thresholds"], document["presence_calibration"]
    chosen = f"{document['checkpoint']} checkpoint, selected by: {document['selection']}"
    runs_on = f", {document['precision']} on {document['backend']}" if "backend" in document else ""
    return (
        f"{document['model']} ({chosen}{runs_on})\n"
        f"{document['data']} {document['split']}: {figures['photos']} photos, "
        f"{figures['localized_photos']} with boxes, {figures['negative_photos']} without an object\n"
        f"thresholds from val: tau {t['tau']:.3f}, decision {t['decision']:.3f}, "
        f"presence {t['presence']:.3f}\nP(in view): {_fitted_on(fitted)}"
    )


def _fitted_on(calibration: dict[str, Any] | None) -> str:
    if calibration is None:
        return "none, not calibrated on val"
    photos = f"{calibration['positives']} val photos with and {calibration['negatives']} without the asset"
    return f"fitted to {photos}"


def _with_progress(predictions: Iterable[Prediction], count: int) -> Iterable[Prediction]:
    if not sys.stderr.isatty():
        yield from predictions
        return
    with click.progressbar(predictions, length=count, label="photos", file=sys.stderr) as bar:
        yield from bar
