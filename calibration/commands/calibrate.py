"""`dips-edge calibrate MODEL DATA`: an fp32 model file becomes three int8 files."""

from __future__ import annotations

import dataclasses
import json
import logging
from typing import TYPE_CHECKING, Any

import click

from calibration.commands.common import calibration_options, check_outputs, open_fp32
from edge_runtime import cliutil

if TYPE_CHECKING:
    from pathlib import Path

    from calibration.quantize import Int8Files
    from edge_runtime.presence import PresenceCalibration

log = logging.getLogger(__name__)


@cliutil.command("calibrate")
@click.argument("model")
@click.argument("data")
@click.option("--out", type=cliutil.PATH, metavar="DIR", help="Where files go.  [default: beside MODEL]")
@calibration_options
@cliutil.json_option
def calibrate(
    model: str,
    data: str,
    out: Path | None,
    calib_frames: int | None,
    val_frames: int,
    method: str,
    seed: int,
    threads: int | None,
    force: bool,
    as_json: bool,
) -> None:
    """Make the int8 files of MODEL, an fp32 file of `dips-edge export` or the directory with it.

    DATA shows what the camera will see: a data set (ranges are fitted to train, all else is chosen on
    val), a folder or glob of images, or a video. Written are NAME-int8.onnx for TensorRT from 10 on,
    NAME-int8-trt8.onnx for TensorRT 8, NAME-int8-cpu.onnx for CPUs and NAME-calibration.json: all, if
    each file finds the boxes that fp32 finds, or none.

    \b
    dips-edge calibrate tower-model photos/
    """
    from calibration.data import read_material
    from calibration.fitting import Int8Settings
    from calibration.quantize import SUFFIXES, quantize_model
    from calibration.search import methods_named
    from edge_runtime.place import staged

    methods_named(method)
    fp32 = open_fp32(model)
    folder = fp32.path.parent if out is None else out
    paths = {target: folder / f"{fp32.name}-{suffix}.onnx" for target, suffix in SUFFIXES.items()}
    table_path = folder / f"{fp32.name}-calibration.json"
    check_outputs([*paths.values(), table_path], force)
    material = read_material(data, fp32.contract, count=calib_frames, val_count=val_frames, seed=seed)
    log.info("%s: %s", data, material.note)
    settings = Int8Settings(method=method, seed=seed, threads=threads)
    made = quantize_model(
        fp32.content,
        material.calibration,
        material.val,
        settings,
        present=material.present,
        origin=str(fp32.path),
    )
    contents = {paths[file.target]: file.content() for file in made.files}
    contents[table_path] = made.table.to_json().encode()
    with staged(contents):
        pass
    rows = _rows(made, paths, fp32.content)
    if as_json:
        document = {"files": rows, "table": str(table_path), "data": material.note}
        click.echo(json.dumps(document | {"methods": _methods(made)}))
        return
    for row in rows:
        log.info(
            "%-12s %5.1f MB (%.2f of fp32), box IoU with fp32 %.4f, map error %.1e, %d layers float",
            row["target"],
            row["size"] / 1e6,
            row["size"] / len(fp32.content),
            row["versus_fp32"]["mean_iou"],
            row["versus_fp32"]["map_mean"],
            len(row["float_layers"]),
        )
        click.echo(row["path"])


def _rows(made: Int8Files, paths: dict[str, Path], fp32: bytes) -> list[dict[str, Any]]:
    return [
        {
            "path": str(paths[file.target]),
            "target": file.target,
            "size": paths[file.target].stat().st_size,
            "method": made.table.method,
            "decision_threshold": file.contract.decision_threshold,
            "presence_threshold": file.contract.presence_threshold,
            "presence_calibration": _as_json(file.contract.presence_calibration),
            "float_layers": list(file.float_layers),
            "versus_fp32": file.agreement.rounded(),
        }
        for file in made.files
    ]


def _as_json(calibration: PresenceCalibration | None) -> dict[str, float] | None:
    return None if calibration is None else dataclasses.asdict(calibration)


def _methods(made: Int8Files) -> list[dict[str, Any]]:
    return [{"method": trial.method, **trial.agreement.rounded()} for trial in made.trials]
