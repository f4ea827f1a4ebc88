"""P(in view) of a run: fitted on val, told of val and test, carried into files, absent from older runs."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from calibration.presence import FEWEST
from edge_runtime.cli import main
from edge_runtime.errors import ModelError
from edge_runtime.onnxfile import read_contract
from edge_runtime.presence import PresenceCalibration
from tests.train.finished import write_finished_run
from tests.train.tiny import write_tiny_set
from train.data.dataset import load_dataset
from train.evaluation.presence import KEY, calibration_of, fit_on_val, presence_figures
from train.evaluation.report import write_report
from train.evaluation.split_scores import SplitScores
from train.evaluation.subject import open_run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_set(tmp_path_factory.mktemp("set"), val=FEWEST)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_finished_run(tmp_path_factory.mktemp("runs") / "tower", data)


def metrics_of(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "metrics.json").read_text()))


def without_calibration(run: Path, copy: Path) -> Path:
    """As a run from before there was any."""
    shutil.copytree(run, copy)
    metrics = metrics_of(copy)
    for which in ("best", "last"):
        del metrics[which][KEY]
        for split in ("val", "test"):
            kept = metrics[which][split].items()
            metrics[which][split] = {
                k: v for k, v in kept if not k.startswith(("presence_ece", "presence_br"))
            }
            metrics[which][split].pop("presence_reliability")
    (copy / "metrics.json").write_text(json.dumps(metrics))
    return copy


def evaluated(capsys: pytest.CaptureFixture[str], *args: object) -> dict[str, Any]:
    with pytest.raises(SystemExit) as end:
        main(["evaluate", *map(str, args), "--json"])
    assert end.value.code == 0
    return dict(json.loads(capsys.readouterr().out))


def scores_of(positive: np.ndarray, negative: np.ndarray) -> SplitScores:
    return SplitScores(
        0,
        positive_presence=positive[:, 0].tolist(),
        positive_object=positive[:, 1].tolist(),
        negative_presence=negative[:, 0].tolist(),
        negative_object=negative[:, 1].tolist(),
    )


def overlapping(photos: int, seed: int) -> SplitScores:
    rng = np.random.default_rng(seed)
    return scores_of(rng.beta([8, 3], [3, 1], (photos, 2)), rng.beta([5, 2], [5, 2], (photos, 2)))


def test_val_is_cross_validated_and_test_is_judged_by_what_val_gave() -> None:
    val, test = overlapping(60, 0), overlapping(400, 1)
    fitted = fit_on_val(val)
    crossed = fitted.to_json()["cross_validation"]
    assert set(crossed) == {"calibrated", "map", "class"}
    assert crossed["calibrated"]["ece"] < min(crossed["map"]["ece"], crossed["class"]["ece"])
    figures = presence_figures(test, fitted.fit.calibration)
    assert figures["presence_ece"] < 0.5 * min(figures["presence_ece_map"], figures["presence_ece_class"])
    assert figures["presence_brier"] < min(figures["presence_brier_map"], figures["presence_brier_class"])
    assert figures["presence_ece_bins"] == len(figures["presence_reliability"]["calibrated"]) == 10
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_without_both_kinds_of_photos_nothing_is_told() -> None:
    some, none = np.full((20, 2), 0.6), np.zeros((0, 2))
    fitted = PresenceCalibration(0.0, 1.0, 0.0, 20, 20)
    assert presence_figures(scores_of(some, none), fitted) == {}
    assert presence_figures(scores_of(none, some), fitted) == {}
    assert fit_on_val(scores_of(some, none)).to_json() == {
        "coefficients": None,
        "note": "val has 20 photos with and 0 without the asset, at least 10 of each are needed",
        "cross_validation": {},
    }


def test_where_val_shows_no_gain_that_is_said() -> None:
    """A class head that is exactly right already: 80 photos can only make it worse."""
    rng = np.random.default_rng(0)
    p = rng.choice([0.001, 0.999], 80)
    there = rng.random(80) < p
    scores = np.column_stack([np.full(80, 0.5), p])
    note = fit_on_val(scores_of(scores[there], scores[~there])).note
    assert "val shows no gain over the class score as it is (Brier 0.00" in str(note)
    assert fit_on_val(overlapping(60, 0)).note is None


def test_photos_whose_map_is_not_finite_are_left_out() -> None:
    good = overlapping(30, 0)
    fitted = fit_on_val(good)
    odd = overlapping(30, 0)
    odd.positive_presence.append(float("nan"))
    odd.positive_object.append(0.5)
    assert fit_on_val(odd) == fitted
    assert presence_figures(odd, fitted.fit.calibration) == presence_figures(good, fitted.fit.calibration)


@pytest.mark.parametrize("which", ["best", "last"])
def test_a_run_keeps_its_coefficients_and_gives_them_back(run: Path, which: str) -> None:
    part = metrics_of(run)[which]
    found = calibration_of(part)
    assert found is not None
    assert (found.positives, found.negatives) == (FEWEST, FEWEST)
    assert open_run(run, which).thresholds.calibration == found
    for split in ("val", "test"):
        assert 0 <= part[split]["presence_ece"] <= 1


@pytest.mark.filterwarnings("ignore:ONNX export mode is set:UserWarning")
def test_run_and_exported_file_are_told_the_same(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnx")
    from export.fp32 import export_fp32
    from train.data.imageio import read_image_bgr

    model = tmp_path / "tower-fp32.onnx"
    images = load_dataset(data).splits["test"]
    export_fp32(run, model, [read_image_bgr(image.path) for image in images[:2]])
    best = metrics_of(run)["best"]
    assert read_contract(model).presence_calibration == calibration_of(best)
    of_run, of_file = (evaluated(capsys, subject, data) for subject in (run, model))
    assert of_run["presence_calibration"] == of_file["presence_calibration"] == best[KEY]["coefficients"]
    told = [key for key in of_run["figures"] if key.startswith(("presence_ece", "presence_brier"))]
    assert len(told) == 8
    for key in told:
        assert of_run["figures"][key] == best["test"][key]
        assert of_file["figures"][key] == pytest.approx(of_run["figures"][key], abs=1e-4)


def test_the_table_and_the_report_tell_it(run: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["evaluate", str(run), str(data)])
    printed = capsys.readouterr().out
    assert f"P(in view): fitted to {FEWEST} val photos with and {FEWEST} without the asset" in printed
    assert "P(in view): ECE" in printed
    page = write_report(run, load_dataset(data)).read_text(encoding="utf-8")
    for words in ("Is the asset in view?", "val, cross-validated", "exactly right", "by chance"):
        assert words in page


def test_a_run_from_before_is_evaluated_and_shown_as_ever(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = without_calibration(run, tmp_path / "old")
    document = evaluated(capsys, old, data)
    assert document["presence_calibration"] is None
    assert document["figures"]["presence_ece"] is None
    assert document["figures"]["presence_ece_map"] > 0
    with pytest.raises(SystemExit):
        main(["evaluate", str(old), str(data)])
    assert "P(in view): none, not calibrated on val" in capsys.readouterr().out
    assert "Is the asset in view?" not in write_report(old, load_dataset(data)).read_text(encoding="utf-8")


def test_too_few_val_photos_are_said_in_the_report(tmp_path: Path) -> None:
    data = write_tiny_set(tmp_path / "set", val=2)
    run = write_finished_run(tmp_path / "run", data)
    assert metrics_of(run)["best"][KEY]["coefficients"] is None
    page = write_report(run, load_dataset(data)).read_text(encoding="utf-8")
    assert "No calibrated probability: val has 2 photos with and 2 without the asset" in page


def test_damaged_coefficients_are_one_line(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "damaged")
    metrics = metrics_of(copy)
    metrics["best"][KEY]["coefficients"]["map_weight"] = -1
    (copy / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(ModelError, match=r"metrics.json: damaged .*map_weight = -1, expected at least 0"):
        open_run(copy, "best")
