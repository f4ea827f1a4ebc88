"""A recorded flight comes back to the bit: pictures, records, and what happened around them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.cli import main
from edge_runtime.errors import SinkError, SourceError
from edge_runtime.frames import Frame
from edge_runtime.live import RunContext
from edge_runtime.pipeline import Pipeline
from edge_runtime.recording.check import TIMES
from edge_runtime.sinks import open_sink
from edge_runtime.sources import open_source
from edge_runtime.tracking import Tracker, TrackSettings
from tests.edge_runtime.conftest import CONTRACT, square_frame
from tests.edge_runtime.fakes import FakeBackend, FakeSink, FakeSource
from tests.edge_runtime.results import HEADER, result

ROOT = Path(__file__).parents[3]


def dips_edge(*args):
    """Exit code of a command line."""
    with pytest.raises(SystemExit) as ended:
        main([str(arg) for arg in args])
    return ended.value.code


def but_times(record):
    return {key: value for key, value in record.items() if key not in TIMES}


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def recorded(folder, images, *, jpegs=None, codec="huffyuv"):
    """Record these pictures; frame numbers leave a gap after each third."""
    sink = open_sink(f"record:{folder}?codec={codec}")
    sink.start({**HEADER, "source": {"fps": 20.0, "size": None}})
    for i, image in enumerate(images):
        frame = Frame(image, i + i // 3, 1000 * i, jpeg=None if jpegs is None else jpegs[i])
        sink.write(numbered(i, frame=frame))
    sink.close()
    return folder


def numbered(seq, **changes):
    """A result whose record has this number."""
    made = result()
    return dataclasses.replace(made, record={**made.record, "seq": seq}, **changes)


def played(folder):
    """All frames of a recording."""
    with contextlib.closing(open_source(f"replay:{folder}")) as source:
        return list(source)


def noise(count, *, width=64, height=48):
    return list(np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8))


@pytest.mark.parametrize("codec", ["huffyuv", "ffv1"])
@pytest.mark.parametrize(("width", "height"), [(64, 48), (63, 47), (161, 90)])
def test_every_pixel_comes_back_whatever_the_size(tmp_path, codec, width, height):
    images = noise(7, width=width, height=height)
    folder = recorded(tmp_path / "flight", images, codec=codec)
    frames = played(folder)
    assert [frame.index for frame in frames] == [0, 1, 2, 4, 5, 6, 8]
    for frame, image in zip(frames, images):
        np.testing.assert_array_equal(frame.image_bgr_u8, image)


def test_frames_of_changing_size_come_back(tmp_path):
    images = [*noise(3), *noise(2, width=80), *noise(2)]
    folder = recorded(tmp_path / "flight", images)
    again = [frame.image_bgr_u8 for frame in played(folder)]
    assert len(again) == len(images)
    assert all(np.array_equal(a, b) for a, b in zip(again, images))
    assert len(list(folder.glob("frames-*.mkv"))) == 3


def test_jpeg_files_of_a_camera_are_copied_as_they_came(tmp_path):
    jpegs = [cv2.imencode(".jpg", image)[1].tobytes() for image in noise(5)]
    images = [cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) for jpeg in jpegs]
    folder = recorded(tmp_path / "flight", images, jpegs=jpegs)
    assert (folder / "frames.mjpeg").read_bytes() == b"".join(jpegs)
    again = [frame.image_bgr_u8 for frame in played(folder)]
    assert len(again) == len(images)
    assert all(np.array_equal(a, b) for a, b in zip(again, images))
    assert lines_of(folder / "index.jsonl")[1]["at"] == len(jpegs[0])


@pytest.mark.parametrize("extra", [[], ["--realtime"], ["--no-track"]])
def test_the_command_records_and_its_replay_gives_the_same_records(
    tmp_path, model_path, clip_path, capfd, extra
):
    flight, again = tmp_path / "flight", tmp_path / "again.jsonl"
    track = [flag for flag in extra if flag == "--no-track"]
    assert dips_edge("run", "-m", model_path, "-s", clip_path, "--record", flight, *extra) == 0
    args = ("run", "-m", model_path, "-s", f"replay:{flight}", "--sink", f"jsonl:{again}", *track)
    assert dips_edge(*args) == 0
    first, second = lines_of(flight / "records.jsonl")[1:], lines_of(again)[1:]
    assert [but_times(record) for record in first] == [but_times(record) for record in second]
    assert f"replay: {len(first)} of {len(first)} record(s) as recorded" in capfd.readouterr().err


def flown(source, sinks, *, backend, reopen=None, context=None):
    Pipeline(
        source,
        backend,
        sinks,
        contract=CONTRACT,
        header={**HEADER, "source": {"fps": 20.0, "size": None}},
        tracker=Tracker(TrackSettings()),
        context=context,
        reopen=reopen,
        max_age_ms=40.0,
    ).run()


def test_faults_operators_and_broken_engines_of_a_camera_are_replayed(tmp_path):
    """The camera stalls, the engine breaks once, an operator lets go: all of it decides records."""

    class Stalling(FakeSource):
        def __iter__(self):
            for frame in super().__iter__():
                if frame.index == 40:
                    time.sleep(0.3)
                if frame.index == 25:
                    context.controls.stop_tracking()
                if frame.index == 30:
                    context.controls.seed((0.1, 0.1, 0.4, 0.4))
                yield frame

    class Breaking(FakeBackend):
        def infer(self, frames_u8):
            if self.calls == 10:
                self.calls += 1
                raise RuntimeError("an engine that breaks")
            return super().infer(frames_u8)

    context, kept, again = RunContext(), FakeSink(capacity=1000), FakeSink(capacity=1000)
    recorder = open_sink(f"record:{tmp_path}/flight")
    backend = Breaking(0.002)
    source = Stalling(60, live=True, period_s=0.02)
    flown(source, [recorder, kept], backend=backend, reopen=lambda: backend, context=context)
    states = {record["state"] for record in kept.records}
    assert {"TRACKING", "SEARCHING", "FAULT"} <= states
    assert any("engine_failed" in record["flags"] for record in kept.records)
    flown(open_source(f"replay:{tmp_path}/flight"), [again], backend=FakeBackend())
    assert [but_times(record) for record in again.records] == [but_times(record) for record in kept.records]


def test_another_model_or_setting_is_told_and_the_first_other_record_named(
    tmp_path, model_path, clip_path, capfd
):
    flight = tmp_path / "flight"
    dips_edge("run", "-m", model_path, "-s", clip_path, "--record", flight, "--sink", "jsonl:/dev/null")
    capfd.readouterr()
    args = ("--threshold", "0.9", "--presence", "1.0", "--sink", "jsonl:/dev/null")
    assert dips_edge("run", "-m", model_path, "-s", f"replay:{flight}", *args) == 0
    said = capfd.readouterr().err
    assert "model differ(s) from the recorded flight" in said
    assert "the first other one is frame " in said


def test_frames_the_recorder_lost_are_counted_and_told(tmp_path, caplog):
    sink = open_sink(f"record:{tmp_path}/flight")
    sink.start({**HEADER, "source": {"fps": 20.0, "size": None}})
    for seq in (0, 1, 5):
        sink.write(numbered(seq))
    sink.close()
    assert json.loads((tmp_path / "flight/recording.json").read_text())["lost"] == 3
    assert len(played(tmp_path / "flight")) == 3
    assert "3 frame(s) were lost while recording" in caplog.text


def test_a_recording_takes_a_new_folder_and_leaves_none_behind_when_the_run_cannot_begin(
    tmp_path, model_path, clip_path, capfd
):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/photo.jpg").touch()
    with pytest.raises(SinkError, match="not empty"):
        open_sink(f"record:{tmp_path}/full")
    with pytest.raises(SinkError, match="cannot record into this folder"):
        open_sink(f"record:{tmp_path}/full/photo.jpg/flight")
    with pytest.raises(SinkError, match="expected codec=huffyuv"):
        open_sink(f"record:{tmp_path}/new?codec=h264")
    args = ("--record", tmp_path / "new", "--sink", "jsonl:/no/such/folder.jsonl")
    assert dips_edge("run", "-m", model_path, "-s", clip_path, *args) == 1
    assert not (tmp_path / "new").exists()


def test_a_full_disk_ends_the_recording_and_not_the_flight(
    tmp_path, model_path, clip_path, capfd, monkeypatch
):
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1 << 40, 1 << 40, 1 << 20)
    )
    records = tmp_path / "records.jsonl"
    args = ("--record", tmp_path / "flight", "--sink", f"jsonl:{records}")
    assert dips_edge("run", "-m", model_path, "-s", clip_path, *args) == 1
    assert "the disk is full; the recording ends after 0 frames" in capfd.readouterr().err
    assert len(lines_of(records)) == 31


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        pytest.param(shutil.rmtree, "expected a folder that `dips-edge run --record", id="no folder"),
        pytest.param(lambda f: (f / "recording.json").unlink(), "no recording", id="no head"),
        pytest.param(lambda f: (f / "recording.json").write_text("{"), "not JSON", id="broken head"),
        pytest.param(
            lambda f: (f / "recording.json").write_text('{"v": 9, "type": "recording"}'),
            "not of a recording of version 1",
            id="another version",
        ),
        pytest.param(lambda f: (f / "index.jsonl").write_text(""), "no frame that can", id="no frames"),
        pytest.param(lambda f: (f / "index.jsonl").write_text("x\n"), "line 1 is no entry", id="no index"),
        pytest.param(lambda f: (f / "frames-0000.mkv").unlink(), "no frame that can", id="no video"),
    ],
)  # fmt: skip
def test_what_is_no_recording_is_refused_in_one_line(tmp_path, damage, said):
    folder = recorded(tmp_path / "flight", noise(5))
    damage(folder)
    with pytest.raises(SourceError, match=said):
        open_source(f"replay:{folder}")


def test_a_recording_cut_short_plays_what_there_is_and_says_so(tmp_path, caplog):
    folder = recorded(tmp_path / "flight", noise(20))
    video = folder / "frames-0000.mkv"
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    with pytest.raises(SourceError, match="of 20 frames could be played"):
        played(folder)
    head = json.loads((folder / "recording.json").read_text())
    (folder / "recording.json").write_text(json.dumps({**head, "complete": False}))
    index = (folder / "index.jsonl").read_bytes()
    (folder / "index.jsonl").write_bytes(index[:-20])
    assert 5 < len(played(folder)) < 15
    assert "was not ended (power cut?)" in caplog.text
    assert "cut short" in caplog.text


def test_a_killed_run_leaves_a_recording_that_plays(tmp_path, model_path):
    clip = tmp_path / "long.avi"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"MJPG"), 50.0, (128, 96))
    for i in range(500):
        writer.write(square_frame(x=20 + i % 60))
    writer.release()
    flight = tmp_path / "flight"
    run = subprocess.Popen(
        [sys.executable, "-m", "edge_runtime", "run", "-m", str(model_path), "-s", str(clip), "--realtime",
         "--record", str(flight), "--sink", "jsonl:/dev/null"],
        cwd=ROOT,
    )  # fmt: skip
    deadline_s = time.monotonic() + 30
    while not (flight / "index.jsonl").exists() or (flight / "index.jsonl").stat().st_size < 20_000:
        assert time.monotonic() < deadline_s
        assert run.poll() is None
        time.sleep(0.02)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    assert len(played(flight)) >= len((flight / "index.jsonl").read_bytes().splitlines()) - 10
