"""Run directory to the fp32 model file, the source of every other precision.

RUN ──DeployedLocalizer──torch.onnx──▶ graph ──passes, metadata──▶ bytes ──parity on frames──▶ NAME-fp32.onnx
"""

from __future__ import annotations

import io
import os
import warnings
from importlib import metadata
from typing import TYPE_CHECKING, Any

import onnx
import torch

from edge_runtime import __version__
from edge_runtime.backends import open_backend
from edge_runtime.contract import CLASS_NAME, INPUT_NAME, MAP_NAME, METADATA_KEY
from edge_runtime.errors import ModelError, UsageError
from edge_runtime.preprocess import resize_frame
from export.graph import DeployedLocalizer
from export.onnx_passes import clean
from export.parity import Parity, check_parity, torch_reference
from export.rundir import read_run
from train.localizer import STRIDE, load_localizer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from edge_runtime.contract import ModelContract
    from train.localizer import Localizer

OPSET = 17  # the newest that the parsers of TensorRT 8.4 to 8.6 take
IR_VERSION = 8
TOLERANCE = 1e-4  # of a probability; a trained network stays two orders below
TOOLS = ("torch", "timm", "segmentation-models-pytorch", "onnx", "onnxsim")


def export_fp32(
    run_dir: Path,
    out: Path,
    photos: Sequence[NDArray[np.uint8]],
    *,
    checkpoint: str = "best",
    input_hw: tuple[int, int] | None = None,
) -> Parity:
    """Write the model file `out`, replacing one that is there, after comparing it with the trained network.

    Args:
        photos: what to compare on, (h, w, 3) uint8 BGR of any size; at least one.
        checkpoint: "best" or "last".
        input_hw: network input (height, width) in px; None takes the run's own.

    Raises:
        ModelError: the run is incomplete, the graph differs, or the file cannot be written.
        UsageError: the size does not suit the network.
    """
    facts = read_run(run_dir, checkpoint)
    height, width = input_hw or facts.input_hw
    if height % STRIDE or width % STRIDE or min(height, width) < STRIDE:
        raise UsageError(f"size {height}x{width}: both sides must be multiples of {STRIDE}")
    localizer = load_localizer(run_dir, checkpoint)
    model = build_onnx(localizer, (height, width))
    set_contract(model, facts.contract((height, width), tool_versions()))
    frames = [resize_frame(photo, height, width) for photo in photos]

    def agree(path: Path) -> Parity:
        backend = open_backend(path)
        try:
            return check_parity(torch_reference(localizer), backend.infer, frames, TOLERANCE)
        finally:
            backend.close()

    return write_checked(out, model.SerializeToString(deterministic=True), agree)


def build_onnx(localizer: Localizer, input_hw: tuple[int, int]) -> onnx.ModelProto:
    """The clean static graph, without metadata: input `image`, outputs `prob` and `class_probs`."""
    image = torch.zeros((1, *input_hw, 3), dtype=torch.uint8)
    buffer: Any = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # The TorchScript exporter is the one that writes IR 8 and opset 17 without a down-conversion.
        for message in ("You are using the legacy TorchScript-based", "The feature will be removed"):
            warnings.filterwarnings("ignore", message, DeprecationWarning)
        static_on_purpose: Any = torch.jit.TracerWarning  # type: ignore[attr-defined]
        warnings.simplefilter("ignore", static_on_purpose)
        torch.onnx.export(
            DeployedLocalizer(localizer).eval(),
            (image,),
            buffer,
            input_names=[INPUT_NAME],
            output_names=[MAP_NAME, CLASS_NAME],
            opset_version=OPSET,
            do_constant_folding=True,
            dynamo=False,
        )
    model = clean(onnx.load_from_string(buffer.getvalue()))
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version = "dips-edge", __version__
    return model


def set_contract(model: onnx.ModelProto, contract: ModelContract) -> None:
    """Put the contract into the file's metadata, replacing one that is there."""
    kept = {p.key: p.value for p in model.metadata_props if p.key != METADATA_KEY}
    onnx.helper.set_model_props(model, {**kept, METADATA_KEY: contract.to_json()})


def write_checked(out: Path, data: bytes, check: Callable[[Path], Parity]) -> Parity:
    """Write beside `out`, check what was written, then rename: `out` is whole and checked, or untouched.

    Raises:
        ModelError: disk full or folder not writable; errors of `check` pass through.
    """
    part = out.with_name(f".{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        parity = check(part)
        part.replace(out)
    except OSError as error:
        raise ModelError(
            f"{out}: cannot be written ({error.strerror or error}); nothing was changed"
        ) from error
    finally:
        _remove(part)
    return parity


def tool_versions() -> dict[str, str]:
    """Versions of what made the file, by distribution name."""
    found = {"dips-edge": __version__}
    for name in TOOLS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # installed some other way, as torch on a Jetson
            continue
    return found


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:  # the folder itself is the trouble, and is being reported
        return
