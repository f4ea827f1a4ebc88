"""Settings: presets, overrides with their types, limits, and config.toml there and back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click
import pytest

from edge_runtime.errors import UsageError
from train.baselines.config import BaselineConfig
from train.commands.train import SETTINGS, train
from train.config import PRESETS, TrainConfig, preset_config, read_run_config, read_toml
from train.config_limits import RULES, check_limits
from train.pretrain.config import PretrainConfig
from train.settings import choices_of, flatten, override, read_config_of, to_toml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize("name", list(PRESETS))
def test_presets_are_complete_valid_and_survive_the_file(name: str, tmp_path: Path) -> None:
    config = preset_config(name)
    check_limits(config)
    path = tmp_path / "config.toml"
    path.write_text(to_toml(config), encoding="utf-8")
    assert read_toml(path) == config
    assert config.preset == name


def test_the_paper_preset_is_the_papers() -> None:
    config = preset_config("paper")
    assert (config.localizer.encoder, config.sst.heads, config.optim.epochs) == ("resnet50", "first4", 50)
    assert (config.optim.name, config.optim.schedule, config.optim.batch_size) == ("sgd", "step", 32)
    assert (config.losses.cls_source, config.sampling.bg_pool) == ("localizer", "none")


def test_every_number_has_a_limit() -> None:
    numbers = [k for k, v in flatten(TrainConfig()).items() if isinstance(v, int | float | tuple)]
    assert set(numbers) == set(RULES)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        pytest.param("losses.cls", "0.25", 0.25, id="float"),
        pytest.param("optim.epochs", "7", 7, id="int"),
        pytest.param("optim.epochs", 7.0, 7, id="whole float for an int"),
        pytest.param("optim.lr", 1, 1.0, id="int for a float"),
        pytest.param("localizer.decoder", "64, 32,16 16 8", (64, 32, 16, 16, 8), id="tuple from text"),
        pytest.param("localizer.crop", [0.5, 1], (0.5, 1.0), id="tuple from TOML"),
        pytest.param("sst.heads", "first4", "first4", id="choice"),
        pytest.param("seed", "3", 3, id="top level"),
    ],
)
def test_values_take_the_type_of_their_setting(key: str, text: Any, value: object) -> None:
    found = flatten(override(TrainConfig(), {key: text}))[key]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        pytest.param("losses.colour", "1", "setting 'losses.colour' does not exist", id="unknown name"),
        pytest.param("nothing.cls", "1", "setting 'nothing.cls' does not exist", id="unknown section"),
        pytest.param("losses", "1", "setting 'losses' does not exist", id="a section is no setting"),
        pytest.param("optim.epochs", "many", "expected int, like 0", id="not a number"),
        pytest.param("optim.epochs", 2.5, "expected int", id="half an epoch"),
        pytest.param("sst.heads", "some", "expected one of all, first4", id="not a choice"),
        pytest.param("localizer.decoder", 3, "expected tuple", id="not a list"),
    ],
)
def test_wrong_settings_are_named(key: str, value: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        override(TrainConfig(), {key: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"optim.batch_size": 0}, "optim.batch_size = 0: expected at least 1", id="no batch"),
        pytest.param({"polish.sizes": ""}, "polish.sizes is empty", id="no size"),
        pytest.param({"polish.crop": "0.8"}, r"polish.crop = \(0.8,\): expected smallest", id="one share"),
        pytest.param({"polish.contrast": "0.5"}, "polish.contrast = .*: expected two", id="one level"),
        pytest.param({"polish.contrast": "0.8,0.5"}, "expected two ascending shares", id="levels reversed"),
        pytest.param({"polish.contrast": "0.5,0.5"}, "expected two ascending shares", id="no room between"),
        pytest.param({"polish.contrast": "0.5,1.5"}, "expected from 0 to 1", id="above the warmest"),
        pytest.param({"localizer.crop": "0.1,0.2,0.3"}, "localizer.crop = .*: expected smallest", id="three"),
        pytest.param({"optim.lr": float("nan")}, "optim.lr = nan: expected above 0", id="not a number"),
        pytest.param({"optim.ema": 1.0}, "optim.ema = 1.0: expected from 0, below 1", id="frozen average"),
        pytest.param({"losses.crf_scale": 0.0}, "expected above 0, at most 1", id="no pixels"),
        pytest.param({"losses.cls_every": 0}, "losses.cls_every = 0: expected at least 1", id="every zeroth"),
        pytest.param({"sampling.dilation": 2}, "expected an odd number", id="even dilation"),
        pytest.param(
            {"localizer.crop": (0.9, 0.5)}, "expected smallest and largest share", id="crop reversed"
        ),
        pytest.param({"localizer.crop": (0.5, 1.5)}, "localizer.crop", id="crop beyond the photo"),
        pytest.param({"sampling.n_fg": 0, "sampling.n_bg": 0}, "both 0", id="no pixel at all"),
        pytest.param({"proposals.min_score": -0.1}, "expected from 0 to 1", id="below a probability"),
    ],
)
def test_values_that_cannot_work_are_refused_before_the_run(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_limits(override(TrainConfig(), changes))


def test_a_file_that_is_no_config_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("optim = {", encoding="utf-8")
    with pytest.raises(UsageError, match=r"config\.toml: cannot be read as TOML"):
        read_toml(path)
    path.write_text("[optim]\nspeed = 3\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"config\.toml: not written by this version.*optim\.speed"):
        read_toml(path)


@pytest.mark.parametrize(
    ("read", "needed"),
    [
        pytest.param(lambda run: read_toml(run / "config.toml"), "DiPS", id="its file"),
        pytest.param(read_run_config, "DiPS", id="to go on with"),
        pytest.param(
            lambda run: read_config_of(run, PretrainConfig(), "dips-edge pretrain"),
            "`dips-edge pretrain`",
            id="to pre-train on",
        ),
    ],
)
def test_the_run_of_a_baseline_is_called_one_wherever_it_is_read(
    tmp_path: Path, read: Callable[[Path], object], needed: str
) -> None:
    (tmp_path / "config.toml").write_text('method = "cam"\n[optim]\nlr = 0.1\n', encoding="utf-8")
    said = f"config.toml: a run of the baseline 'cam'; a run of {needed} is needed here"
    with pytest.raises(UsageError, match=re.escape(said)):
        read(tmp_path)


def test_a_run_older_than_a_part_of_the_method_is_read_as_without_it(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[optim]\nepochs = 3\n", encoding="utf-8")
    config = read_run_config(tmp_path)
    assert (config.polish.epochs, config.selftrain.from_epoch, config.optim.epochs) == (0, 0, 3)
    assert (config.sst.maps, config.localizer.class_head) == ("attention", "trained")
    assert config.polish.contrast == (0, 0)
    (tmp_path / "config.toml").write_text(to_toml(TrainConfig()), encoding="utf-8")
    assert read_run_config(tmp_path).polish == TrainConfig().polish
    assert TrainConfig().polish.epochs > 0


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no run of `dips-edge train`"):
        read_run_config(tmp_path)


def test_the_flags_of_the_command_stand_for_settings_that_exist() -> None:
    assert set(SETTINGS.values()) <= set(flatten(TrainConfig()))
    flags = {parameter.name: parameter for parameter in train.params}
    assert set(SETTINGS) <= set(flags)
    for flag, key in {**SETTINGS, "preset": "preset"}.items():
        if isinstance(flags[flag].type, click.Choice):
            of_baselines = choices_of(BaselineConfig("cam"), key) if key == "select" else ()
            either = {*choices_of(TrainConfig(), key), *of_baselines}
            assert set(flags[flag].type.choices) == either
    assert choices_of(TrainConfig(), "preset") == tuple(PRESETS)
