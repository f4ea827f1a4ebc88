"""What both commands of this room take: an fp32 model file, DATA, how many frames, and where results go."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edge_runtime.errors import ModelError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edge_runtime.contract import ModelContract

_F = TypeVar("_F", bound="Callable[..., Any]")
FEWEST = 8  # frames; as calibration.data.FEWEST, which `-h` does not load


@dataclass(frozen=True)
class Fp32:
    """An fp32 model file: what it holds, what it says about itself. `name`: "tower" of tower-fp32.onnx."""

    path: Path
    name: str
    content: bytes
    contract: ModelContract


def frame_count(context: click.Context, option: click.Parameter, text: str) -> int | None:
    """A number from `FEWEST` on; None for "all"."""
    if text == "all":
        return None
    if not text.isdecimal() or int(text) < FEWEST:
        raise click.BadParameter(f"{text!r}: expected a number from {FEWEST} on, or all", context, option)
    return int(text)


_OPTIONS = (
    click.option(
        "--calib-frames",
        default="256",
        metavar="N|all",
        callback=frame_count,
        help="Frames that ranges are fitted to.",
    ),
    click.option("--val-frames", type=click.IntRange(FEWEST), default=256, help="Most frames to choose on."),
    click.option(
        "--method",
        default="auto",
        metavar="auto|max|percentile|mse|entropy",
        help="How ranges are fitted; auto tries all on val.",
    ),
    click.option("--seed", default=0, help="Of every draw of frames."),
    click.option("--threads", type=click.IntRange(1), help="CPU threads.  [default: cores, up to 4]"),
    click.option("--force", is_flag=True, help="Overwrite files that exist."),
)


def calibration_options(function: _F) -> _F:
    """Add --calib-frames, --val-frames, --method, --seed, --threads and --force."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def open_fp32(model: str) -> Fp32:
    """The fp32 file a user means: a file, or the directory with it.

    Raises:
        ModelError: not there, damaged, edited, not ours, or of another precision.
    """
    from edge_runtime.modelfile import find_model
    from edge_runtime.onnxfile import read_contract

    path = find_model(model, "fp32")
    contract = read_contract(path)
    if contract.precision != "fp32":
        raise ModelError(
            f"{path}: an {contract.precision} file; give the fp32 one it was made from (NAME-fp32.onnx)"
        )
    return Fp32(path, path.stem.removesuffix("-fp32"), path.read_bytes(), contract)


def check_outputs(paths: Sequence[Path], force: bool) -> None:
    """Say now, not after minutes, that results could not be written.

    Raises:
        UsageError: a file exists and `force` is not given, or the folder is a file or not writable.
    """
    folder = paths[0].parent
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder}: is a file; expected a folder for the results")
    above = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    try:
        tempfile.TemporaryFile(dir=above).close()
    except OSError as error:
        why = error.strerror or error
        raise UsageError(f"--out {folder}: not writable ({why}); give another folder") from error
    there = [path for path in paths if path.exists()]
    if there and not force:
        raise UsageError(f"{there[0]} exists; pass --force to replace it, or another --out")
