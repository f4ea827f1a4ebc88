"""Sinks: whole files under their own name, nothing overwritten unasked, failures told."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.errors import SinkError
from edge_runtime.sinks import open_sink, video
from tests.edge_runtime.results import HEADER, result


def read_video(path: Path) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1])
    return frames


def test_jsonl_writes_the_header_and_one_line_per_result_at_once(tmp_path):
    path = tmp_path / "out.jsonl"
    sink = open_sink(f"jsonl:{path}")
    sink.start(HEADER)
    results = [result(i) for i in range(3)]
    for count, one in enumerate(results, 2):
        sink.write(one)
        assert path.read_text().count("\n") == count  # out before the sink is closed
    sink.close()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        HEADER,
        *(one.record for one in results),
    ]


def test_jsonl_to_stdout_leaves_stdout_open(capfdbinary):
    sink = open_sink("jsonl:-")
    sink.start(HEADER)
    sink.close()
    print("still here", flush=True)
    assert capfdbinary.readouterr().out.splitlines() == [
        json.dumps(HEADER, separators=(",", ":")).encode(),
        b"still here",
    ]


@pytest.mark.parametrize("name", ["out.jsonl", "out.mp4"])
def test_an_existing_file_is_kept_unless_forced(tmp_path, name):
    path = tmp_path / name
    path.write_text("precious")
    uri = f"{'video' if name.endswith('mp4') else 'jsonl'}:{path}"
    with pytest.raises(SinkError, match="exists; choose another name or add --force"):
        open_sink(uri)
    assert path.read_text() == "precious"
    sink = open_sink(uri, force=True)
    assert path.read_text() == "precious"  # only the start of the run may cost it
    sink.start(HEADER)
    sink.write(result())
    sink.close()
    assert b"precious" not in path.read_bytes()
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["jsonl:out.jsonl", "video:out.mp4"])
def test_a_sink_closed_before_it_started_leaves_nothing_behind(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    open_sink(name).close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
def test_a_video_holds_every_frame_at_the_rate_of_the_source(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    sink = open_sink(f"video:{path}")
    sink.start(HEADER)
    for i in range(8):
        sink.write(result(i, empty=i % 2 == 0))
        assert not path.exists()  # only a whole file gets the name
    sink.close()
    frames = read_video(path)
    assert len(frames) == 8
    assert frames[0].shape == (96, 128, 3)
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS) == pytest.approx(20.0, abs=0.1)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_frames_of_other_sizes_are_fitted_to_the_first_and_odd_sizes_made_even(tmp_path):
    sink = open_sink(f"video:{tmp_path}/out.mp4")
    sink.start({**HEADER, "source": {"fps": None}})
    for shape in [(97, 129, 3), (200, 100, 3), (50, 60, 3)]:
        sink.write(result(image=np.zeros(shape, np.uint8)))
    sink.close()
    assert [frame.shape for frame in read_video(tmp_path / "out.mp4")] == [(96, 128, 3)] * 3


def test_a_video_without_frames_is_no_file(tmp_path):
    sink = open_sink(f"video:{tmp_path}/out.mp4")
    sink.start(HEADER)
    sink.close()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_ends_the_video_while_it_can_still_be_finished(tmp_path, monkeypatch):
    path = tmp_path / "out.mp4"
    sink = open_sink(f"video:{path}")
    sink.start(HEADER)
    sink.write(result())
    monkeypatch.setattr(video, "_LEAST_FREE_BYTES", 1 << 62)
    with pytest.raises(SinkError, match="the disk is full; the video ends after 1 frames"):
        sink.write(result())
    sink.close()
    assert len(read_video(path)) == 1


def test_what_a_killed_run_has_left_is_never_overwritten(tmp_path):
    left = tmp_path / "out.partial.mkv"
    left.write_bytes(b"the flight before")
    sink = open_sink(f"video:{tmp_path}/out.mp4")
    sink.start(HEADER)
    sink.write(result())
    sink.close()
    assert left.read_bytes() == b"the flight before"
    assert {path.name for path in tmp_path.iterdir()} == {"out.partial.mkv", "out.mp4"}


def test_an_error_of_the_disk_under_the_video_is_the_sinks(tmp_path, monkeypatch):
    sink = open_sink(f"video:{tmp_path}/out.mp4")
    sink.start(HEADER)
    sink.write(result())
    sink._writer._file.close()
    monkeypatch.setattr(sink._writer, "_file", open("/dev/full", "wb", buffering=0))  # noqa: PTH123, SIM115
    with pytest.raises(OSError, match="No space left"):
        for i in range(100):
            sink.write(result(i))
    with pytest.raises(OSError, match="No space left"):
        sink.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_an_error_of_the_jsonl_sink():
    sink = open_sink("jsonl:/dev/full")
    for step in (lambda: sink.start(HEADER), sink.close):
        with pytest.raises(OSError, match="No space left"):
            step()


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        pytest.param(
            "out.mp4", "unknown sink 'out.mp4', expected jsonl:PATH, video:PATH.mp4, udp:", id="no scheme"
        ),
        pytest.param("carrier:pigeon", "unknown sink", id="unknown scheme"),
        pytest.param("jsonl:", "names no target; give one, such as jsonl:PATH", id="no target"),
        pytest.param("video:out.gif", "unknown kind of video, expected .mp4", id="unknown suffix"),
        pytest.param("jsonl:none/out.jsonl", "cannot create this file: No such file", id="no folder"),
        pytest.param("video:none/out.mp4", "cannot create this file: No such file", id="no folder for video"),
    ],
)
def test_a_sink_that_cannot_be_opened_is_told_in_one_line(tmp_path, monkeypatch, uri, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SinkError, match=message):
        open_sink(uri)
    assert os.listdir(tmp_path) == []  # noqa: PTH208
