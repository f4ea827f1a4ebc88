"""`dips-edge compare`: flags to runs, tables from figures, and a whole comparison."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

import train.compare.runner
from edge_runtime.cli import main
from tests.train.finished import write_finished_run
from tests.train.tiny import write_tiny_set
from train.baselines.run import train_baseline
from train.commands.compare import _assigned, _given, check_arguments
from train.compare.cost import Cost, measure
from train.compare.pictures import GAP, TILE, TITLE, choose_photos, side_by_side
from train.compare.plan import Job, run_dir
from train.compare.results import COLUMNS, Row, spread_of
from train.compare.table import HEAD, cell, csv_text, markdown
from train.data.dataset import load_dataset
from train.localizer import load_localizer

if TYPE_CHECKING:
    from collections.abc import Callable

from tests.train.baselines.tiny import tiny_baseline

Outcome = tuple[int, str, str]
NO_FLAGS: dict[str, Any] = dict.fromkeys(
    ("preset", "encoder", "encoder_weights", "sst", "sst_weights", "epochs", "batch_size", "negative_class")
)


@pytest.fixture
def compare(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Exit code, stdout and stderr of `dips-edge compare ARGS`."""

    def call(*args: object) -> Outcome:
        with pytest.raises(SystemExit) as end:
            main(["compare", *map(str, args)])
        said = capsys.readouterr()
        return int(str(end.value.code or 0)), said.out, said.err

    return call


@pytest.mark.parametrize(
    ("method", "words"),
    [
        pytest.param("dips", "--encoder a --sst b --epochs 2", id="DiPS has both networks"),
        pytest.param("acol", "--encoder a --epochs 2", id="a CNN"),
        pytest.param("tscam", "--sst b --epochs 2", id="a transformer"),
        pytest.param("center", "--epochs 2", id="no network"),
    ],
)
def test_each_method_gets_the_flags_it_has(method: str, words: str) -> None:
    assert _given(method, {**NO_FLAGS, "encoder": "a", "sst": "b", "epochs": 2}) == words.split()
    assert _assigned(["a.b=1"]) == ["--set", "a.b=1"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        pytest.param(("--methods", "cam,grad"), "'grad': expected some of dips", id="method"),
        pytest.param(
            ("--methods", "cam", "--set", "cam:speed=3"), "setting 'speed' does not exist", id="key"
        ),
        pytest.param(("--methods", "dips", "--set", "dips:losses.cls=-3"), "losses.cls = -3.0", id="of DiPS"),
        pytest.param(
            ("--methods", "cam", "--set", "cam:optim.lr=-3"), "optim.lr = -3.0: expected", id="value"
        ),
        pytest.param(("--methods", "cam", "--set", "optim.lr=3"), "expected METHOD:KEY=VALUE", id="whose"),
    ],
)
def test_what_cannot_work_is_told_before_the_first_run(
    args: tuple[str, ...], message: str, compare: Callable[..., Outcome], tmp_path: Path
) -> None:
    code, _, err = compare(tmp_path, "--out", tmp_path / "c", *args)
    assert code == 2
    assert message in err
    assert not (tmp_path / "c").exists()


def test_flags_that_work_pass() -> None:
    for method in ("dips", "cam", "tscam", "center"):
        check_arguments(method, {**NO_FLAGS, "encoder": "resnet50", "sst": "test_vit", "epochs": 2}, [])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        pytest.param([89.04], "89.0", id="one seed"),
        pytest.param([80.0, 82.0, 87.0], "83.0 ± 3.6 (80.0-87.0)", id="three seeds"),
        pytest.param([], "-", id="no figure"),
    ],
)
def test_a_cell_says_mean_spread_and_range(values: list[float], said: str) -> None:
    assert cell(spread_of(values), COLUMNS[0]) == said


def _figures(value: float) -> dict[str, Any]:
    figures = {"max_box_acc_v2": value, "curve_width": value / 100, "false_alarm_rate": None}
    return {"selection": "val boxes", "best": {"test": figures}, "last": {"val": figures}}


ROWS = [
    Row("dips", {0: _figures(80.0), 1: _figures(90.0)}, {}, Cost(5_612_345, 41.6, 320)),
    Row("cam", {1: _figures(20.0)}, {0: "no memory"}, Cost(3_400_000, 12.3, 320)),
    Row("has", {}, {0: "not a number", 1: "not a number"}, None),
]


def test_the_markdown_table_has_every_method_and_says_what_failed() -> None:
    text = markdown(ROWS)
    assert "## test: best checkpoint, chosen by val boxes" in text
    assert "## val: last checkpoint, chosen by nothing" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {len(HEAD) + 1}
    assert len(lines) == 2 * 5
    dips, cam, has = lines[2:5]
    assert dips.startswith("| dips | 85.0 ± 7.1 (80.0-90.0) | - |")
    assert "| 0.85 ± 0.07 (0.80-0.90) |" in dips
    assert dips.endswith("| 5.61 | 42 | 320 | 2 |")
    assert cam.startswith("| cam | 20.0 |")
    assert cam.endswith("| 1 of 2 (0 failed) |")
    assert has.endswith("| - | - | - | 0 of 2 (0 failed, 1 failed) |")
    assert "- cam, seed 0: no memory" in text


def test_the_csv_has_the_numbers_in_full() -> None:
    lines = list(csv.DictReader(io.StringIO(csv_text(ROWS))))
    assert len(lines) == 6
    first = lines[0]
    assert (first["method"], first["checkpoint"], first["split"]) == ("dips", "best", "test")
    assert float(first["max_box_acc_v2_std"]) == pytest.approx(50**0.5)
    assert (first["seeds"], first["failed"], first["parameters"]) == ("2", "0", "5612345")
    assert lines[2]["max_box_acc_v2_mean"] == ""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_set(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of DiPS, of CAM and of the centre, in folders of their names."""
    folder = tmp_path_factory.mktemp("trained")
    write_finished_run(folder / "dips", data)
    (folder / "dips" / "report.html").write_text("")
    for method in ("cam", "center"):
        config = tiny_baseline(method, optim__epochs=1)
        train_baseline(data, folder / method, config, device="cpu", threads=1)
    return folder


@pytest.fixture
def in_process(trained: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Runs that are there at once, but for HaS, which is killed; their names as they come."""
    told: list[str] = []

    def call(args: list[str], _log: Path) -> str | None:
        out = Path(args[args.index("--out") + 1])
        told.append(out.name)
        if out.name.startswith("has"):
            return "killed by signal 9"
        shutil.copytree(trained / out.name[:-2], out)
        return None

    monkeypatch.setattr(train.compare.runner, "call_program", call)
    return told


def test_a_comparison_leaves_tables_curves_and_pictures_and_may_grow(
    data: Path, compare: Callable[..., Outcome], in_process: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "c"
    flags = (data, "--out", out, "--methods", "dips,cam,has,center")
    code, said, err = compare(*flags, "--seeds", 1)
    assert code == 0
    assert said.strip() == str(out / "compare.html")
    assert "has, seed 0 failed: killed by signal 9; the rest goes on" in err
    assert "fewer than 3 seeds" in err
    assert in_process == ["dips-0", "cam-0", "has-0", "center-0"]
    names = ("compare.json", "compare.html", "table.md", "table.csv", "curves.svg", "pictures.jpg", "runs")
    assert {p.name for p in out.iterdir()} == set(names)
    page = (out / "compare.html").read_text()
    assert page.count("<table>") == 4  # best and last, val and test
    assert "data:image/jpeg;base64," in page
    assert "<b>has</b>, seed 0: killed by signal 9" in page
    curves = page[page.index("<svg") : page.index("</svg>")]
    assert [name for name in ("dips", "cam", "has", "center") if f">{name}<" in curves] == [
        *("dips", "cam", "center")
    ]
    kept = json.loads((out / "runs" / "cam-0" / "metrics.json").read_text())["best"]["test"]
    lines = csv.DictReader((out / "table.csv").read_text().splitlines())
    row = next(line for line in lines if line["method"] == "cam")
    assert float(row["class_acc_mean"]) == kept["class_acc"]
    assert float(row["lpe_mean"]) == kept["errors"]["class_known"]["val_tau"]["part"]
    assert float(row["cpu_ms"]) > 0
    in_process.clear()
    assert compare(*flags, "--seeds", 2)[0] == 0
    assert in_process == ["has-0", "dips-1", "cam-1", "has-1"]  # what failed is tried again


def test_pictures_have_a_column_per_method(data: Path, trained: Path, tmp_path: Path) -> None:
    rows = []
    for method in ("dips", "cam"):
        shutil.copytree(trained / method, run_dir(tmp_path, Job(method, 0)))
        rows.append(Row(method, {0: {}}, {}, None))
    sheet = side_by_side(tmp_path, rows, load_dataset(data), "test", 1)
    assert sheet is not None
    picture = cv2.imdecode(np.frombuffer(sheet, np.uint8), cv2.IMREAD_COLOR)
    tile = round(TILE * 64 / 72)  # four photos with an object, two without
    assert picture.shape == (TITLE + 6 * (tile + GAP), 2 * (TILE + GAP), 3)


def test_photos_to_show_are_the_same_each_time(data: Path) -> None:
    images = load_dataset(data).splits["test"]
    first, again = (choose_photos(images, 0) for _ in range(2))
    assert [i.image_id for i in first] == [i.image_id for i in again]
    assert [i.label for i in first] == [1, 1, 1, 1, 0, 0]


def test_cost_is_of_the_whole_network_for_one_photo(trained: Path) -> None:
    dips, cam, center = (measure(trained / name) for name in ("dips", "cam", "center"))
    assert (dips.side, cam.side) == (64, 64)
    assert dips.parameters == sum(p.numel() for p in load_localizer(trained / "dips").parameters())
    assert cam.parameters > 50_000
    assert center.parameters == 0
    assert 0 < center.cpu_ms < cam.cpu_ms


def test_a_comparison_without_boxes_still_compares(
    compare: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = write_tiny_set(tmp_path / "set", boxes=False)

    def call(args: list[str], _log: Path) -> None:
        train_baseline(data, Path(args[3]), tiny_baseline("center"), device="cpu", threads=1)

    monkeypatch.setattr(train.compare.runner, "call_program", call)
    assert compare(data, "--out", tmp_path / "c", "--seeds", 1, "--methods", "center")[0] == 0
    assert "curves.svg" not in {p.name for p in (tmp_path / "c").iterdir()}
    assert "best checkpoint, chosen by nothing" in (tmp_path / "c" / "table.md").read_text()


def test_when_nothing_ends_well_there_is_no_table(
    data: Path, compare: Callable[..., Outcome], in_process: list[str], tmp_path: Path
) -> None:
    code, _, err = compare(data, "--out", tmp_path / "c", "--seeds", 1, "--methods", "has")
    assert (code, in_process) == (1, ["has-0"])
    assert "error: not one run ended well; the first said: killed by signal 9" in err


def test_after_ctrl_c_a_comparison_says_how_to_go_on(
    data: Path, compare: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(args: list[str], log: Path) -> str | None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train.compare.runner, "call_program", interrupted)
    code, out, err = compare(data, "--out", tmp_path / "c", "--methods", "center")
    assert (code, out) == (130, "")
    assert f"stopped; the same command goes on, what is done stays in {tmp_path / 'c'}" in err


@pytest.mark.slow
def test_real_processes_train_and_one_that_fails_is_marked(
    data: Path, compare: Callable[..., Outcome], tmp_path: Path
) -> None:
    out = tmp_path / "c"
    small = ("photos.size=64", "photos.eval_size=64", "optim.epochs=1", "optim.batch_size=4")
    flags = [word for s in small for m in ("cam", "has") for word in ("--set", f"{m}:{s}")]
    broken = ("--set", "has:optim.lr=1e25", "--set", "has:optim.clip=1e25")
    networks = ("--encoder", "test_efficientnet", "--encoder-weights", "none")
    code, _, err = compare(
        data, "--out", out, "--seeds", 1, "--methods", "cam,has", "--threads", 1, *networks, *flags, *broken
    )
    assert code == 0
    assert "has, seed 0 failed: the loss is not a number at epoch 1, step 2" in err
    assert "the loss is not a number" in (out / "runs" / "has-0.log").read_text()
    assert "| cam |" in (out / "table.md").read_text()
