"""A profile from flags to report: fits its schema, keeps what was measured, says what is missing."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest

from edge_runtime.cli import main
from edge_runtime.errors import ProfileError
from edge_runtime.profiling import session
from edge_runtime.profiling.session import measure
from edge_runtime.profiling.settings import ProfileSettings
from tests.edge_runtime.fakes import FakeSource
from tests.edge_runtime.profiling.test_schema import SCHEMA

ROOT = Path(__file__).parents[3]
PIPELINE = ["capture", "wait", "pre", "infer", "boxes", "track", "record", "age", "sink jsonl:/dev/null"]


def dips_edge(*args):
    """Exit code of a command line."""
    with pytest.raises(SystemExit) as ended:
        main([str(arg) for arg in args])
    return ended.value.code


def settings(model_path, **changes):
    common = {"size": (160, 120), "warmup": 3, "count": 40, "fps": 400.0, "threads": 1}
    return ProfileSettings(model=str(model_path), **{**common, **changes})


def test_all_modes_are_measured_and_the_report_fits_its_schema(model_path):
    report = measure(settings(model_path)).report
    jsonschema.validate(report, SCHEMA)
    assert report["partial"] is None
    assert report["engine"]["frames"] == report["pipeline"]["frames"] == 40
    assert list(report["engine"]["stages"]) == ["total"]
    assert list(report["pipeline"]["stages"]) == PIPELINE
    assert {layer["kind"] for layer in report["layers"]["layers"]} >= {"Cast", "ReduceMean"}
    assert report["model"]["precision"] == "fp32"
    assert report["model"]["threads"] == 1
    assert report["machine"]["packages"]["onnxruntime"]


def test_stages_add_up_to_the_age_of_the_record(model_path):
    spans = measure(settings(model_path, mode="pipeline", keep_spans=True)).spans
    parts = {"wait", "pre", "infer", "boxes", "track", "record"}
    gaps_ms = []
    for age in (span for span in spans if span.stage == "age"):
        of_frame = [span for span in spans if span.frame == age.frame and span.stage in parts]
        if {span.stage for span in of_frame} == parts:  # the first one's wait belongs to the warm-up
            gaps_ms.append((age.duration_ns - sum(span.duration_ns for span in of_frame)) / 1e6)
    assert len(gaps_ms) >= 38
    assert abs(statistics.median(gaps_ms)) < 0.05


def test_a_file_is_played_again_at_its_own_rate_or_flat_out(model_path, clip_path):
    measured = settings(model_path, mode="pipeline", source=str(clip_path), fps=None, warmup=0, count=45)
    played = measure(measured).report
    assert (played["source"]["live"], played["source"]["fps"]) == (True, 25.0)
    assert "decode" in played["pipeline"]["stages"]
    assert played["pipeline"]["fps"] == pytest.approx(25.0, rel=0.2)
    flat_out = measure(
        settings(model_path, mode="pipeline", source=str(clip_path), fps=None, flat_out=True, count=45)
    ).report
    assert (flat_out["source"]["live"], flat_out["pipeline"]["dropped"]) == (False, 0)
    assert flat_out["pipeline"]["frames"] == 45


def test_a_duration_ends_the_pipeline_in_time_and_the_board_is_watched_meanwhile(model_path):
    report = measure(settings(model_path, mode="pipeline", duration_s=1.2, fps=50.0)).report
    assert report["partial"] is None
    assert report["pipeline"]["seconds"] == pytest.approx(1.2, abs=0.3)
    assert len(report["board"]["samples"]) >= 2
    assert report["settings"]["count"] is None


def test_missed_deadlines_are_counted(model_path):
    report = measure(settings(model_path, mode="pipeline", deadline_ms=0.001)).report
    assert report["pipeline"]["missed"] == {"count": 40, "share": 1.0}


def test_spans_are_kept_for_a_trace_only(model_path):
    found = measure(settings(model_path, mode="pipeline", keep_spans=True))
    assert {span.stage for span in found.spans} == set(PIPELINE)
    assert not measure(settings(model_path, mode="pipeline")).spans


def ending(monkeypatch, count):
    monkeypatch.setattr(session, "open_source", lambda uri: FakeSource(count, live=True, period_s=0.003))


def test_a_camera_that_ends_in_the_warm_up_is_told_and_the_engine_is_kept(model_path, monkeypatch):
    ending(monkeypatch, 2)
    report = measure(settings(model_path, source="camera", warmup=5)).report
    assert report["pipeline"] is None
    assert report["engine"]["frames"] == 40
    assert "ended after 2 frame(s), within the warm-up of 5; lower --warmup" in report["partial"]
    jsonschema.validate(report, SCHEMA)


def test_a_camera_that_ends_early_gives_a_partial_report(model_path, monkeypatch):
    ending(monkeypatch, 20)
    report = measure(settings(model_path, source="camera", mode="pipeline")).report
    assert 10 <= report["pipeline"]["frames"] <= 17
    assert f"after {report['pipeline']['frames']} of 40 frames" in report["partial"]


def test_nothing_measured_is_an_error(model_path, monkeypatch):
    ending(monkeypatch, 0)
    with pytest.raises(ProfileError, match=r"after 0 frame\(s\), within the warm-up"):
        measure(settings(model_path, source="camera", mode="pipeline"))


def test_the_command_writes_every_file_it_is_asked_for(model_path, tmp_path, capfd):
    files = {"--save": "a.json", "--html": "a.html", "--trace": "trace.json"}
    flags = [part for flag, name in files.items() for part in (flag, tmp_path / name)]
    made = ("--size", "160x120", "--fps", "300", "--count", "30", "--warmup", "2")
    assert dips_edge("profile", "-m", model_path, *made, *flags) == 0
    shown = capfd.readouterr().out
    assert "whole pipeline: 30 frames" in shown
    assert "engine alone: 30 frames" in shown
    jsonschema.validate(json.loads((tmp_path / "a.json").read_text()), SCHEMA)
    assert "<html" in (tmp_path / "a.html").read_text()
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert dips_edge("profile", "-m", model_path, *made, "--save", tmp_path / "a.json") == 1
    assert "exists; choose another name or add --force" in capfd.readouterr().err
    compare = ("profile", "--compare", tmp_path / "a.json", tmp_path / "a.json", "--fail-over", "5")
    assert dips_edge(*compare) == 0


def test_json_goes_to_stdout_and_nothing_else(model_path, capfd):
    made = ("--size", "160x120", "--fps", "300", "--count", "20", "--warmup", "2", "--no-layers", "--json")
    assert dips_edge("profile", "-m", model_path, *made) == 0
    report = json.loads(capfd.readouterr().out)
    assert report["layers"] is None


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        pytest.param([], 2, "--model is missing", id="no model"),
        pytest.param(["-m", "demo", "--soak", "soon"], 2, "expected one such as 30s, 20m", id="no duration"),
        pytest.param(["-m", "demo", "--size", "big"], 2, "such as 1280x720", id="no size"),
        pytest.param(["-m", "demo", "--soak", "1m", "--duration", "9s"], 2, "give one of them", id="both"),
        pytest.param(["-m", "demo", "--count", "0"], 2, "--count", id="zero frames"),
        pytest.param(["-m", "/no/model.onnx"], 1, "no such model file", id="no such model"),
        pytest.param(["-m", "demo", "-s", "/dev/video99"], 1, "no such camera", id="no such camera"),
        pytest.param(["-m", "demo", "--html", "/no/dir/a.html"], 1, "folder is missing", id="no folder"),
        pytest.param(["--compare", "/no/a.json", "/no/b.json"], 1, "cannot be read", id="no report"),
        pytest.param(
            ["-m", "demo", "--estimate", "orin-nanoo"], 1, "did you mean orin-nano-8gb", id="no board"
        ),
        pytest.param(["--estimate", "thor"], 2, "--model is missing", id="an estimate of nothing"),
        pytest.param(["-m", "demo", "--estimate", "thor", "--all-boards"], 2, "give one of them", id="two"),
    ],
)
def test_what_cannot_be_measured_is_one_line(flags, code, said, capfd):
    assert dips_edge("profile", *flags) == code
    error = capfd.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "kind"), [(["--estimate", "orin-nx-16gb"], "estimate"), (["--all-boards"], "estimate-choice")]
)
def test_an_estimate_is_an_answer_for_people_and_for_machines(flags, kind, capfd):
    assert dips_edge("profile", "-m", "demo", *flags) == 0
    assert capfd.readouterr().out.startswith("ESTIMATE, nothing was measured")
    assert dips_edge("profile", "-m", "demo", *flags, "--json") == 0
    answer = json.loads(capfd.readouterr().out)
    assert (answer["v"], answer["type"]) == (1, kind)


def test_ctrl_c_keeps_what_was_measured_and_marks_it(model_path, tmp_path):
    saved = tmp_path / "a.json"
    run = subprocess.Popen(
        [sys.executable, "-m", "edge_runtime", "profile", "-m", str(model_path), "--size", "160x120",
         "--fps", "100", "--soak", "10m", "--warmup", "2", "--mode", "pipeline", "--save", str(saved)],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    time.sleep(3.0)
    run.send_signal(signal.SIGINT)
    shown, _ = run.communicate(timeout=20)
    assert run.returncode == 130
    report = json.loads(saved.read_text())
    assert report["partial"].startswith("interrupted after")
    assert "PARTIAL" in shown.upper()
    assert report["pipeline"]["frames"] > 10
