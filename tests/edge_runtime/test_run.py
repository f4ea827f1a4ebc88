"""`dips-edge run` as a user starts it: a process of its own, its output, its exit code."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime import cli
from tests.edge_runtime.conftest import square_frame, write_clip
from tests.edge_runtime.record_rules import check_stream

RUN = [sys.executable, "-m", "edge_runtime", "run"]


def run(*args: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RUN, *map(str, args)], capture_output=True, text=True, timeout=60, **options)  # type: ignore[call-overload,no-any-return]


@contextlib.contextmanager
def running(*args: object, env: dict[str, str] | None = None):
    """The process of a run, and killed at the end whatever happens."""
    with subprocess.Popen(
        [*RUN, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    ) as it:
        try:
            yield it
        finally:
            it.kill()


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory) -> Path:
    """20 s at 25 fps, to be stopped in the middle when played in real time."""
    frames = [square_frame(x=20 + i % 60) for i in range(500)]
    return write_clip(tmp_path_factory.mktemp("long") / "long.mp4", frames)


def test_a_video_gives_one_record_per_frame_a_video_and_a_summary(tmp_path, model_path, clip_path):
    summary_path, video_path = tmp_path / "summary.json", tmp_path / "out.mp4"
    done = run("-m", model_path, "-s", clip_path, "--sink", "jsonl:-", "--sink", f"video:{video_path}",
               "--summary-json", summary_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    header, records = check_stream(done.stdout.splitlines())
    assert [record["frame"]["idx"] for record in records] == list(range(30))
    states = ["SEARCHING"] * 2 + ["TRACKING"] * 10 + ["COASTING"] * 3 + ["TRACKING"] * 15
    assert [record["state"] for record in records] == states  # by the clip's own time
    assert [record["box_src"] for record in records] == [None] * 2 + ["det"] * 8 + ["pred"] * 5 + ["det"] * 15
    assert {record["tid"] for record in records[2:]} == {1}
    assert [records[i]["since_det_ms"] for i in (1, 9, 10, 14, 15)] == [None, 0.0, 40.0, 200.0, 0.0]
    assert header["model"]["name"] == model_path.name
    assert header["source"] == {"name": str(clip_path), "live": False, "fps": 25.0, "size": [128, 96]}
    for record in records[2:10]:  # a white square of 32 px, 2 px further right in every frame
        x0 = (20 + 2 * record["frame"]["idx"]) / 128
        assert record["box"] == pytest.approx([x0, 24 / 96, x0 + 32 / 128, 56 / 96], abs=0.02)
        assert (record["cls"], record["flags"]) == ("square", [])
    capture = cv2.VideoCapture(str(video_path))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 30
    summary = json.loads(summary_path.read_text())
    assert (summary["frames"], summary["found"], summary["dropped"]) == (30, 23, 0)
    assert set(summary["stages"]) >= {"capture", "wait", "pre", "infer", "post", "record", "age", "jsonl:-"}
    assert "30 frame(s) in" in done.stderr
    assert "infer" in done.stderr


def test_quiet_says_nothing_and_flags_may_come_from_a_config_file(tmp_path, model_path, clip_path):
    config = tmp_path / "run.toml"
    config.write_text(f'model = "{model_path}"\nsource = "{clip_path}"\nmax-frames = 4\nquiet = true\n')
    done = run("--config", config)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(check_stream(done.stdout.splitlines())[1]) == 4


def test_a_folder_names_its_images_and_counts_the_corrupt_one(tmp_path, model_path):
    for i in range(4):
        cv2.imwrite(str(tmp_path / f"{i}.png"), square_frame(x=10 + 10 * i))
    (tmp_path / "2.png").write_bytes(b"damaged")
    done = run("-m", model_path, "-s", tmp_path, "-q")
    _, records = check_stream(done.stdout.splitlines())
    assert [(r["frame"]["idx"], r["frame"]["name"], r["flags"]) for r in records] == [
        (0, "0.png", []),
        (1, "1.png", []),
        (3, "3.png", ["dropped"]),
    ]
    assert done.returncode == 0
    assert done.stderr == f"warning: {tmp_path / '2.png'}: not a whole readable image, skipped\n"


def test_without_tracking_every_frame_is_judged_by_itself(model_path, clip_path):
    done = run("-m", model_path, "-s", clip_path, "--no-track")
    header, records = check_stream(done.stdout.splitlines())
    assert header["tracking"] is None
    assert [r["state"] for r in records] == ["SEARCHING" if 10 <= i < 15 else "TRACKING" for i in range(30)]
    assert {record["tid"] for record in records} == {None}


def test_settings_of_the_tracker_come_from_flags_and_from_a_table(tmp_path, model_path, clip_path):
    config = tmp_path / "run.toml"
    config.write_text(
        f'model = "{model_path}"\nsource = "{clip_path}"\n[track]\nacquire_hits = 1\nacquire-window = 1\n'
    )
    header, records = check_stream(run("--config", config).stdout.splitlines())
    assert (header["tracking"]["acquire_hits"], records[0]["state"]) == (1, "TRACKING")
    header, records = check_stream(run("--config", config, "--track", "acquire_hits=2",
                                       "--track", "acquire_window=2").stdout.splitlines())  # fmt: skip
    assert [record["state"] for record in records[:2]] == ["SEARCHING", "TRACKING"]


def test_thresholds_given_are_in_force_and_in_the_header(model_path, clip_path):
    done = run("-m", model_path, "-s", clip_path, "--threshold", 0.25, "--presence", 1.0, "--max-frames", 3)
    header, records = check_stream(done.stdout.splitlines())
    assert (header["model"]["decision_threshold"], header["model"]["presence_threshold"]) == (0.25, 1.0)
    assert {record["state"] for record in records} == {"SEARCHING"}


def test_in_real_time_a_video_keeps_its_pace(model_path, clip_path):
    done = run("-m", model_path, "-s", clip_path, "--realtime")
    header, records = check_stream(done.stdout.splitlines())
    assert header["source"]["live"]
    seconds = (records[-1]["t_cap_mono_ns"] - records[0]["t_cap_mono_ns"]) / 1e9
    expected = (records[-1]["frame"]["idx"] - records[0]["frame"]["idx"]) / 25
    assert seconds == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_ends_the_run_within_a_second_with_whole_files(tmp_path, model_path, long_clip, number):
    lines_path, video_path, summary_path = (
        tmp_path / name for name in ("out.jsonl", "out.mp4", "summary.json")
    )
    sinks = ("--sink", "jsonl:-", "--sink", f"jsonl:{lines_path}", "--sink", f"video:{video_path}")
    options = ("--realtime", "--summary-json", summary_path)
    with running("-m", model_path, "-s", long_clip, *sinks, *options) as process:
        for _ in range(12):
            assert process.stdout.readline()
        process.send_signal(number)
        stopped = time.monotonic()
        process.stdout.read()
        assert process.wait(30) == 0, process.stderr.read()
        assert (
            time.monotonic() - stopped < 20.0
        )  # test_pipeline.py pins the second; this is a whole process on a busy machine
    assert lines_path.read_text().endswith("}\n")
    _, records = check_stream(lines_path.read_text().splitlines())
    assert 10 < len(records) < 400
    *_, lines, video = json.loads(summary_path.read_text())["sinks"]
    assert lines["written"] == len(records)
    assert cv2.VideoCapture(str(video_path)).get(cv2.CAP_PROP_FRAME_COUNT) == video["written"] > 0
    assert {path.name for path in tmp_path.iterdir()} == {"out.jsonl", "out.mp4", "summary.json"}


@pytest.mark.parametrize("records_before", [7, 60], ids=["at once", "later"])
@pytest.mark.parametrize("suffix", ["mp4", "avi"])
def test_a_killed_run_leaves_at_most_one_partial_line_and_a_video_that_plays(
    tmp_path, model_path, long_clip, suffix, records_before
):
    path = tmp_path / "out.jsonl"
    sinks = ("jsonl:-", f"jsonl:{path}", f"video:{tmp_path}/out.{suffix}")
    flags = (flag for sink in sinks for flag in ("--sink", sink))
    with running("-m", model_path, "-s", long_clip, *flags) as process:
        for _ in range(records_before):
            process.stdout.readline()
        process.kill()
        process.wait(10)
    whole = path.read_text().rpartition("\n")[0].splitlines()
    _, records = check_stream(whole)
    assert len(records) >= records_before - 33  # what may wait for this sink, and the one it writes
    (video,) = tmp_path.glob("out.partial.*")
    capture, played = cv2.VideoCapture(str(video)), 0
    while capture.read()[0]:
        played += 1
    assert played > len(records) - 32  # frames that wait (4), one group of the coder (12), and as much again


def test_systemd_hears_ready_then_a_steady_watchdog_then_stopping(tmp_path, model_path, long_clip):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "300000"}
        with running("-m", model_path, "-s", long_clip, "--realtime", "-q", env=environment) as process:
            heard = [(manager.recv(1000).decode(), time.monotonic()) for _ in range(9)]
            process.terminate()
            while heard[-1][0] != "STOPPING=1":
                heard.append((manager.recv(1000).decode(), time.monotonic()))
            process.stdout.read()
            assert process.wait(20) == 0
    states = [state for state, _ in heard]
    assert states[0].startswith(f"READY=1\nMAINPID={process.pid}")
    assert set(states[1:-1]) == {"WATCHDOG=1"}
    pings = [t for state, t in heard if state == "WATCHDOG=1"]
    assert max(after - before for before, after in zip(pings, pings[1:])) < 0.3


def test_a_reader_that_goes_away_ends_the_run_quietly(model_path, long_clip):
    with running("-m", model_path, "-s", long_clip, "-q") as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(20) == 141
        assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        pytest.param(["-s", "{clip}"], 2, "--model is missing", id="no model"),
        pytest.param(["-m", "{model}"], 2, "Missing option '-s' / '--source'", id="no source"),
        pytest.param(["-m", "{tmp}/none.onnx", "-s", "{clip}"], 1, "no such model file", id="missing model"),
        pytest.param(["-m", "{clip}", "-s", "{clip}"], 1, "cannot open as a model", id="wrong model file"),
        pytest.param(
            ["-m", "{tmp}/cut.onnx", "-s", "{clip}"], 1, "cannot open as a model", id="model cut short"
        ),
        pytest.param(
            ["-m", "{model}", "-s", "{tmp}/none.mp4"], 1, "no such file or folder", id="missing video"
        ),
        pytest.param(["-m", "{model}", "-s", "{model}"], 1, "not a video that can be read", id="not a video"),
        pytest.param(
            ["-m", "{model}", "-s", "{tmp}/empty.mp4"], 1, "the file is empty", id="zero-length video"
        ),
        pytest.param(
            ["-m", "{model}", "-s", "{tmp}/folder"], 1, "no image in this folder", id="empty folder"
        ),
        pytest.param(["-m", "{model}", "-s", "/dev/video987"], 1, "no such camera", id="no camera"),
        pytest.param(
            ["-m", "{model}", "-s", "{clip}", "--track", "acquire=2"],
            2,
            "unknown setting 'acquire'; did you mean acquire_hits?",
            id="tracker setting",
        ),
        pytest.param(
            ["-m", "{model}", "-s", "{clip}", "--landing-target", "px4"],
            2,
            "--landing-target needs a sink it is for: --sink mavlink:",
            id="no sink for the flag",
        ),
        pytest.param(
            ["-m", "{model}", "-s", "{clip}", "--sink", "x:y"], 1, "unknown sink", id="unknown sink"
        ),
        pytest.param(
            ["-m", "{model}", "-s", "{clip}", "--sink", "jsonl:{clip}"], 1, "exists", id="sink exists"
        ),
        pytest.param(
            ["-m", "{model}", "-s", "{clip}", "--sink", "jsonl:-", "--sink", "jsonl:-"],
            2,
            "given twice",
            id="twice",
        ),
        pytest.param(
            ["-m", "{model}", "-s", "{clip}", "--sink", "jsonl:{tmp}/new", "--sink", "jsonl:{tmp}/none/x"],
            1,
            "cannot create this file",
            id="the second sink cannot be opened",
        ),
        pytest.param(
            ["-m", "{model}", "-s", "{clip}", "--summary-json", "{tmp}/none/x"],
            1,
            "folder is missing",
            id="summary",
        ),
        pytest.param(
            ["-m", "{model}", "-s", "{tmp}/pictures", "--realtime"], 2, "no frame rate", id="real time"
        ),
    ],
)
def test_bad_input_gives_one_line_the_right_code_and_no_file(
    tmp_path, model_path, clip_path, capfd, args, code, message
):
    (tmp_path / "cut.onnx").write_bytes(model_path.read_bytes()[:300])
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "a.png"), np.zeros((8, 8, 3), np.uint8))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", *(arg.format(tmp=tmp_path, model=model_path, clip=clip_path) for arg in args)])
    out, err = capfd.readouterr()
    assert (ended.value.code, out) == (code, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_sink_that_fails_is_told_and_the_run_ends_with_an_error(model_path, clip_path):
    done = run("-m", model_path, "-s", clip_path, "-q", "--sink", "jsonl:/dev/full", "--sink", "jsonl:-")
    assert done.returncode == 1
    assert len(check_stream(done.stdout.splitlines())[1]) == 30
    assert done.stderr.splitlines() == [
        "error: jsonl:/dev/full failed after 0 frame(s): No space left on device",
        "error: 1 of 2 sink(s) failed: jsonl:/dev/full",
    ]
