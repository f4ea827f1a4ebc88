"""Opens a model file with what suits the machine; each backend is imported only when chosen.

model + device ──open_backend──▶ Backend
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

from edge_runtime.backends.base import Backend
from edge_runtime.errors import UsageError
from edge_runtime.modelfile import find_model

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DEVICES", "Backend", "open_backend"]

# device: module:class; a class takes (path of the .onnx, threads)
_BACKENDS = {"cpu": "edge_runtime.backends.onnx_cpu:OnnxCpu"}
DEVICES = ("auto", *_BACKENDS)


def open_backend(
    model: str | Path, device: str = "auto", threads: int | None = None, precision: str | None = None
) -> Backend:
    """Open a model and try it once.

    Args:
        model: a `.onnx` file, a directory of them (see `edge_runtime.modelfile.find_model`), or "demo".
        device: one of `DEVICES`; "auto" takes the fastest that works here.
        threads: CPU threads of one inference; None takes min(physical cores, 4).
        precision: which file of a directory.

    Raises:
        ModelError: missing, damaged or not one of our model files.
        UsageError: unknown device, or a thread count below 1.
    """
    if device not in DEVICES:
        raise UsageError(f"unknown device {device!r}, expected one of {', '.join(DEVICES)}")
    if threads is not None and threads < 1:
        raise UsageError(f"threads = {threads}, expected at least 1")
    path = find_model(model, precision)
    module, _, name = _BACKENDS["cpu" if device == "auto" else device].partition(":")
    return cast("Backend", getattr(importlib.import_module(module), name)(path, threads))
