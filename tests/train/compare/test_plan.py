"""Which runs a comparison makes, and what may change when it is continued."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edge_runtime.errors import ModelError, UsageError
from train.baselines.methods import METHODS
from train.compare.plan import Job, Plan, enlist, parse_methods, run_dir, split_settings

if TYPE_CHECKING:
    from pathlib import Path

PLAN = Plan("/photos", 2, {"dips": [], "cam": ["--epochs", "3"]})


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param("dips,cam", ["dips", "cam"], id="two"),
        pytest.param(" CAM, has ,cam", ["cam", "has"], id="spaces, capitals, twice"),
        pytest.param("all", ["dips", *METHODS], id="all"),
    ],
)
def test_methods_are_read_in_their_order(text: str, names: list[str]) -> None:
    assert parse_methods(text) == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("cam,grad", "'grad': expected some of dips, cam, has", id="unknown"),
        pytest.param(" ,", "nothing: expected some of dips", id="none"),
    ],
)
def test_methods_that_do_not_exist_are_told(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_methods(text)


def test_settings_belong_to_their_method() -> None:
    found = split_settings(["cam:optim.lr=1e-3", "has:baseline.grid=32", "cam:seed=4"], ["cam", "has"])
    assert found == {"cam": ["optim.lr=1e-3", "seed=4"], "has": ["baseline.grid=32"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("optim.lr=1e-3", "expected METHOD:KEY=VALUE", id="no method"),
        pytest.param("cam:optim.lr", "expected METHOD:KEY=VALUE", id="no value"),
        pytest.param("optim.lr=C:/x", "expected METHOD:KEY=VALUE", id="a colon in the value only"),
        pytest.param("adl:optim.lr=1", "'adl' is not among what is compared: cam", id="not compared"),
    ],
)
def test_settings_of_nobody_are_told(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        split_settings([text], ["cam"])


def test_one_seed_of_all_comes_before_the_next_and_what_has_none_runs_once() -> None:
    plan = Plan("/photos", 2, {"dips": [], "center": [], "cam": [], "sst": []})
    names = [job.name for job in plan.jobs()]
    assert names == ["dips-0", "center-0", "cam-0", "sst-0", "dips-1", "cam-1"]


def test_a_plan_is_kept_and_may_grow(tmp_path: Path) -> None:
    assert enlist(tmp_path / "c", PLAN) == PLAN
    assert enlist(tmp_path / "c", PLAN) == PLAN
    grown = enlist(tmp_path / "c", Plan("/photos", 1, {"has": [], "cam": ["--epochs", "3"]}))
    assert grown == Plan("/photos", 2, {"dips": [], "cam": ["--epochs", "3"], "has": []})


def _finish(out: Path, job: Job) -> None:
    folder = run_dir(out, job)
    folder.mkdir(parents=True)
    (folder / "report.html").write_text("done")


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        pytest.param(Plan("/other", 2, PLAN.arguments), "compares on /photos, not on /other", id="photos"),
        pytest.param(
            Plan("/photos", 2, {"cam": []}), "cam was trained with --epochs 3; not with no flags", id="flags"
        ),
    ],
)
def test_what_was_trained_otherwise_is_not_mixed_in(plan: Plan, message: str, tmp_path: Path) -> None:
    enlist(tmp_path, PLAN)
    _finish(tmp_path, Job("cam", 1))
    with pytest.raises(UsageError, match=message):
        enlist(tmp_path, plan)


def test_a_method_that_never_ended_well_may_get_other_flags(tmp_path: Path) -> None:
    enlist(tmp_path, PLAN)
    half = run_dir(tmp_path, Job("cam", 0))
    half.mkdir()
    (half / "config.toml").write_text("with the wrong flags")
    assert enlist(tmp_path, Plan("/photos", 2, {"cam": ["--epochs", "4"]})).arguments["cam"] == [
        "--epochs",
        "4",
    ]
    assert not half.exists()


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_text("")
    with pytest.raises(UsageError, match="exists and holds no comparison"):
        enlist(tmp_path, PLAN)


def test_a_damaged_plan_is_told(tmp_path: Path) -> None:
    (tmp_path / "compare.json").write_text("{")
    with pytest.raises(ModelError, match=r"compare\.json: damaged"):
        enlist(tmp_path, PLAN)
