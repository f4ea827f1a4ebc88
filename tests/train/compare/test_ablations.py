"""Ablations: what each row changes, which rows there are on which photos, their place in plan and table."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edge_runtime.cli import main
from edge_runtime.errors import UsageError
from tests.train.tiny import SETTINGS, write_tiny_set
from train.commands.compare import _asked, ablation_settings
from train.compare.ablations import ABLATIONS, GROUPS, is_ablation, is_dips, parse_groups, settings_for
from train.compare.against import HEAD, difference
from train.compare.plan import Job, Plan, run_dir
from train.compare.results import COLUMNS, Row
from train.compare.runner import run_jobs
from train.compare.table import csv_text, html_tables, markdown
from train.config import preset_config
from train.config_auto import resolve_method
from train.config_limits import check_limits
from train.settings import override

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from train.config import TrainConfig

NO_FLAGS: dict[str, Any] = dict.fromkeys(
    ("preset", "encoder", "encoder_weights", "sst", "sst_weights", "epochs", "batch_size", "negative_class")
)


def _changed(name: str, *, alone: bool, preset: str = "edge") -> tuple[TrainConfig, TrainConfig]:
    dips = resolve_method(preset_config(preset), alone=alone)
    return dips, resolve_method(override(dips, settings_for(name, dips)), alone=alone)


@pytest.mark.parametrize("name", ABLATIONS)
def test_a_row_changes_something_that_may_be_set(name: str) -> None:
    differs = 0
    for preset in ("edge", "paper"):
        for alone in (True, False):
            dips, changed = _changed(name, alone=alone, preset=preset)
            check_limits(changed)
            differs += changed != dips
    assert differs
    assert re.fullmatch(r"dips_[a-z0-9.+-]+", name)  # a folder
    assert ABLATIONS[name].about
    assert is_ablation(name)


def test_all_groups_together_name_every_row_once() -> None:
    assert sorted(parse_groups("all")) == sorted(ABLATIONS)


def test_no_two_rows_are_the_same() -> None:
    for alone in (True, False):
        made = [_changed(name, alone=alone)[1] for name in ABLATIONS]
        default = _changed("dips_cpa", alone=alone)[0]
        own = [config for config in made if config != default]
        assert len(set(map(str, own))) == len(own)


@pytest.mark.parametrize(
    ("name", "alone", "expected"),
    [
        pytest.param("dips_cpa", False, (0.0, 0.0, 0.0), id="CPA alone"),
        pytest.param("dips_cpa+crf", False, (0.0, 5.0, 0.0), id="CPA and CRF"),
        pytest.param("dips_cpa+cls", False, (0.3, 0.0, 0.0), id="CPA and CLS"),
        pytest.param("dips_cpa+cls", True, (0.3, 0.0, 0.0), id="CLS is switched on where it is off"),
        pytest.param("dips_cpa+crf+cls", False, (0.3, 5.0, 0.0), id="without the price on area"),
        pytest.param("dips_cpa+crf+cls", True, (0.3, 5.0, 0.0), id="the paper's, no negative class"),
    ],
)
def test_losses_are_those_of_the_papers_table(
    name: str, alone: bool, expected: tuple[float, float, float]
) -> None:
    losses = _changed(name, alone=alone)[1].losses
    assert (losses.cls, losses.crf, losses.area) == expected


def test_a_row_keeps_the_weight_that_dips_has() -> None:
    dips = override(preset_config("edge"), {"losses.cls": 0.5})
    assert "losses.cls" not in settings_for("dips_cpa+cls", dips)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param("heads", ["dips_heads-mean", "dips_heads-first4", "dips_heads-all"], id="one"),
        pytest.param(" Code, heads ,code", ["dips_code-cls", *parse_groups("heads")], id="two, once each"),
        pytest.param("all", parse_groups(",".join(GROUPS)), id="all"),
    ],
)
def test_groups_are_read_in_their_order(text: str, names: list[str]) -> None:
    assert parse_groups(text) == names


@pytest.mark.parametrize(
    ("methods", "ablate", "expected"),
    [
        pytest.param(None, "code", (["dips"], ["dips_code-cls"]), id="methods may be left out"),
        pytest.param("cam", "code", (["dips", "cam"], ["dips_code-cls"]), id="dips comes with its ablations"),
        pytest.param("cam,dips", None, (["cam", "dips"], []), id="no ablations"),
    ],
)
def test_what_is_compared(methods: str | None, ablate: str | None, expected: tuple[Any, Any]) -> None:
    assert _asked(methods, ablate) == expected


@pytest.mark.parametrize(
    ("args", "message"),
    [
        pytest.param((), "give --methods, like dips,cam, or --ablate, or both", id="nothing"),
        pytest.param(
            ("--ablate", "loss"),
            f"--ablate: 'loss': expected some of {', '.join(GROUPS)}, or all",
            id="group",
        ),
        pytest.param(("--ablate", ","), "--ablate: nothing: expected", id="no group"),
        pytest.param(
            ("--ablate", "code", "--set", "dips_cpa:seed=1"), "'dips_cpa' is not among what is", id="row"
        ),
        pytest.param(
            ("--ablate", "code", "--set", "dips_code-cls:losses.crf=-1"), "losses.crf = -1", id="value"
        ),
    ],
)
def test_what_cannot_work_is_told_before_the_first_run(
    args: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_tiny_set(tmp_path / "set", train=1, val=1)
    with pytest.raises(SystemExit) as end:
        main(["compare", str(data), "--out", str(tmp_path / "c"), *args])
    assert end.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


def test_settings_of_dips_reach_its_ablations_and_their_own_come_last() -> None:
    own = {"dips": ["losses.area=0.1", "optim.lr=1e-4"], "dips_cpa": ["losses.crf=2"]}
    assert ablation_settings("dips_cpa", NO_FLAGS, own, alone=False) == [
        *("losses.area=0.1", "optim.lr=1e-4"),
        *("losses.crf=0.0", "losses.cls=0.0", "losses.area=0.0"),
        "losses.crf=2",
    ]
    with pytest.raises(UsageError, match=r"losses\.crf = -2"):
        ablation_settings("dips_cpa", NO_FLAGS, {"dips_cpa": ["losses.crf=-2"]}, alone=False)


@pytest.mark.parametrize(
    ("name", "own", "alone", "same"),
    [
        pytest.param("dips_cpa+crf", [], False, False, id="a row of its own"),
        pytest.param("dips_cpa+crf", [], True, True, id="without a negative class CLS is off already"),
        pytest.param("dips_top5", ["proposals.top_p=5"], False, True, id="dips was given the value"),
        pytest.param("dips_heads-all", [], False, True, id="the default"),
    ],
)
def test_what_dips_does_already_is_no_row(name: str, own: list[str], alone: bool, same: bool) -> None:
    assert (ablation_settings(name, NO_FLAGS, {"dips": own}, alone=alone) is None) is same


PLAN = Plan("/photos", 2, {"cam": [], "dips": ["--epochs", "1"], "has": [], "dips_cpa": ["--set", "a.b=0"]})


def test_ablations_follow_dips_and_every_seed_of_them_is_trained() -> None:
    assert PLAN.methods == ["cam", "dips", "dips_cpa", "has"]
    names = ["cam-0", "dips-0", "dips_cpa-0", "has-0", "cam-1", "dips-1", "dips_cpa-1", "has-1"]
    assert [job.name for job in PLAN.jobs()] == names
    assert [is_dips(method) for method in PLAN.methods] == [False, True, True, False]


def _finishing(told: dict[str, list[str]], why: Callable[[str], str | None]) -> Callable[..., str | None]:
    def call(args: list[str], log: Path) -> str | None:
        folder = Path(args[3])
        assert log.name == f"{folder.name}.log"
        told[folder.name] = args
        folder.mkdir(parents=True, exist_ok=True)
        if why(folder.name) != "before it began":
            (folder / "config.toml").write_text("")
        if why(folder.name) is None:
            (folder / "report.html").write_text("")
        return why(folder.name)

    return call


def test_an_ablation_is_dips_with_other_settings_that_reuses_its_runs(tmp_path: Path) -> None:
    told: dict[str, list[str]] = {}
    failing = {"dips-1": "before it began", "dips_cpa-0": "no memory"}
    failed = run_jobs(tmp_path, PLAN, [], _finishing(told, failing.get))
    assert failed == {Job("dips", 1): "before it began", Job("dips_cpa", 0): "no memory"}
    runs = tmp_path / "runs"
    assert told["dips_cpa-0"][4:] == ["--seed", "0", "--set", "a.b=0", "--reuse", str(runs / "dips-0")]
    reused = [word for word in told["dips_cpa-1"] if word.startswith(str(runs))][1:]
    assert reused == [str(runs / "dips_cpa-0"), str(runs / "dips-0")]  # dips-1 never began
    assert "--reuse" not in [*told["dips-0"], *told["cam-1"], *told["has-1"]]
    assert run_jobs(tmp_path, PLAN, [], _finishing(told, lambda _: None)) == {}
    assert told["dips_cpa-0"][-1] == "--resume"


def _row(method: str, values: dict[int, float | None], failed: Sequence[int] = ()) -> Row:
    runs = {
        seed: {"selection": "val boxes", "best": {"test": {"max_box_acc_v2": value}}, "last": {}}
        for seed, value in values.items()
    }
    return Row(method, runs, dict.fromkeys(failed, "no memory"), None)


ROWS = [
    _row("dips", {0: 80.0, 1: 90.0, 2: 70.0}),
    _row("dips_cpa", {0: 77.0, 1: 85.0}, [2]),
    _row("dips_labels-once", {2: 71.5}),
    _row("dips_top1", {}, [0, 1, 2]),
    _row("cam", {0: 50.0}),
]


def test_differences_are_of_the_same_seeds() -> None:
    found = difference(ROWS[1], ROWS[0], COLUMNS[0], "best", "test")
    assert found is not None
    assert (found.mean, found.count) == (-4.0, 2)  # -3 and -5; the third seed of dips does not count
    assert found.std == pytest.approx(2**0.5)
    assert difference(ROWS[1], ROWS[0], COLUMNS[1], "best", "test") is None
    assert difference(ROWS[3], ROWS[0], COLUMNS[0], "best", "test") is None


def test_the_tables_show_differences_beneath_and_only_of_ablations() -> None:
    text = markdown(ROWS)
    part = text[text.index("### test: difference to dips") :]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {len(HEAD) + 1}
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["dips_cpa", "dips_labels-once"]
    assert lines[2].startswith("| dips_cpa | -4.0 ± 1.4 | - |")
    assert lines[2].endswith("| 2 | CPA alone |")
    assert lines[3].startswith("| dips_labels-once | +1.5 | - |")
    assert "Difference to dips: of runs with the same seed" in text
    page = html_tables(ROWS)
    assert "<h3>test: difference to dips</h3>" in page
    assert "<td>-4.0 ± 1.4</td>" in page
    by_method = {line["method"]: line for line in csv.DictReader(io.StringIO(csv_text(ROWS)))}
    assert float(by_method["dips_cpa"]["max_box_acc_v2_to_dips"]) == -4.0
    assert [by_method[m]["max_box_acc_v2_to_dips"] for m in ("dips", "cam", "dips_top1")] == [""] * 3


def test_without_ablations_nothing_speaks_of_them() -> None:
    for text in (markdown([ROWS[0], ROWS[4]]), html_tables([ROWS[0], ROWS[4]])):
        assert "difference" not in text.lower()


@pytest.mark.slow
def test_two_ablations_are_trained_with_what_dips_has_found_and_shown_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = write_tiny_set(tmp_path / "set"), tmp_path / "c"
    small = [word for key, value in SETTINGS.items() for word in ("--set", f"dips:{key}={value}")]
    rows = ("--ablate", "labels", "--set", "dips_labels-every:optim.epochs=1")
    args = [str(data), "--out", str(out), *rows, "--seeds", "1", "--threads", "1", *small]
    with pytest.raises(SystemExit) as end:
        main(["compare", *args])
    said = capsys.readouterr().err
    assert end.value.code in (0, None), said
    table = (out / "table.md").read_text()
    for name in ("dips", "dips_labels-once", "dips_labels-every"):
        assert f"| {name} |" in table
        assert f">{name}<" in (out / "curves.svg").read_text()
    assert table.count(": difference to dips") == 4  # best and last, val and test
    log = (out / "runs" / "dips_labels-once-0.log").read_text()
    source = run_dir(out, Job("dips", 0))
    assert f"reuse: attention from {source}; classifier from {source}; proposals from {source}" in log
