"""Sources: what they deliver, in which order, and what they say when they cannot."""

import logging
import time
import traceback
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.errors import SourceError, UsageError
from edge_runtime.sources import open_source, video
from edge_runtime.sources.paced import Paced
from tests.edge_runtime.conftest import square_frame, write_clip


def save(folder: Path, *names: str) -> Path:
    """One distinct image per name: the n-th is n * 10 bright."""
    folder.mkdir(exist_ok=True)
    for i, name in enumerate(names):
        cv2.imwrite(str(folder / name), np.full((12, 16, 3), 10 * i, np.uint8))
    return folder


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_a_video_gives_every_frame_once_and_in_order(clip_path, form):
    source = open_source(form.format(clip_path))
    assert (source.live, source.fps, source.size) == (False, 25.0, (128, 96))
    frames = list(source)
    source.close()
    assert [frame.index for frame in frames] == list(range(30))
    lefts = [int(np.flatnonzero(f.image_bgr_u8[40, :, 0] > 128)[0]) for f in frames if not 10 <= f.index < 15]
    assert lefts == sorted(lefts)
    assert np.diff([frame.t_capture_ns for frame in frames]).min() >= 0
    assert abs(time.monotonic_ns() - frames[-1].t_capture_ns) < 5e9


def test_a_blank_in_a_file_url_may_be_written_as_percent_20(tmp_path):
    clip = write_clip(tmp_path / "my clip.mp4", [square_frame()] * 3)
    assert len(list(open_source(f"file://{str(clip).replace(' ', '%20')}"))) == 3


def test_images_of_a_folder_come_in_natural_order_with_their_names(tmp_path):
    folder = save(tmp_path / "photos", "a1.png", "a2.png", "a10.png", "b.jpg")
    (folder / "notes.txt").write_text("no image")
    frames = list(open_source(str(folder)))
    assert [(f.index, f.name) for f in frames] == [(0, "a1.png"), (1, "a2.png"), (2, "a10.png"), (3, "b.jpg")]
    assert [int(f.image_bgr_u8[0, 0, 0]) for f in frames[:3]] == [0, 10, 20]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.png", ["a1.png", "a2.png"]),
        ("a1.png", ["a1.png"]),
        ("**/*", ["a1.png", "a2.png", "b.jpg", "c.png"]),
    ],
    ids=["glob", "one image", "glob of subfolders"],
)
def test_globs_and_single_images(tmp_path, pattern, expected):
    save(tmp_path, "a1.png", "a2.png", "b.jpg")
    save(tmp_path / "deeper", "c.png")
    assert [frame.name for frame in open_source(f"{tmp_path}/{pattern}")] == expected


def test_a_corrupt_image_is_skipped_named_and_counted_and_leaves_a_gap(tmp_path, caplog):
    folder = save(tmp_path, "a.png", "b.jpg", "c.png")
    (folder / "b.jpg").write_bytes((folder / "b.jpg").read_bytes()[:-100])
    source = open_source(str(folder))
    with caplog.at_level(logging.WARNING):
        assert [frame.index for frame in source] == [0, 2]
    assert source.skipped == 1
    assert "b.jpg" in caplog.text


def test_a_folder_of_nothing_but_corrupt_images_is_an_error(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no")
    source = open_source(str(tmp_path))
    with pytest.raises(SourceError, match=r"not one of 1 image"):
        list(source)


def test_a_video_that_breaks_off_says_how_far_it_came(tmp_path, caplog):
    clip = write_clip(tmp_path / "clip.avi", [square_frame()] * 30)
    source = video.Video(clip)
    source._promised = 40  # as if the file's index promised more than its data hold
    with caplog.at_level(logging.WARNING):
        assert len(list(source)) == 30
    assert "only 30 of 40 frames could be decoded" in caplog.text


def test_demo_is_the_clip_inside_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr(video, "ASSETS", tmp_path)
    with pytest.raises(SourceError, match="demo clip is missing"):
        open_source("demo")
    write_clip(tmp_path / "demo.mp4", [square_frame()] * 4)
    source = open_source("demo")
    assert (source.name, len(list(source))) == ("demo", 4)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        pytest.param("", "the source is empty", id="empty"),
        pytest.param("{}/none.mp4", "no such file or folder", id="missing video"),
        pytest.param("file://{}/none.mp4", "no such file or folder", id="missing file url"),
        pytest.param("{}/none.jpg", "no such image", id="missing image"),
        pytest.param("{}/*.png", "no image matches", id="glob without a match"),
        pytest.param("{}/empty.mp4", r"the file is empty \(0 bytes\)", id="zero bytes"),
        pytest.param("{}/junk.mp4", "not a video that can be read", id="not a video"),
        pytest.param("{}/cut.mp4", "not a video that can be read", id="video cut short"),
        pytest.param("{}/folder", "no image in this folder", id="folder without images"),
        pytest.param(
            "rtps://user:secret@host/x", r"kind of source 'rtps' \(did you mean", id="misspelt scheme"
        ),
        pytest.param("rtsp//user:secret@host/x", "no such file or folder", id="missing colon"),
        pytest.param("user:secret@host/x.jpg", "no such image file", id="missing scheme"),
        pytest.param("rtsp://us er:se'secret@", "no host", id="no host"),
        pytest.param("rtsp://user:secret@host:99999/x", "a port from 1 to 65535", id="port out of range"),
        pytest.param("rtsp://user:secret@host:x/", "a port from 1 to 65535", id="port no number"),
        pytest.param("rtsp://[::1/x", "expected HOST or HOST:PORT", id="broken address"),
        pytest.param(
            "rtsp://host/x?transport=tpc", "bad setting transport=tpc, expected tcp or", id="transport"
        ),
        pytest.param("http://host/x?wait=yes", "bad setting wait=yes, expected 0 or 1", id="wait"),
        pytest.param("http://host/x?stall_s=nan", "bad setting stall_s=nan, expected a number", id="nan"),
        pytest.param("udp://5000", "a port from 1 to 65535", id="udp without port"),
        pytest.param(
            "udp://:5000?token=secret", "unknown setting 'token=.*'; expected wait, ", id="udp setting"
        ),
        pytest.param("rtp://:5000?codec=av2", "bad setting codec=av2, expected h264 or", id="rtp codec"),
        pytest.param("csi://left", "expected csi://0", id="csi"),
        pytest.param(
            "csi://0?flip=9", "bad setting flip=9, expected a whole number from 0 to 7", id="csi flip"
        ),
        pytest.param("gst:videotestsrc", "the pipeline has no appsink", id="pipeline without appsink"),
        pytest.param(
            "gst:rtspsrc location=rtsp://u:secret@h user-pw='secret' ! fakesink",
            "no appsink",
            id="pipeline secret",
        ),
        pytest.param("gopher://host", "unknown kind of source 'gopher'", id="unknown scheme"),
    ],
)
def test_a_source_that_cannot_be_opened_is_told_in_one_line(tmp_path, clip_path, uri, message, capfd):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "junk.mp4").write_bytes(b"hello" * 999)
    (tmp_path / "cut.mp4").write_bytes(clip_path.read_bytes()[: clip_path.stat().st_size // 2])
    (tmp_path / "folder").mkdir()
    with pytest.raises(SourceError, match=message) as caught:
        open_source(uri.format(tmp_path))
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "secret" not in "".join(traceback.format_exception(caught.type, caught.value, caught.tb))
    assert capfd.readouterr().err == ""


def test_a_paced_video_plays_at_its_own_rate_as_a_live_source(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", [square_frame()] * 11, fps=50.0)
    source = Paced(open_source(str(clip)))
    assert source.live
    stamps_ms = [frame.t_capture_ns / 1e6 for frame in source]
    assert len(stamps_ms) == 11
    assert stamps_ms[-1] - stamps_ms[0] >= 198.0


def test_pacing_needs_a_frame_rate(tmp_path):
    save(tmp_path, "a.png")
    with pytest.raises(UsageError, match="no frame rate"):
        Paced(open_source(str(tmp_path)))
