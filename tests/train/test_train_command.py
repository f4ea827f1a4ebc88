"""`dips-edge train`: flags to settings, refusals in one line, and runs in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import train.run
from edge_runtime.cli import main
from edge_runtime.errors import UsageError
from train.commands.train import gather_settings, let_idle_threads_sleep
from train.config import TrainConfig, preset_config, read_run_config
from train.settings import flatten, override, to_toml

from .photos import write_photo
from .tiny import FLAGS, write_tiny_set

if TYPE_CHECKING:
    from pathlib import Path

DIPS_EDGE = [sys.executable, "-m", "edge_runtime"]
DECIDED = ("last.safetensors", "localizer.safetensors", "classifier.safetensors", "proposals.jsonl")


def _command(*args: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["train", *map(str, args)])
    return int(caught.value.code or 0)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command hands to training, without training."""
    seen: dict[str, Any] = {}

    def train_run(data: Path, out: Path, config: TrainConfig, **options: Any) -> None:
        seen.update(options, data=data, out=out, config=config)

    monkeypatch.setattr(train.run, "train_run", train_run)
    return seen


def test_without_flags_the_edge_preset_trains(asked: dict[str, Any], tmp_path: Path) -> None:
    assert _command(tmp_path, "--out", tmp_path / "run") == 0
    assert asked["config"] == preset_config("edge")
    assert {k: asked[k] for k in ("resume", "device", "threads", "workers")} == {
        "resume": False,
        "device": "auto",
        "threads": 0,
        "workers": -1,
    }


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        pytest.param("--preset paper", {"localizer.encoder": "resnet50", "optim.epochs": 50}, id="preset"),
        pytest.param(
            "--preset paper --epochs 3 --encoder resnet18",
            {"optim.epochs": 3, "localizer.encoder": "resnet18", "optim.name": "sgd"},
            id="flags win over the preset",
        ),
        pytest.param(
            "--sst a --sst-weights b --encoder c --encoder-weights d --classifier linear",
            {"sst.name": "a", "sst.weights": "b", "localizer.encoder": "c", "localizer.encoder_weights": "d"}
            | {"classifier.kind": "linear"},
            id="networks",
        ),
        pytest.param(
            "--batch-size 8 --size 192 --eval-size 256 --seed 4 --select proposals --negative-class sky",
            {"optim.batch_size": 8, "localizer.size": 192, "localizer.eval_size": 256, "seed": 4}
            | {"select": "proposals", "negative_class": "sky"},
            id="the rest",
        ),
        pytest.param(
            "--set losses.cls=0.2 --set localizer.decoder=64,32,16,16,16 --set losses.cls=0.4",
            {"losses.cls": 0.4, "localizer.decoder": (64, 32, 16, 16, 16)},
            id="any setting; the last one counts",
        ),
    ],
)
def test_flags_become_settings(
    flags: str, expected: dict[str, Any], asked: dict[str, Any], tmp_path: Path
) -> None:
    assert _command(tmp_path, "--out", tmp_path / "run", *flags.split()) == 0
    found = flatten(asked["config"])
    assert {key: found[key] for key in expected} == expected


def test_a_config_file_gives_flags_and_the_command_line_wins(asked: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "flags.toml"
    file.write_text('preset = "paper"\nepochs = 9\nseed = 3\nset = ["losses.cls=0.7", "optim.lr=0.5"]\n')
    assert _command(tmp_path, "--out", tmp_path / "run", "--config", file, "--epochs", 2) == 0
    config = asked["config"]
    assert (config.preset, config.optim.epochs, config.seed) == ("paper", 2, 3)
    assert (config.losses.cls, config.optim.lr) == (0.7, 0.5)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        pytest.param("--set losses.cls", "--set 'losses.cls': expected KEY=VALUE", id="no value"),
        pytest.param("--set losses.x=1", "setting 'losses.x' does not exist", id="unknown setting"),
        pytest.param("--set optim.epochs=x", "optim.epochs = 'x': expected int", id="wrong type"),
        pytest.param("--set preset=paper", "use --preset paper", id="a preset is no setting"),
        pytest.param("--epochs 3 --set optim.epochs=4", "--epochs 3 contradicts --set", id="contradiction"),
        pytest.param("--preset fast", "'fast' is not one of 'edge', 'paper'", id="unknown preset"),
        pytest.param("--epochs 0", "--epochs", id="no epoch"),
        pytest.param("--device tpu", "--device 'tpu': expected auto, cpu, cuda", id="unknown device"),
        pytest.param("--device cuda:99", "CUDA devices here", id="a GPU that is not there"),
        pytest.param("--set losses.crf_every=0", "losses.crf_every = 0: expected at least 1", id="limit"),
    ],
)
def test_flags_that_cannot_work_are_refused_in_one_line(
    flags: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _command(write_tiny_set(tmp_path / "set"), "--out", tmp_path / "run", *flags.split()) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert message in lines[0]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "flags", [["--set", "losses.x=1"], ["--resume"]], ids=["setting", "no run to resume"]
)
def test_flags_that_cannot_work_are_told_without_waiting_for_torch(tmp_path: Path, flags: list[str]) -> None:
    script = (
        "import sys; from edge_runtime.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", script, "train", str(tmp_path), "--out", str(tmp_path / "run"), *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "False"]


def test_a_flag_and_an_equal_setting_agree() -> None:
    assert gather_settings({"epochs": 3}, ["optim.epochs=3"]) == {"optim.epochs": 3}
    with pytest.raises(UsageError, match="contradicts"):
        gather_settings({"epochs": 3}, ["optim.epochs=4"])


def _stored_run(out: Path, preset: str = "edge", **settings: Any) -> Path:
    out.mkdir()
    config = override(preset_config(preset), {k.replace("__", "."): v for k, v in settings.items()})
    (out / "config.toml").write_text(to_toml(config))
    return out


def test_resuming_takes_the_runs_own_settings(asked: dict[str, Any], tmp_path: Path) -> None:
    out = _stored_run(tmp_path / "run", preset="paper")
    assert _command(tmp_path, "--out", out, "--resume", "--threads", 1, "--epochs", 50) == 0
    assert asked["config"] == preset_config("paper")
    assert (asked["resume"], asked["threads"]) == (True, 1)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        pytest.param("--epochs 7", "optim.epochs is 5 there, not 7", id="a flag"),
        pytest.param("--preset paper", "preset is 'edge' there, not 'paper'", id="the preset"),
        pytest.param("--set losses.cls=0.9", "losses.cls is", id="a setting"),
        pytest.param("--seed 1 --size 64", "seed is 0 there, not 1; localizer.size is", id="two at once"),
    ],
)
def test_resuming_with_other_settings_is_refused_in_one_line(
    flags: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = _stored_run(tmp_path / "run", optim__epochs=5)
    assert _command(tmp_path, "--out", out, "--resume", *flags.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert "new run with another --out" in line


@pytest.mark.parametrize(
    ("prepare", "flags", "code", "message"),
    [
        pytest.param(lambda p: None, ["--resume"], 2, "holds no run of `dips-edge train`", id="no run"),
        pytest.param(
            lambda p: (p / "run").mkdir() or (p / "run" / "notes.txt").write_text("x"),
            [],
            2,
            "exists and is not empty; choose another --out, or go on with --resume",
            id="the folder is in use",
        ),
        pytest.param(lambda p: (p / "run").write_text("x"), [], 2, "exists and is not empty", id="a file"),
    ],
)
def test_the_run_directory_is_guarded(
    prepare: Any,
    flags: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    prepare(tmp_path)
    assert _command(write_tiny_set(tmp_path / "set"), "--out", tmp_path / "run", *FLAGS, *flags) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


@pytest.mark.parametrize("begun", [True, False], ids=["a run that has begun", "nothing written yet"])
def test_ctrl_c_ends_with_130_and_says_how_to_go_on(
    begun: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def interrupted(data: Path, out: Path, config: TrainConfig, **_: Any) -> None:
        if begun:
            out.mkdir()
            (out / "config.toml").write_text(to_toml(config))
        raise KeyboardInterrupt

    monkeypatch.setattr(train.run, "train_run", interrupted)
    run = tmp_path / "run"
    assert _command(tmp_path, "--out", run) == 130
    said = f"stopped; go on with `dips-edge train {tmp_path} --out {run} --resume`\n" if begun else ""
    assert capsys.readouterr().err == said


def test_an_empty_folder_may_become_the_run(asked: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert _command(tmp_path, "--out", tmp_path / "run") == 0


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        pytest.param(lambda root: None, "no such folder", id="no data"),
        pytest.param(
            lambda root: write_photo(root / "train" / "a" / "0.png"), "one class only", id="one class"
        ),
        pytest.param(
            lambda root: [write_photo(root / "train" / n / "0.png") for n in "ab"],
            "no val photos",
            id="no val",
        ),
    ],
)
def test_data_that_cannot_teach_is_refused_in_one_line(
    prepare: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(tmp_path / "set")
    assert _command(tmp_path / "set", "--out", tmp_path / "run", *FLAGS) in (1, 2)
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "run").exists()


def test_idle_threads_sleep_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    let_idle_threads_sleep()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    let_idle_threads_sleep()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


def _start(data: Path, out: Path, *flags: str) -> subprocess.Popen[bytes]:
    command = [*DIPS_EDGE, "train", str(data), "--out", str(out), "--threads", "1", *FLAGS, *flags]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


@pytest.mark.slow
def test_a_killed_run_ends_as_if_it_had_not_been_killed(tmp_path: Path) -> None:
    """SIGKILL as soon as each of these files is there; after each, the same command with --resume."""
    data = write_tiny_set(tmp_path / "set", train=24)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert _start(data, whole).wait(600) == 0
    for number, landmark in enumerate(("attention.json", "proposals.jsonl", "last.safetensors")):
        process = _start(data, killed, *(["--resume"] if number else []))
        deadline = time.monotonic() + 300
        while not (killed / landmark).exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert _start(data, killed, "--resume").wait(600) == 0
    assert [name for name in DECIDED if (whole / name).read_bytes() != (killed / name).read_bytes()] == []


@pytest.mark.slow
def test_two_processes_share_one_global_batch(tmp_path: Path) -> None:
    data = write_tiny_set(tmp_path / "set", train=8)
    one, two = tmp_path / "one", tmp_path / "two"
    own = ("--set", "selftrain.from_epoch=2", "--set", "polish.epochs=1", "--set", "polish.batch_size=4")
    assert _start(data, one, *own).wait(600) == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--no-python"]
    command = [*torchrun, *DIPS_EDGE, "train", str(data), "--out", str(two), "--device", "cpu", *FLAGS, *own]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    alone, shared = (json.loads((out / "metrics.json").read_text()) for out in (one, two))
    assert read_run_config(one) == read_run_config(two)
    first, second = alone["history"][0], shared["history"][0]
    for name in ("cpa", "head", "total"):
        assert second[name] == pytest.approx(first[name], rel=0.25), name
    assert second["lr"] == pytest.approx(first["lr"])  # as many steps of as many photos
    assert len(alone["history"]) == len(shared["history"]) == 3
    for kept in ("own.f16", "polish.f16"):
        maps = [np.fromfile(out / kept, np.float16).reshape(8, -1) for out in (one, two)]
        assert all((m.max(1) > 0).all() for m in maps), kept  # no photo was left out
    ids = [json.loads(line)["id"] for line in (two / "proposals.jsonl").read_text().splitlines()]
    assert ids == [json.loads(line)["id"] for line in (one / "proposals.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_one_process_killed_ends_the_others_and_three_go_on_where_two_stopped(tmp_path: Path) -> None:
    """With the linear classifier, which all fit alike, everything before the localizer equals one process."""
    data = write_tiny_set(tmp_path / "set", train=24)
    alone, many = tmp_path / "alone", tmp_path / "many"
    assert _start(data, alone, "--classifier", "linear").wait(600) == 0
    first, second = _start_many(2, data, many, "--classifier", "linear")
    deadline = time.monotonic() + 300
    while not (many / "attention.json").exists():
        assert second.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    second.kill()
    second.communicate()
    _, said = first.communicate(timeout=300)
    assert first.returncode == 1
    assert said.decode().splitlines()[-1].startswith("error: another process of this run has stopped")
    assert b"Traceback" not in said
    for process in _start_many(3, data, many, "--resume"):
        _, said = process.communicate(timeout=600)
        assert process.returncode == 0, said.decode()
    before = ("attention.f16", "features.f16", "attention.done", "classifier.safetensors", "proposals.jsonl")
    assert [name for name in before if (alone / name).read_bytes() != (many / name).read_bytes()] == []
    assert not [path for path in many.iterdir() if path.suffix in {".part", ".shard"}]


def _start_many(size: int, data: Path, out: Path, *flags: str) -> list[subprocess.Popen[bytes]]:
    """As torchrun starts them, so that a test can kill one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [*DIPS_EDGE, "train", str(data), "--out", str(out), "--threads", "1", *FLAGS, *flags]
    shared = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(size)}
    return [
        subprocess.Popen(
            [*command, "--device", "cpu"], stderr=subprocess.PIPE, env={**shared, "RANK": str(rank)}
        )
        for rank in range(size)
    ]
