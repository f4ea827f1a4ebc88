"""`dips-edge export RUN`: a run directory becomes a model file."""

from __future__ import annotations

import dataclasses
import json
import logging
import re
from typing import TYPE_CHECKING

import click

from edge_runtime import cliutil
from edge_runtime.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

PRECISIONS = ("fp32",)
LATER = ("fp16", "int8")


@cliutil.command("export")
@click.argument("run", type=cliutil.PATH)
@click.option("--precision", default="fp32", metavar="|".join(PRECISIONS), help="Number format of the file.")
@click.option("--out", type=cliutil.PATH, metavar="DIR", help="Model directory.  [default: RUN/model]")
@click.option("--size", metavar="HxW", help="Network input, px.  [default: the run's own]")
@click.option("--checkpoint", type=click.Choice(["best", "last"]), default="best", help="Which weights.")
@click.option(
    "--frames",
    metavar="DATA|SOURCE",
    help="Photos or video to compare on.  [default: the run's val photos, else the demo clip]",
)
@click.option("--force", is_flag=True, help="Overwrite a model file that exists.")
@cliutil.json_option
def export(
    run: Path,
    precision: str,
    out: Path | None,
    size: str | None,
    checkpoint: str,
    frames: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write the model file of RUN, a run directory of `dips-edge train`.

    The file is compared with the trained network on real frames before it is put in place. Its path
    is printed; `dips-edge run --model PATH` takes it.
    """
    input_hw = parse_size(size) if size else None
    check_precision(precision)
    path = model_path(run, out, precision)

    if path.exists() and not force:
        raise UsageError(f"{path} exists; pass --force to replace it, or another --out")

    from export.fp32 import export_fp32
    from export.frames import comparison_photos
    from export.rundir import read_run

    facts = read_run(run, checkpoint)
    if input_hw not in (None, facts.input_hw):
        log.warning(
            "%s: thresholds and metrics were measured at %dx%d, not at %s", run, *facts.input_hw, size
        )
    photos = comparison_photos(frames, facts.data)
    parity = export_fp32(run, path, photos, checkpoint=checkpoint, input_hw=input_hw)
    log.info(
        "%s: %.1f MB, %d frames agree with the trained network (map within %.1e, class within %.1e)",
        path,
        path.stat().st_size / 1e6,
        parity.frames,
        parity.map_max,
        parity.class_max,
    )
    document = {"model": str(path), "precision": precision, "parity": dataclasses.asdict(parity)}
    click.echo(json.dumps(document) if as_json else str(path))


def parse_size(text: str) -> tuple[int, int]:
    """(height, width) of "224x320". Raises UsageError."""
    match = re.fullmatch(r"(\d+)x(\d+)", text.strip().lower())
    if match is None:
        raise UsageError(f"--size {text!r}: expected HEIGHTxWIDTH in pixels, for example 224x320")
    return int(match[1]), int(match[2])


def check_precision(precision: str) -> None:
    """Raises UsageError for a precision this version does not write."""
    if precision in PRECISIONS:
        return
    known = ", ".join(PRECISIONS)
    what = "is not available yet" if precision in LATER else "does not exist"
    raise UsageError(f"--precision {precision!r} {what}; this version exports {known}")


def model_path(run: Path, out: Path | None, precision: str) -> Path:
    """OUT/NAME-PRECISION.onnx, named after the run directory. Raises UsageError when OUT is a file."""
    folder = run / "model" if out is None else out
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder}: is a file; expected a directory for model files")
    return folder / f"{run.resolve().name}-{precision}.onnx"
