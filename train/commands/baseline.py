"""`dips-edge train --method NAME`: the flags of `train`, for a baseline.

flags, --set ──▶ BaselineConfig ──▶ train.baselines.run
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge_runtime.errors import UsageError
from train.baselines.methods import CNN, DIPS, METHODS, VIT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from train.baselines.config import BaselineConfig

SETTINGS = {
    "epochs": "optim.epochs",
    "batch_size": "optim.batch_size",
    "size": "photos.size",
    "eval_size": "photos.eval_size",
    "seed": "seed",
    "select": "select",
    "negative_class": "negative_class",
}
NETWORK = {
    CNN: {"encoder": "backbone.name", "encoder_weights": "backbone.weights"},
    VIT: {"sst": "backbone.name", "sst_weights": "backbone.weights"},
}


def method_of(out: Path, asked: str | None, *, resume: bool) -> str:
    """The method to train: the one asked for, that of the run to resume, or DiPS.

    Raises:
        UsageError: `out` holds a run of another method than the one asked for.
    """
    if not resume:
        return asked or DIPS
    from train.settings import read_changes

    path = out / "config.toml"
    stored = str(read_changes(path).get("method", DIPS)) if path.is_file() else asked or DIPS
    if asked not in (None, stored):
        raise UsageError(f"--resume: {out} is a run of {stored}, not of {asked}; leave --method out")
    return stored


def settings_of(method: str) -> Mapping[str, str]:
    """The setting that each flag stands for, of those that a baseline has."""
    return {**SETTINGS, **NETWORK.get(METHODS[method].backbone, {})}


def configured(method: str, preset: str | None, changes: Mapping[str, Any]) -> BaselineConfig:
    """The method's preset with `changes`, by dotted key. Raises UsageError."""
    from train.baselines.presets import default_config
    from train.settings import override

    encoder = str(changes.get("backbone.name", ""))
    return override(default_config(method, preset or "edge", encoder), changes)


def resumed(out: Path, preset: str | None, changes: Mapping[str, Any]) -> BaselineConfig:
    """The run's own configuration, once it is clear that what was asked for agrees with it.

    Raises:
        UsageError: `out` holds no run, or a setting differs from the run's.
    """
    from train.baselines.presets import read_baseline_config
    from train.settings import override, refuse_differences

    stored = read_baseline_config(out / "config.toml")
    asked = override(stored, {**changes, **({} if preset is None else {"preset": preset})})
    refuse_differences(out, stored, asked)
    return stored
