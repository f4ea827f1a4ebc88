"""Run directory to the fp32 model file, the source of every other precision.

RUN ──DeployedLocalizer──torch.onnx──▶ graph ──passes, metadata, seal──▶ bytes ──parity──▶ NAME-fp32.onnx
"""

from __future__ import annotations

import dataclasses
import io
import warnings
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

import onnx
import torch

from calibration.contracts import sealed_bytes
from edge_runtime import __version__
from edge_runtime.backends.onnx_cpu import OnnxCpu
from edge_runtime.contract import CLASS_NAME, INPUT_NAME, MAP_NAME
from edge_runtime.errors import UsageError
from edge_runtime.place import staged
from edge_runtime.preprocess import resize_frame
from export.graph import DeployedLocalizer
from export.onnx_passes import clean
from export.parity import Parity, check_parity, torch_reference
from export.rundir import read_run
from train.localizer import STRIDE, load_localizer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from train.localizer import Localizer

OPSET = 17  # the newest that the parsers of TensorRT 8.4 to 8.6 take
IR_VERSION = 8
TOLERANCE = 1e-4  # of a probability; a trained network stays two orders below
TOOLS = ("torch", "timm", "segmentation-models-pytorch", "onnx", "onnxsim")


@dataclass(frozen=True)
class Fp32:
    """The bytes of an fp32 file, sealed, not written yet, and the network they came from."""

    data: bytes
    localizer: Localizer
    input_hw: tuple[int, int]


def make_fp32(
    run_dir: Path, *, checkpoint: str = "best", input_hw: tuple[int, int] | None = None, batch: int = 1
) -> Fp32:
    """Export a run in memory; the same run and tools give the same bytes.

    Args:
        checkpoint: "best" or "last".
        input_hw: network input (height, width) in px; None takes the run's own.
        batch: frames of one inference.

    Raises:
        ModelError: the run is incomplete. UsageError: the size does not suit the network.
    """
    facts = read_run(run_dir, checkpoint)
    height, width = input_hw or facts.input_hw
    if height % STRIDE or width % STRIDE or min(height, width) < STRIDE:
        raise UsageError(f"size {height}x{width}: both sides must be multiples of {STRIDE}")
    localizer = load_localizer(run_dir, checkpoint)
    model = build_onnx(localizer, (height, width), batch)
    contract = dataclasses.replace(facts.contract((height, width), tool_versions()), batch=batch)
    return Fp32(sealed_bytes(model, contract), localizer, (height, width))


def write_fp32(out: Path, fp32: Fp32, photos: Sequence[NDArray[np.uint8]]) -> Parity:
    """Put the file in place, replacing one that is there, after comparing it with the trained network.

    Args:
        photos: what to compare on, (h, w, 3) uint8 BGR of any size; at least one.

    Raises:
        ModelError: the graph differs, or the file cannot be written.
    """
    frames = [resize_frame(photo, *fp32.input_hw) for photo in photos]
    with staged({out: fp32.data}) as parts:
        backend = OnnxCpu(parts[out])
        try:
            return check_parity(torch_reference(fp32.localizer), backend.infer, frames, TOLERANCE)
        finally:
            backend.close()


def export_fp32(
    run_dir: Path,
    out: Path,
    photos: Sequence[NDArray[np.uint8]],
    *,
    checkpoint: str = "best",
    input_hw: tuple[int, int] | None = None,
) -> Parity:
    """`make_fp32`, then `write_fp32`."""
    return write_fp32(out, make_fp32(run_dir, checkpoint=checkpoint, input_hw=input_hw), photos)


def build_onnx(localizer: Localizer, input_hw: tuple[int, int], batch: int = 1) -> onnx.ModelProto:
    """The clean static graph, without metadata: input `image`, outputs `prob` and `class_probs`."""
    image = torch.zeros((batch, *input_hw, 3), dtype=torch.uint8)
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


def tool_versions() -> dict[str, str]:
    """Versions of what made the file, by distribution name."""
    found = {"dips-edge": __version__}
    for name in TOOLS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # installed some other way, as torch on a Jetson
            continue
    return found
