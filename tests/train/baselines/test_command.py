"""`dips-edge train --method NAME`: which flags a baseline has, resuming, and lines of refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import train.baselines.run
from edge_runtime.cli import main
from train.baselines.presets import default_config
from train.commands.baseline import method_of
from train.config import preset_config
from train.settings import flatten, to_toml

from .tiny import tiny_baseline

if TYPE_CHECKING:
    from pathlib import Path


def _command(*args: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["train", *map(str, args)])
    return int(caught.value.code or 0)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command hands to training, without training."""
    seen: dict[str, Any] = {}

    def train_baseline(data: Path, out: Path, config: Any, **options: Any) -> None:
        seen.update(options, data=data, out=out, config=config)

    monkeypatch.setattr(train.baselines.run, "train_baseline", train_baseline)
    return seen


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        pytest.param(
            "--method cam", {"backbone.name": "tf_efficientnet_lite0", "optim.epochs": 0}, id="edge"
        ),
        pytest.param(
            "--method cam --preset paper --encoder vgg16",
            {"backbone.name": "vgg16", "optim.name": "sgd", "optim.encoder_lr": 1.27e-5, "optim.epochs": 50},
            id="the protocol with a VGG",
        ),
        pytest.param(
            "--method has --encoder resnet50 --encoder-weights w --epochs 3 --batch-size 8 --size 192",
            {"backbone.name": "resnet50", "backbone.weights": "w", "optim.epochs": 3, "photos.size": 192},
            id="a CNN",
        ),
        pytest.param(
            "--method tscam --sst vit_small_patch14_dinov2 --sst-weights w --eval-size 336 --select accuracy",
            {"backbone.name": "vit_small_patch14_dinov2", "backbone.weights": "w", "photos.eval_size": 336}
            | {"select": "accuracy"},
            id="a transformer",
        ),
        pytest.param("--method adl --set baseline.drop=0.3", {"baseline.drop": 0.3}, id="its own setting"),
    ],
)
def test_flags_become_settings_of_the_method(
    flags: str, expected: dict[str, Any], asked: dict[str, Any], tmp_path: Path
) -> None:
    assert _command(tmp_path, "--out", tmp_path / "run", *flags.split()) == 0
    found = flatten(asked["config"])
    assert {key: found[key] for key in expected} == expected
    assert asked["resume"] is False


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        pytest.param("--method grad", "'grad' is not one of 'dips', 'cam'", id="method"),
        pytest.param("--method cam --sst x", "--sst means nothing to cam, which has --epochs", id="a CNN's"),
        pytest.param("--method tscam --encoder x", "--encoder means nothing to tscam", id="a transformer's"),
        pytest.param("--method cam --classifier cnn", "--classifier means nothing to cam", id="of DiPS"),
        pytest.param("--method cam --select proposals", "expected one of auto, boxes, accuracy", id="select"),
        pytest.param(
            "--select accuracy", "expected one of auto, boxes, protocol, separation", id="select of DiPS"
        ),
        pytest.param("--method cam --set losses.cls=1", "setting 'losses.cls' does not exist", id="setting"),
    ],
)
def test_flags_that_mean_nothing_are_refused_in_one_line(
    flags: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _command(tmp_path, "--out", tmp_path / "run", *flags.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.toml").write_text(to_toml(tiny_baseline("has", optim__epochs=5)))
    return tmp_path / "run"


@pytest.mark.parametrize("flags", ["", "--method has --epochs 5"])
def test_resuming_knows_the_method_of_the_run(
    flags: str, asked: dict[str, Any], stored: Path, tmp_path: Path
) -> None:
    assert _command(tmp_path, "--out", stored, "--resume", *flags.split()) == 0
    assert asked["config"] == tiny_baseline("has", optim__epochs=5)
    assert asked["resume"] is True


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        pytest.param("--method cam", "is a run of has, not of cam", id="another method"),
        pytest.param("--method dips", "is a run of has, not of dips", id="DiPS"),
        pytest.param("--epochs 6", "optim.epochs is 5 there, not 6", id="another setting"),
    ],
)
def test_resuming_as_something_else_is_refused(
    flags: str, message: str, stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _command(tmp_path, "--out", stored, "--resume", *flags.split()) == 2
    assert message in capsys.readouterr().err


def test_a_run_of_dips_is_resumed_as_one(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(to_toml(preset_config("edge")))
    assert method_of(tmp_path, None, resume=True) == "dips"
    assert method_of(tmp_path, "dips", resume=True) == "dips"
    assert default_config("cam").method == method_of(tmp_path, "cam", resume=False)
