"""Tensors and a JSON header in one safetensors file, replaced whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from edge_runtime.errors import ModelError, TrainingError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

FILES = {"best": "localizer.safetensors", "last": "last.safetensors"}  # the checkpoints of a run


def save_tensors(path: Path, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Write atomically: on any failure the file that was there stays as it was.

    Raises:
        TrainingError: the disk is full or the folder cannot be written.
    """
    packed = save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, {"json": json.dumps(meta)})
    write_bytes(path, packed)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically. Raises TrainingError as `save_tensors`."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write any file atomically. Raises TrainingError as `save_tensors`."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        kept = "; the one from before is kept" if path.exists() else ""
        raise TrainingError(
            f"{path}: cannot be written ({error.strerror or error}){kept}. Make room and --resume"
        ) from error


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header of a file written by `save_tensors`.

    Raises:
        ModelError: missing, damaged, or not one of ours.
    """
    try:
        with safe_open(path, framework="pt") as file:
            meta = (file.metadata() or {}).get("json")
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: cannot be read ({error})") from error
    try:
        return tensors, dict(json.loads(meta or ""))
    except (TypeError, ValueError) as error:
        raise ModelError(f"{path}: no header of ours; it was not written by `dips-edge train`") from error
