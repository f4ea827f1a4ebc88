"""`dips-edge calibration report MODEL DATA`: what each layer costs in int8, as table, JSON and SVG."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import click

from calibration.commands.common import calibration_options, check_outputs, open_fp32
from edge_runtime import cliutil

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)


@click.group("calibration", context_settings=cliutil.CONTEXT_SETTINGS)
def calibration() -> None:
    """Look into the calibration of a model."""


@cliutil.command("report")
@click.argument("model")
@click.argument("data")
@click.option("--out", type=cliutil.PATH, metavar="DIR", help="Where files go.  [default: beside MODEL]")
@click.option("--layer-frames", type=click.IntRange(1), default=24, help="Val frames per layer.")
@calibration_options
@cliutil.json_option
def report(
    model: str,
    data: str,
    out: Path | None,
    layer_frames: int,
    calib_frames: int | None,
    val_frames: int,
    method: str,
    seed: int,
    threads: int | None,
    force: bool,
    as_json: bool,
) -> None:
    """Measure what every layer of MODEL costs in int8: the network with only that layer quantized.

    The table is printed; NAME-layers.json and NAME-layers.svg are written. Layers at the top are those that
    `dips-edge calibrate` leaves float first. DATA: as for `dips-edge calibrate`.
    """
    from calibration.data import read_material
    from calibration.report import measure_layers
    from calibration.search import methods_named
    from edge_runtime.place import staged

    methods_named(method)
    fp32 = open_fp32(model)
    folder = fp32.path.parent if out is None else out
    paths = [folder / f"{fp32.name}-layers.{kind}" for kind in ("json", "svg")]
    check_outputs(paths, force)
    material = read_material(data, fp32.contract, count=calib_frames, val_count=val_frames, seed=seed)
    log.info("%s: %s", data, material.note)
    found = measure_layers(
        fp32.content, material, method, layer_frames=layer_frames, threads=threads, origin=str(fp32.path)
    )
    contents = (found.to_json(), found.to_svg(fp32.path.name))
    with staged({path: text.encode() for path, text in zip(paths, contents, strict=True)}):
        pass
    click.echo(found.to_json() if as_json else found.to_text(), nl=False)
    for path in paths:
        log.info("%s", path)


calibration.add_command(report)
