"""V4L2 and CSI cameras behind a fake of OpenCV's capture: settings, stamps, unplugging, plain errors."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.errors import SourceError
from edge_runtime.sources import SourceOptions, camera, gstreamer, healing, open_source
from tests.edge_runtime.conftest import square_frame

QUICK = SourceOptions(open_s=0.5, stall_s=0.5, retry_first_s=0.01, retry_most_s=0.02)


class FakeCapture:
    """A camera of OpenCV at 100 fps that delivers `count` frames, stamped `age_ms` ago, then none."""

    def __init__(
        self,
        count: int = 10_000,
        *,
        opened: bool = True,
        age_ms: float = 8.0,
        image: np.ndarray | None = None,
        takes: dict[int, float] | None = None,
    ) -> None:
        self.left, self.opened, self.age_ms, self.takes = count, opened, age_ms, takes or {}
        self.image = square_frame() if image is None else image
        self.settings: list[tuple[int, float]] = []
        self.released = 0

    def isOpened(self) -> bool:
        return self.opened

    def set(self, key: int, value: float) -> bool:
        self.settings.append((key, value))
        return True

    def get(self, key: int) -> float:
        if key == cv2.CAP_PROP_POS_MSEC:
            return time.monotonic() * 1e3 - self.age_ms
        return self.takes.get(key, dict(self.settings).get(key, 30.0 if key == cv2.CAP_PROP_FPS else 0.0))

    def grab(self) -> bool:
        time.sleep(0.01)
        self.left -= 1
        return self.left >= 0

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, self.image

    def read(self) -> tuple[bool, np.ndarray | None]:
        return self.retrieve() if self.grab() else (False, None)

    def release(self) -> None:
        self.released += 1


@pytest.fixture
def plugged_in(monkeypatch, tmp_path):
    """Puts captures behind a device node, one for each time it is opened; gives its URI."""

    def plug_in(*captures: FakeCapture) -> str:
        (tmp_path / "video0").touch()
        left = list(captures)
        monkeypatch.setattr(camera, "open_capture", lambda *_: left.pop(0) if len(left) > 1 else left[0])
        return f"v4l2://{tmp_path}/video0"

    return plug_in


def test_a_camera_is_live_and_gives_frames(plugged_in):
    source = open_source(plugged_in(FakeCapture()))
    assert (source.live, source.fps, source.size, source.connected) == (True, 30.0, (128, 96), True)
    frames = iter(source)
    indices = [next(frames).index for _ in range(5)]
    assert indices == sorted(set(indices))
    source.close()
    assert list(frames) == []


def test_an_unplugged_camera_is_taken_up_again_and_leaves_a_gap(plugged_in):
    first, second = FakeCapture(count=5), FakeCapture()
    source = open_source(plugged_in(first, second), QUICK)
    indices = []
    for frame in source:
        indices.append(frame.index)
        if source.reconnects and len(indices) > 8:
            source.close()
    assert source.reconnects == 1
    assert first.released == 1
    assert second.released == 1
    assert set(np.diff(indices)) >= {2}
    assert 5 not in indices


@pytest.mark.parametrize(
    ("age_ms", "expected_ms"),
    [
        pytest.param(8.0, 8.0, id="the driver's own stamp"),
        pytest.param(5000.0, 0.0, id="a stamp of another clock"),
        pytest.param(-50.0, 0.0, id="a stamp in the future"),
    ],
)
def test_a_camera_frame_is_stamped_by_the_driver_where_that_is_plausible(plugged_in, age_ms, expected_ms):
    source = open_source(plugged_in(FakeCapture(age_ms=age_ms)))
    frames = iter(source)
    ages_ms = [-(next(frames).t_capture_ns - time.monotonic_ns()) / 1e6 for _ in range(20)]
    source.close()
    assert min(ages_ms) == pytest.approx(expected_ms + 0.5, abs=2.5)  # handed over within 3 ms


def test_settings_are_made_in_the_order_a_driver_needs(plugged_in):
    capture = FakeCapture()
    open_source(plugged_in(capture) + "?fps=60&height=720&width=1280&fourcc=mjpg").close()
    assert capture.settings == [
        (cv2.CAP_PROP_BUFFERSIZE, 3),
        (cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG")),
        (cv2.CAP_PROP_FRAME_WIDTH, 1280),
        (cv2.CAP_PROP_FRAME_HEIGHT, 720),
        (cv2.CAP_PROP_FPS, 60.0),
    ]


def test_what_the_camera_does_instead_is_told(plugged_in, caplog):
    yuyv = cv2.VideoWriter.fourcc(*"YUYV")
    taken = {cv2.CAP_PROP_FRAME_WIDTH: 640.0, cv2.CAP_PROP_FRAME_HEIGHT: 480.0, cv2.CAP_PROP_FOURCC: yuyv}
    uri = plugged_in(FakeCapture(takes=taken))
    open_source(uri + "?fourcc=MJPG&width=1280&height=480").close()
    assert "the camera gives fourcc YUYV instead of MJPG, width 640 instead of 1280" in caplog.text
    assert "height" not in caplog.text


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((96, 128), (96, 128, 3)), ((96, 128, 1), (96, 128, 3)), ((96, 128, 3), (96, 128, 3))],
    ids=["gray", "gray with channel", "color"],
)
def test_gray_pictures_become_color(plugged_in, shape, expected):
    source = open_source(plugged_in(FakeCapture(image=np.full(shape, 7, np.uint8))))
    frame = next(iter(source))
    source.close()
    assert frame.image_bgr_u8.shape == expected
    assert (frame.image_bgr_u8 == 7).all()


@pytest.mark.parametrize(
    ("capture", "query", "message"),
    [
        pytest.param(FakeCapture(opened=False), "", "cannot open this camera", id="busy"),
        pytest.param(FakeCapture(count=0), "", "opens but delivers no frame", id="silent"),
        pytest.param(
            FakeCapture(image=np.zeros((4, 4, 2), np.uint8)), "", "no picture within 0.5 s", id="odd"
        ),
        pytest.param(FakeCapture(), "?width=wide", "bad setting width=wide, expected a whole", id="width"),
        pytest.param(
            FakeCapture(), "?fourcc=JPEG2", "bad setting fourcc=JPEG2, expected a pixel", id="format"
        ),
        pytest.param(FakeCapture(), "?depth=8", "unknown setting 'depth=8'; expected", id="unknown"),
    ],
)
def test_a_camera_that_does_not_work_is_refused(plugged_in, capture, query, message, monkeypatch):
    monkeypatch.setattr(healing, "_EXPLAIN_S", 0.0)
    with pytest.raises(SourceError, match=message) as caught:
        open_source(plugged_in(capture) + query, QUICK)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("uri", ["/dev/video987", "v4l2:///dev/video987", "987", "/dev/video987?width=640"])
def test_a_missing_camera_is_told_with_those_that_are_there(monkeypatch, tmp_path, uri):
    for name in ("video0", "video2"):
        (tmp_path / name).touch()
    monkeypatch.setattr(camera, "DEVICES", tmp_path)
    found = re.escape(
        "/dev/video987: no such camera; "
        f"cameras here: {tmp_path}/video0 (unnamed), {tmp_path}/video2 (unnamed)"
    )
    with pytest.raises(SourceError, match=found):
        open_source(uri)


@pytest.fixture
def with_gstreamer(monkeypatch):
    """An OpenCV with GStreamer that plays `captures`; what it was asked to play."""
    played: list[str] = []

    def play(*captures: FakeCapture) -> list[str]:
        left = list(captures)
        monkeypatch.setattr(gstreamer, "has_gstreamer", lambda: True)
        monkeypatch.setattr(gstreamer, "missing_element", lambda _: None)
        monkeypatch.setattr(gstreamer, "open_capture", lambda text, *_: (played.append(text), left.pop(0))[1])
        return played

    return play


def test_a_csi_camera_is_played_by_a_pipeline_and_started_again_when_it_ends(with_gstreamer):
    played = with_gstreamer(FakeCapture(count=40), FakeCapture())
    source = open_source("csi://1?width=1280&stall_s=1", QUICK)
    frames = iter(source)
    while source.reconnects < 1:
        next(frames)
    source.close()
    assert source.name == "csi://1"
    assert len(played) == 2
    assert played[0].startswith("nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM), width=(int)1280 ! ")


def test_a_pipeline_that_cannot_run_is_told_without_its_secrets(with_gstreamer):
    with_gstreamer(FakeCapture(opened=False), FakeCapture(opened=False))
    with pytest.raises(
        SourceError, match="GStreamer cannot run this pipeline; try it with gst-launch"
    ) as caught:
        open_source("gst:rtspsrc location=rtsp://u:secret@h user-pw=secret ! appsink", QUICK)
    assert "secret" not in str(caught.value)


@pytest.mark.skipif(shutil.which("gst-inspect-1.0") is None, reason="needs gst-inspect-1.0")
@pytest.mark.parametrize(
    ("pipeline", "missing"),
    [
        ("fakesrc ! video/x-raw(memory:NVMM), width=(int)1280 ! fakesink", None),
        ("fakesrc name=a ! a. ! nosuchsink x=y", "nosuchsink"),
        ("nosuchsrc ! fakesink", "nosuchsrc"),
        ("fakesrc ! 'open quote", None),
    ],
)
def test_an_element_that_is_not_installed_is_named(pipeline, missing):
    assert gstreamer.missing_element(pipeline) == missing


@pytest.mark.skipif(gstreamer.has_gstreamer(), reason="this OpenCV has GStreamer")
@pytest.mark.parametrize("uri", ["csi://0", "gst:videotestsrc ! appsink"])
def test_an_opencv_without_gstreamer_is_told(uri):
    with pytest.raises(SourceError, match="was built without GStreamer; use the OpenCV of JetPack or of the"):
        open_source(uri)


def test_a_camera_may_be_waited_for(monkeypatch, tmp_path):
    monkeypatch.setattr(camera, "open_capture", lambda *_: FakeCapture())
    source = open_source(f"v4l2://{tmp_path}/video0?wait=1", QUICK)
    assert (source.connected, source.size) == (False, None)
    Path(tmp_path / "video0").touch()
    assert next(iter(source)).index == 0
    assert (source.connected, source.reconnects) == (True, 0)
    source.close()
