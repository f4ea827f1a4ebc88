"""A baseline under torchrun: two processes on the CPU, over gloo."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.train.tiny import write_tiny_set
from train.baselines.presets import read_baseline_config
from train.checkpoint import FILES, load_tensors

if TYPE_CHECKING:
    from pathlib import Path

DIPS_EDGE = [sys.executable, "-m", "edge_runtime"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--no-python"]
SETTINGS = (
    "backbone.name=test_efficientnet",
    "backbone.weights=none",
    "photos.size=64",
    "photos.eval_size=64",
    "optim.epochs=2",
    "optim.batch_size=3",  # of two processes, one takes two photos and the other one
)


def _train(start: list[str], data: Path, out: Path, *changes: str) -> subprocess.CompletedProcess[str]:
    command = [*start, *DIPS_EDGE, "train", str(data), "--out", str(out), "--method", "cam"]
    command += ["--device", "cpu", "--threads", "1"]
    command += [word for setting in (*SETTINGS, *changes) for word in ("--set", setting)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


@pytest.mark.slow
def test_two_processes_with_unequal_shares_learn_what_one_learns(tmp_path: Path) -> None:
    data = write_tiny_set(tmp_path / "set", train=8)
    one, two = tmp_path / "one", tmp_path / "two"
    for start, out in (([], one), (TORCHRUN, two)):
        done = _train(start, data, out)
        assert done.returncode == 0, done.stderr
    assert read_baseline_config(one / "config.toml") == read_baseline_config(two / "config.toml")
    alone, shared = (json.loads((out / "metrics.json").read_text())["history"] for out in (one, two))
    assert [entry["epoch"] for entry in shared] == [1, 2]
    assert shared[0]["class"] == pytest.approx(alone[0]["class"], rel=0.25)
    assert shared[0]["lr"] == pytest.approx(alone[0]["lr"])  # as many steps of as many photos
    for name in FILES.values():
        kept, same = (load_tensors(out / name)[0] for out in (two, one))
        assert {k: v.shape for k, v in kept.items()} == {k: v.shape for k, v in same.items()}
        assert all(bool(v.isfinite().all()) for v in kept.values())
