"""Settings of pre-training: limits, what is chosen, the file there and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from edge_runtime.errors import UsageError
from train.pretrain.config import RULES, PretrainConfig, check_limits, resolve
from train.settings import flatten, override, read_config_of, to_toml

if TYPE_CHECKING:
    from pathlib import Path


def test_every_number_has_a_limit_and_the_defaults_keep_it() -> None:
    numbers = [k for k, v in flatten(PretrainConfig()).items() if isinstance(v, int | float | tuple)]
    assert set(numbers) == set(RULES)
    check_limits(PretrainConfig())


def test_settings_survive_the_file(tmp_path: Path) -> None:
    config = override(PretrainConfig(), {"crops.local_scale": "0.1 0.3", "optim.lr": 0.1, "sst.init": "none"})
    (tmp_path / "config.toml").write_text(to_toml(config))
    assert read_config_of(tmp_path, PretrainConfig(), "dips-edge pretrain") == config


def test_the_run_of_another_command_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[localizer]\nsize = 224\n")
    with pytest.raises(UsageError, match="not written by this version of `dips-edge pretrain`"):
        read_config_of(tmp_path, PretrainConfig(), "dips-edge pretrain")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"optim.batch_size": 0}, "optim.batch_size = 0: expected at least 1", id="batch"),
        pytest.param({"loss.teacher_temp": 0}, "loss.teacher_temp = 0.0: expected above 0", id="temperature"),
        pytest.param({"crops.local_scale": "0.4 0.1"}, "smallest and largest share", id="scale"),
        pytest.param({"loss.center_momentum": 1}, "expected from 0, below 1", id="centre"),
    ],
)
def test_values_that_cannot_work_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_limits(override(PretrainConfig(), changes))


@pytest.mark.parametrize(
    ("changes", "patch", "expected"),
    [
        pytest.param({}, 16, (96, 1e-4, 5), id="the paper's local crops; slow where weights are good"),
        pytest.param({"sst.init": "none"}, 16, (96, 5e-4, 5), id="from scratch the paper's rate"),
        pytest.param({}, 14, (98, 1e-4, 5), id="whole patches of another size"),
        pytest.param({"crops.global_size": 32}, 16, (16, 1e-4, 5), id="small"),
        pytest.param({"optim.epochs": 3}, 16, (96, 1e-4, 1), id="short"),
        pytest.param(
            {"crops.local_size": 64, "optim.lr": 0.1, "check.every": 2}, 16, (64, 0.1, 2), id="given"
        ),
    ],
)
def test_what_is_chosen(changes: dict[str, Any], patch: int, expected: tuple[int, float, int]) -> None:
    config = resolve(override(PretrainConfig(), changes), patch)
    assert (config.crops.local_size, config.optim.lr, config.check.every) == expected


@pytest.mark.parametrize("name", ["global_size", "local_size"])
def test_crops_are_whole_patches(name: str) -> None:
    with pytest.raises(UsageError, match=f"crops.{name} = 100: expected a multiple of 16"):
        resolve(override(PretrainConfig(), {f"crops.{name}": 100}), 16)
