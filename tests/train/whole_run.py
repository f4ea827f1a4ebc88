"""A whole run of training in seconds, and what tests look at afterwards."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch

from train.run import train_run

from .tiny import tiny_config

if TYPE_CHECKING:
    from pathlib import Path

RESULTS = ("attention.f16", "features.f16", "classifier.safetensors", "proposals.jsonl", "last.safetensors")
BEST = "localizer.safetensors"
DECIDED = (*RESULTS, BEST)


def train_tiny(data: Path, out: Path, *, resume: bool = False, workers: int = 1, **changes: Any) -> Path:
    """Train, or go on, with `tiny_config(**changes)`; the run's folder."""
    torch.manual_seed(hash(out) % 1000)  # whatever this process did before must not matter
    train_run(data, out, tiny_config(**changes), resume=resume, device="cpu", threads=1, workers=workers)
    return out


def differing(a: Path, b: Path, names: tuple[str, ...] = DECIDED) -> list[str]:
    """Names of the files that differ."""
    return [name for name in names if (a / name).read_bytes() != (b / name).read_bytes()]


def metrics_of(out: Path) -> dict[str, Any]:
    """The run's metrics.json."""
    found: dict[str, Any] = json.loads((out / "metrics.json").read_text())
    return found
