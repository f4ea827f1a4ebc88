"""`dips-edge evaluate` and report.html: what they print and write, and what they refuse."""

from __future__ import annotations

import json
import logging
import re
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edge_runtime import backends
from edge_runtime.cli import main
from train.data.dataset import load_dataset
from train.evaluation.predict import predict_model_file, predict_run
from train.evaluation.report import write_report
from train.localizer import load_localizer

from .finished import SIDE, write_finished_run
from .tiny import write_tiny_set

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Outcome = tuple[int, str, str]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_set(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_finished_run(tmp_path_factory.mktemp("runs") / "tower", data)


@pytest.fixture
def evaluate(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Exit code, stdout and stderr of `dips-edge evaluate ARGS`."""

    def call(*args: object) -> Outcome:
        with pytest.raises(SystemExit) as end:
            main(["evaluate", *map(str, args)])
        said = capsys.readouterr()
        return int(str(end.value.code)), said.out, said.err

    return call


def figures_of(out: str) -> dict[str, Any]:
    return dict(json.loads(out)["figures"])


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize("which", ["best", "last"])
def test_a_run_gives_the_figures_it_was_finished_with(
    run: Path, data: Path, evaluate: Callable[..., Outcome], split: str, which: str
) -> None:
    code, out, _ = evaluate(run, data, "--split", split, "--checkpoint", which, "--json")
    assert code == 0
    found, kept = figures_of(out), json.loads((run / "metrics.json").read_text())[which]
    same = [key for key in kept[split] if key != "decision_curve"]  # val keeps every threshold tried
    assert {key: found[key] for key in same} == {key: kept[split][key] for key in same}
    thresholds = json.loads(out)["thresholds"]
    assert thresholds["tau"] == kept["tau"]
    assert thresholds["decision"] == kept["decision_threshold"]
    assert thresholds["presence"] == kept["presence_threshold"]
    assert found["center_box_acc"] is not None


def test_the_table_says_what_was_measured_and_how_it_was_chosen(
    run: Path, data: Path, evaluate: Callable[..., Outcome]
) -> None:
    code, out, err = evaluate(run, data)
    assert (code, err) == (0, "")
    assert "best checkpoint, selected by: val boxes" in out
    assert "test: 8 photos, 4 with boxes, 4 without an object" in out
    assert re.search(r"MaxBoxAccV2 +\d+\.\d %", out)
    assert re.search(r"False alarms +\d+\.\d %", out)
    _, last, _ = evaluate(run, data, "--checkpoint", "last")
    assert "last checkpoint, selected by: none (last epoch)" in last


def test_out_holds_the_json_and_is_never_overwritten_unasked(
    run: Path, data: Path, evaluate: Callable[..., Outcome], tmp_path: Path
) -> None:
    target = tmp_path / "figures.json"
    code, out, _ = evaluate(run, data, "--json", "--out", target)
    assert code == 0
    assert json.loads(target.read_text()) == json.loads(out)
    code, out, err = evaluate(run, data, "--out", target)
    assert (code, out) == (1, "")
    assert "exists" in err
    assert evaluate(run, data, "--out", target, "--force")[0] == 0
    assert "folder is missing" in evaluate(run, data, "--out", tmp_path / "none" / "f.json")[2]


@pytest.mark.filterwarnings("ignore:ONNX export mode is set:UserWarning")
def test_a_model_file_gives_what_its_run_gives(
    run: Path,
    data: Path,
    evaluate: Callable[..., Outcome],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("onnx")
    from export.fp32 import export_fp32
    from train.data.imageio import read_image_bgr

    images = load_dataset(data).splits["test"]
    model = tmp_path / "tower-fp32.onnx"
    export_fp32(run, model, [read_image_bgr(image.path) for image in images[:2]])
    torch_side = predict_run(load_localizer(run), images, SIDE)
    file_side = predict_model_file(model, images)
    for (a, map_a, probs_a), (b, map_b, probs_b) in zip(torch_side, file_side, strict=True):
        assert a is b
        np.testing.assert_allclose(map_a, map_b, atol=1e-5)
        np.testing.assert_allclose(probs_a, probs_b, atol=1e-5)
    documents = [json.loads(evaluate(subject, data, "--json")[1]) for subject in (run, model)]
    assert documents[1]["backend"] == "onnxruntime-cpu"
    assert "fp32 on onnxruntime-cpu" in evaluate(model, data)[1]
    assert documents[0]["thresholds"] == documents[1]["thresholds"]
    (of_run, of_file) = (d["figures"] for d in documents)
    assert of_run.keys() == of_file.keys()
    for key in ("class_acc", "presence_auc", "false_alarm_rate", "box_acc_deployed", "max_box_acc"):
        assert of_run[key] == pytest.approx(of_file[key], abs=1e-9)
    asked: list[str] = []
    open_backend = backends.open_backend

    def open_on_cpu(path: Path, device: str) -> backends.Backend:
        asked.append(device)
        return open_backend(path, "cpu")

    for module in ("edge_runtime.backends", "train.evaluation.predict"):
        monkeypatch.setattr(f"{module}.open_backend", open_on_cpu)
    assert evaluate(model, data, "--device", "tensorrt")[0] == 0
    assert asked == ["tensorrt", "tensorrt"]  # to read the contract, then for the photos


def test_a_run_is_not_evaluated_on_another_device(
    run: Path, data: Path, evaluate: Callable[..., Outcome]
) -> None:
    code, out, err = evaluate(run, data, "--device", "tensorrt")
    assert (code, out) == (2, "")
    assert "--device tensorrt runs model files" in err
    assert "dips-edge export" in err


def test_photos_that_cannot_be_read_are_left_out_named_and_counted(
    run: Path, data: Path, evaluate: Callable[..., Outcome], tmp_path: Path
) -> None:
    broken = shutil.copytree(data, tmp_path / "broken")
    victim = next((broken / "test" / "thing").glob("*.png"))
    victim.write_bytes(victim.read_bytes()[:200])
    code, out, err = evaluate(run, broken, "--json")
    assert code == 0
    assert figures_of(out)["photos"] == 7
    assert victim.name in err
    assert "1 of 8 photos" in err


def test_without_boxes_class_and_presence_are_still_told(
    run: Path, evaluate: Callable[..., Outcome], tmp_path: Path
) -> None:
    bare = write_tiny_set(tmp_path / "bare", boxes=False)
    code, out, _ = evaluate(run, bare, "--json")
    assert code == 0
    assert figures_of(out)["class_acc"] is not None
    assert "max_box_acc" not in figures_of(out)


def _no_run(run: Path, data: Path, tmp: Path) -> tuple[Path, Path]:
    return tmp / "gone", data


def _unfinished(run: Path, data: Path, tmp: Path) -> tuple[Path, Path]:
    copy = shutil.copytree(run, tmp / "unfinished")
    (copy / "metrics.json").unlink()
    return copy, data


def _damaged(run: Path, data: Path, tmp: Path) -> tuple[Path, Path]:
    copy = shutil.copytree(run, tmp / "damaged")
    (copy / "metrics.json").write_text('{"classes": [')
    return copy, data


def _of_another_version(run: Path, data: Path, tmp: Path) -> tuple[Path, Path]:
    copy = shutil.copytree(run, tmp / "old")
    metrics = json.loads((copy / "metrics.json").read_text())
    del metrics["best"]["tau"]
    (copy / "metrics.json").write_text(json.dumps(metrics))
    return copy, data


def _no_data(run: Path, data: Path, tmp: Path) -> tuple[Path, Path]:
    return run, tmp / "gone"


def _unknown_class(run: Path, data: Path, tmp: Path) -> tuple[Path, Path]:
    other = shutil.copytree(data, tmp / "other")
    for split in ("train", "val", "test"):
        (other / split / "thing").rename(other / split / "crane")
        (other / split / "boxes.csv").unlink(missing_ok=True)
    return run, other


def _nothing_readable(run: Path, data: Path, tmp: Path) -> tuple[Path, Path]:
    other = shutil.copytree(data, tmp / "unreadable")
    for photo in (other / "test").rglob("*.png"):
        photo.write_bytes(photo.read_bytes()[:200])
    return run, other


@pytest.mark.parametrize(
    ("arrange", "message"),
    [
        pytest.param(_no_run, "gone", id="no run"),
        pytest.param(_unfinished, "the run is not finished; go on with", id="unfinished run"),
        pytest.param(_damaged, "metrics.json: damaged", id="damaged metrics"),
        pytest.param(_of_another_version, "KeyError: 'tau'", id="metrics of another version"),
        pytest.param(_no_data, "no such folder", id="no data"),
        pytest.param(
            _unknown_class, "class 'crane' of test is unknown to", id="class the network does not know"
        ),
        pytest.param(_nothing_readable, "not one of 8 photos could be read", id="nothing readable"),
    ],
)
def test_bad_input_ends_in_one_line_and_code_1(
    run: Path,
    data: Path,
    evaluate: Callable[..., Outcome],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    arrange: Callable[[Path, Path, Path], tuple[Path, Path]],
    message: str,
) -> None:
    caplog.set_level(logging.ERROR)
    code, out, err = evaluate(*arrange(run, data, tmp_path), "-q")
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert (code, out, len(errors)) == (1, "", 1)
    assert message in errors[0]


def test_the_report_is_one_page_that_needs_nothing_else(run: Path, data: Path) -> None:
    page = write_report(run, load_dataset(data)).read_text(encoding="utf-8")
    assert "<h1>tower</h1>" in page
    for words in ("MaxBoxAccV2", "box supervision", "Training losses", "Best: photos of test", "IoU 0."):
        assert words in page
    for words in ("Worst: photos", "Random: photos", "attention", "chosen"):
        assert words in page
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    assert "{" not in re.sub(r"<style>.*?</style>|<svg.*?</svg>", "", page, flags=re.DOTALL)
    assert page == write_report(run, load_dataset(data)).read_text(encoding="utf-8")


def test_the_report_does_without_boxes_and_history(run: Path, tmp_path: Path) -> None:
    bare = write_tiny_set(tmp_path / "bare", boxes=False)
    copy = shutil.copytree(run, tmp_path / "a <b> & c")
    metrics = json.loads((copy / "metrics.json").read_text())
    metrics |= {"selection": "proposal agreement", "history": [], "seconds": {}}
    for which in ("best", "last"):
        for split in ("val", "test"):
            kept = ("photos", "tau", "class_acc", "presence_auc", "false_alarm_rate")
            metrics[which][split] = {key: metrics[which][split][key] for key in kept}
    (copy / "metrics.json").write_text(json.dumps(metrics))
    page = write_report(copy, load_dataset(bare)).read_text(encoding="utf-8")
    assert "<h1>a &lt;b&gt; &amp; c</h1>" in page
    assert "without any box" in page
    assert "MaxBoxAcc" not in page
    assert "Random: photos of test" in page
    assert "IoU 0." not in page
