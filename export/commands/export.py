"""`dips-edge export RUN`: a run directory becomes model files for the board."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import click

from edge_runtime import cliutil
from edge_runtime.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

PRECISIONS = ("fp32", "fp16", "int8")
METHODS = ("auto", "max", "percentile", "mse", "entropy")


@cliutil.command("export")
@click.argument("run", type=cliutil.PATH)
@click.option("--precision", type=click.Choice(PRECISIONS), default="fp32", help="Number format.")
@click.option("--out", type=cliutil.PATH, metavar="DIR", help="Model directory.  [default: RUN/model]")
@click.option("--size", metavar="HxW", help="Network input, px.  [default: the run's own]")
@click.option("--batch", type=click.IntRange(1), default=1, help="Frames of one inference.")
@click.option("--checkpoint", type=click.Choice(["best", "last"]), default="best", help="Which weights.")
@click.option(
    "--frames",
    metavar="DATA|SOURCE",
    help="Photos or video to judge the file on.  [default: the run's val photos]",
)
@click.option(
    "--max-drop",
    type=click.FloatRange(0.0, 100.0),
    default=1.0,
    help="Points of box accuracy a lower precision may lose (one photo always may).",
)
@click.option(
    "--calib", metavar="DATA|SOURCE", help="Photos for the int8 ranges.  [default: the run's train photos]"
)
@click.option("--calib-frames", type=click.IntRange(1), default=256, help="How many of them, most diverse.")
@click.option("--method", type=click.Choice(METHODS), default="auto", help="How int8 ranges are chosen.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of the choice of photos.")
@click.option(
    "--engine", is_flag=True, help="Build this machine's TensorRT engine now, not at the first run."
)
@click.option("--engine-dir", type=cliutil.PATH, help="Where engines are kept.  [default: beside the model]")
@click.option("--dla", type=click.IntRange(0, 1), help="Engine for this DLA core of an Orin; fp16 only.")
@click.option("--force", is_flag=True, help="Overwrite model files that exist.")
@cliutil.json_option
def export(
    run: Path,
    precision: str,
    out: Path | None,
    size: str | None,
    batch: int,
    checkpoint: str,
    frames: str | None,
    max_drop: float,
    calib: str | None,
    calib_frames: int,
    method: str,
    seed: int,
    engine: bool,
    engine_dir: Path | None,
    dla: int | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write the model files of RUN, a run directory of `dips-edge train`.

    A file is compared with the trained network, and a lower precision with fp32 on val, before it is put
    in place; one that localizes worse is refused. The paths are printed; `dips-edge run --model` takes them,
    or the directory.
    """
    from export.flow import export_run
    from export.settings import Settings

    settings = Settings(
        run=run,
        precision=precision,
        out=run / "model" if out is None else out,
        input_hw=parse_size(size) if size else None,
        checkpoint=checkpoint,
        batch=batch,
        frames=frames,
        calib=calib,
        calib_frames=calib_frames,
        method=method,
        seed=seed,
        max_drop=max_drop,
        engine=engine or dla is not None,
        engine_dir=engine_dir,
        dla_core=dla,
        force=force,
    )
    done = export_run(settings)
    click.echo(json.dumps(done) if as_json else "\n".join(done["models"].values()))


def parse_size(text: str) -> tuple[int, int]:
    """(height, width) of "224x320". Raises UsageError."""
    match = re.fullmatch(r"(\d+)x(\d+)", text.strip().lower())
    if match is None:
        raise UsageError(f"--size {text!r}: expected HEIGHTxWIDTH in pixels, for example 224x320")
    return int(match[1]), int(match[2])
