"""`dips-edge pretrain`: flags, refusals in one line, runs in processes of their own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

import train.pretrain.run
from edge_runtime.cli import main
from tests.train.tiny import write_tiny_set
from train.pretrain.config import PretrainConfig
from train.settings import flatten, override, to_toml

from .tiny_pretrain import FLAGS

if TYPE_CHECKING:
    from pathlib import Path

DIPS_EDGE = [sys.executable, "-m", "edge_runtime"]
RESULTS = ("last.safetensors", "sst.safetensors")


def _command(*args: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["pretrain", *map(str, args)])
    return int(caught.value.code or 0)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command hands to training, without training."""
    seen: dict[str, Any] = {}

    def pretrain_run(source: Path, out: Path, config: PretrainConfig, **options: Any) -> None:
        seen.update(options, source=source, out=out, config=config)

    monkeypatch.setattr(train.pretrain.run, "pretrain_run", pretrain_run)
    return seen


def test_flags_become_settings(asked: dict[str, Any], tmp_path: Path) -> None:
    flags = (
        "--sst a --init b --epochs 3 --batch-size 8 --size 96 --every 5 --seed 4 --set loss.student_temp=0.2"
    )
    assert _command(tmp_path, "--out", tmp_path / "run", *flags.split()) == 0
    expected = {"sst.name": "a", "sst.init": "b", "optim.epochs": 3, "optim.batch_size": 8}
    expected |= {"crops.global_size": 96, "frames.every": 5, "seed": 4, "loss.student_temp": 0.2}
    assert asked["config"] == override(PretrainConfig(), expected)
    assert {k: asked[k] for k in ("resume", "device", "threads", "workers")} == {
        "resume": False,
        "device": "auto",
        "threads": 0,
        "workers": -1,
    }


def test_the_defaults_that_help_states_are_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    assert _command("-h") == 0
    said = " ".join(capsys.readouterr().out.split())
    settings = flatten(PretrainConfig())
    for key in ("sst.name", "optim.epochs", "optim.batch_size", "crops.global_size", "frames.every"):
        assert f"[default: {settings[key]}]" in said, key


def test_resuming_takes_the_runs_own_settings(asked: dict[str, Any], tmp_path: Path) -> None:
    stored = override(PretrainConfig(), {"optim.epochs": 7})
    (tmp_path / "config.toml").write_text(to_toml(stored))
    assert _command("frames", "--out", tmp_path, "--resume", "--epochs", 7) == 0
    assert asked["config"] == stored
    assert asked["resume"]


def _busy(out: Path) -> None:
    out.mkdir()
    (out / "notes.txt").write_text("x")


def _stored(out: Path) -> None:
    out.mkdir()
    (out / "config.toml").write_text(to_toml(PretrainConfig()))


@pytest.mark.parametrize(
    ("prepare", "flags", "message"),
    [
        pytest.param(None, "--set sst.nome=1", "setting 'sst.nome' does not exist", id="unknown setting"),
        pytest.param(None, "--epochs 3 --set optim.epochs=4", "contradicts --set", id="contradiction"),
        pytest.param(None, "--epochs 0", "--epochs", id="no epoch"),
        pytest.param(None, "--device tpu", "--device 'tpu': expected auto", id="unknown device"),
        pytest.param(None, "--resume", "holds no run of `dips-edge pretrain`", id="no run to resume"),
        pytest.param(_stored, "--resume --seed 1", "seed is 0 there, not 1", id="resumed otherwise"),
        pytest.param(_busy, "", "exists and is not empty; choose another --out", id="the folder is in use"),
        pytest.param(None, "--sst test_vit --init nowhere", "nowhere: no such file", id="weights missing"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(
    prepare: Any, flags: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if prepare:
        prepare(tmp_path / "run")
    source = write_tiny_set(tmp_path / "set", train=1, val=1)
    assert _command(source, "--out", tmp_path / "run", *flags.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert prepare or not (tmp_path / "run").exists()


def test_a_source_without_anything_to_see_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _command(tmp_path / "nowhere", "--out", tmp_path / "run", *FLAGS) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "expected frames, a video or a data set" in line


@pytest.mark.parametrize("begun", [True, False], ids=["a run that has begun", "nothing written yet"])
def test_ctrl_c_ends_with_130_and_says_how_to_go_on(
    begun: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def interrupted(source: Path, out: Path, config: PretrainConfig, **_: Any) -> None:
        if begun:
            _stored(out)
        raise KeyboardInterrupt

    monkeypatch.setattr(train.pretrain.run, "pretrain_run", interrupted)
    run = tmp_path / "run"
    assert _command(tmp_path, "--out", run) == 130
    said = f"stopped; go on with `dips-edge pretrain {tmp_path} --out {run} --resume`\n" if begun else ""
    assert capsys.readouterr().err == said


def _start(data: Path, out: Path, *flags: str) -> subprocess.Popen[bytes]:
    command = [*DIPS_EDGE, "pretrain", str(data), "--out", str(out), "--threads", "1", *FLAGS, *flags]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


@pytest.mark.slow
def test_a_killed_run_ends_as_if_it_had_not_been_killed(tmp_path: Path) -> None:
    """SIGKILL as soon as each of these files is there; after each, the same command with --resume."""
    data = write_tiny_set(tmp_path / "set")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert _start(data, whole).wait(600) == 0
    for number, landmark in enumerate(("last.safetensors", "attention/0001.png")):
        process = _start(data, killed, *(["--resume"] if number else []))
        deadline = time.monotonic() + 300
        while not (killed / landmark).exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert _start(data, killed, "--resume").wait(600) == 0
    assert [name for name in RESULTS if (whole / name).read_bytes() != (killed / name).read_bytes()] == []


def _torchrun(data: Path, out: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--no-python"]
    command = [
        *torchrun,
        *DIPS_EDGE,
        "pretrain",
        str(data),
        "--out",
        str(out),
        "--device",
        "cpu",
        *FLAGS,
        *flags,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


@pytest.mark.slow
def test_two_processes_share_one_global_batch(tmp_path: Path) -> None:
    data = write_tiny_set(tmp_path / "set")
    one, two = tmp_path / "one", tmp_path / "two"
    exact = ["--set", "sst.drop_path=0"]  # which each process draws for itself
    assert _start(data, one, *exact).wait(600) == 0
    done = _torchrun(data, two, *exact)
    assert done.returncode == 0, done.stderr
    alone, shared = (json.loads((out / "metrics.json").read_text())["history"] for out in (one, two))
    for name in ("loss", "lr", "knn", "twins"):
        assert shared[0].get(name) == alone[0].get(name), name
        assert shared[1][name] == pytest.approx(alone[1][name], rel=0.05), name


@pytest.mark.slow
def test_processes_that_cannot_share_the_batch_say_so(tmp_path: Path) -> None:
    done = _torchrun(write_tiny_set(tmp_path / "set"), tmp_path / "run", "--set", "optim.batch_size=5")
    assert done.returncode != 0
    assert "--batch-size 5: expected a multiple of 2" in done.stderr
    assert not (tmp_path / "run").exists()
