"""RTSP, MPEG-TS and RTP from real senders: capture times, logins, senders that stop, die, return or lie."""

import logging
import os
import re
import socket
import subprocess
import threading
import time
import traceback
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.errors import SourceError
from edge_runtime.sources import SourceOptions, open_source, rtsptalk
from edge_runtime.sources.ffmpeg import FfmpegLink
from edge_runtime.sources.healing import LinkLost
from tests.edge_runtime.network_camera import PYTHON, NetworkCamera, capture_error_ms, free_port
from tests.edge_runtime.tcp_server import TcpServer, say
from tests.edge_runtime.test_sources_mjpeg import open_files, resident_mb, take, wait_until

QUICK = SourceOptions(open_s=8.0, stall_s=0.6, retry_first_s=0.05, retry_most_s=0.1)
HASTY = SourceOptions(open_s=1.0, stall_s=0.6, retry_first_s=0.05, retry_most_s=0.1)


def check_pictures(source, count: int = 40) -> None:
    """The next pictures are stamped with the time they were made, not with that of their arrival."""
    frames = take(source, count)
    assert frames[0].image_bgr_u8.shape == (480, 640, 3)
    errors_ms = [capture_error_ms(frame) for frame in frames]
    assert abs(np.median(errors_ms)) < 20  # H.264 comes out of the decoder a frame (33 ms) after its arrival
    assert max(errors_ms) < 100  # none out of a buffer that is taken for new
    assert np.diff([frame.t_capture_ns for frame in frames]).min() > 0


def test_an_rtsp_camera_is_read_with_true_capture_times_and_found_again_after_its_death(caplog):
    with NetworkCamera("rtsp") as camera:
        source = open_source(camera.url, QUICK)
        assert (source.live, source.name, source.size, source.fps) == (True, camera.url, (640, 480), 30.0)
        check_pictures(source)
        last = take(source, 1)[0].index
    wait_until(lambda: not source.connected)
    with caplog.at_level(logging.INFO), NetworkCamera("rtsp", port=camera.port):
        wait_until(lambda: source.reconnects == 1, 20)
        assert take(source, 1)[0].index > last + 1
        started_s = time.monotonic()
        source.close()
        assert time.monotonic() - started_s < 1.0
    assert "connected again after" in caplog.text


@pytest.mark.slow
def test_an_rtsp_camera_that_stands_still_is_given_up_and_taken_up_again():
    with NetworkCamera("rtsp", "--codec", "jpeg") as camera:
        source = open_source(camera.url, QUICK)
        camera.pause()
        wait_until(lambda: not source.connected, 3)
        camera.resume()
        wait_until(lambda: source.reconnects >= 1, 20)
        check_pictures(source)
        source.close()


def test_logins_of_rtsp_cameras(caplog, capfd):
    with NetworkCamera("rtsp", "--user", "an admin", "--password", "s@c/r:e%t") as camera:
        with_login = camera.url.replace("//", "//an%20admin:s%40c%2Fr%3Ae%25t@")
        source = open_source(with_login, QUICK)
        assert source.name == camera.url.replace("//", "//***@")
        take(source, 1)
        source.close()
        for url, message in [
            (with_login.replace("r%3A", "wrong"), r"refuses this user name or password \(401\)"),
            (camera.url, "wants a user name and password: rtsp://USER:PASSWORD@HOST"),
            (with_login.replace("/cam", "/other"), r"no stream of this path \(404\)"),
        ]:
            with pytest.raises(SourceError, match=message) as caught:
                open_source(url, QUICK)
            shown = (
                "".join(traceback.format_exception(caught.type, caught.value, caught.tb))
                + caplog.text
                + capfd.readouterr().err
            )
            assert not re.search("s%40c|s@c", shown)


SDP = b"v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"


@pytest.mark.parametrize(
    ("talk", "message"),
    [
        pytest.param(say(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "not as an RTSP server does", id="http"),
        pytest.param(say(b"\0" * 10**6), "not as an RTSP server does", id="garbage"),
        pytest.param(say(b""), "not as an RTSP server does|hangs up", id="hangs up"),
        pytest.param(say(b"", then_wait_s=9), "does not answer", id="silent"),
        pytest.param(
            say(b"RTSP/1.0 200 OK\r\nCSeq: x\r\n\r\n"), "no picture that can be read", id="no stream"
        ),
        pytest.param(
            say(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 999999999\r\n\r\n" + SDP, then_wait_s=9),
            "no picture that can be read",
            id="length of a gigabyte",
        ),
        pytest.param(say(b"RTSP/1.0 503 No\r\nCSeq: 1\r\n\r\n"), r"is not ready \(503\)", id="503"),
        pytest.param(say(b"RTSP/1.0 999 ?\r\n\r\n"), r"refuses \(999\)", id="odd status"),
    ],
)
def test_an_rtsp_server_that_answers_nonsense_is_told_in_one_line(talk, message, capfd, monkeypatch):
    monkeypatch.setattr(rtsptalk, "_PATIENCE_S", 0.5)
    with TcpServer(talk) as server:
        url = f"rtsp://user:secret@127.0.0.1:{server.port}/cam"
        started_s = time.monotonic()
        with pytest.raises(SourceError, match=message) as caught:
            open_source(url, HASTY)
    assert time.monotonic() - started_s < 6
    shown = "".join(traceback.format_exception(caught.type, caught.value, caught.tb)) + capfd.readouterr().err
    assert "secret" not in shown
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        pytest.param("rtsp://127.0.0.1:{}/cam", "nothing listens on 127.0.0.1 port", id="closed port"),
        pytest.param("rtsp://nowhere.invalid/cam", "no host of the name nowhere.invalid", id="unknown host"),
        pytest.param("udp://:{}", r"nothing arrives on UDP port \d+ within 1 s", id="udp silence"),
        pytest.param("udp://192.0.2.1:{}", "192.0.2.1 is no address of this machine", id="foreign address"),
        pytest.param(
            "rtp://nowhere.invalid:{}", "no host of the name nowhere.invalid", id="rtp unknown host"
        ),
    ],
)
def test_what_cannot_be_reached_is_told(uri, message):
    with pytest.raises(SourceError, match=message):
        open_source(uri.format(free_port()), HASTY)


def test_a_taken_port_is_told():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("0.0.0.0", 0))
        with pytest.raises(SourceError, match="is in use by another program"):
            open_source(f"udp://:{taken.getsockname()[1]}", HASTY)


def test_packets_that_are_no_video_are_told():
    port, ended = free_port(socket.SOCK_DGRAM), threading.Event()

    def shout() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not ended.wait(0.001):
                sender.sendto(b"no video" * 100, ("127.0.0.1", port))

    thread = threading.Thread(target=shout)
    thread.start()
    try:
        with pytest.raises(
            SourceError, match="packets arrive, but hold no picture that can be read as MPEG-TS"
        ):
            open_source(f"udp://:{port}", HASTY)
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("uri", ["rtsp://127.0.0.1:{}/cam?wait=1", "udp://:{}?wait=1"])
def test_closing_does_not_wait_for_a_connection_that_hangs(uri):
    with TcpServer(say(b"", then_wait_s=9)) as server:
        source = open_source(uri.format(server.port), SourceOptions(open_s=4.0))
        time.sleep(0.3)
        started_s = time.monotonic()
        source.close()
        assert time.monotonic() - started_s < 1.0
        assert list(source) == []


def test_mpeg_ts_is_played():
    with NetworkCamera("ts") as camera:
        source = open_source(f"udp://:{camera.port}", QUICK)
        check_pictures(source)
        source.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "options", "uri"),
    [
        pytest.param("ts", (), "udp://127.0.0.1:{}", id="mpeg-ts"),
        pytest.param("rtp", (), "rtp://:{}", id="rtp h264"),
        pytest.param("rtp", ("--codec", "jpeg"), "rtp://127.0.0.1:{}?codec=jpeg", id="jpeg"),
        pytest.param("rtsp", (), "rtsp://127.0.0.1:{}/cam?transport=udp&threads=2", id="udp, two threads"),
    ],
)
def test_a_sender_that_stops_and_comes_back_is_played_again(kind, options, uri):
    with NetworkCamera(kind, *options) as camera:
        source = open_source(uri.format(camera.port), QUICK)
        check_pictures(source)
    wait_until(lambda: not source.connected, 3)
    with NetworkCamera(kind, *options, port=camera.port):
        wait_until(lambda: source.reconnects >= 1, 20)
        check_pictures(source)
        source.close()


@pytest.mark.slow
def test_a_stream_whose_key_frames_are_rare_is_waited_for():
    """Longer than `stall_s`: the first picture comes with the next key frame, up to 3 s from now."""
    with NetworkCamera("rtp", "--gop", "90") as camera:
        time.sleep(0.5)  # past the first one
        source = open_source(f"rtp://:{camera.port}", QUICK)
        check_pictures(source)
        assert source.reconnects == 0
        source.close()


@pytest.mark.slow
def test_many_reconnects_to_an_rtsp_camera_leave_nothing_behind(monkeypatch):
    read = FfmpegLink.read

    def read_once(link):
        """As when the server hangs up after one picture."""
        if hasattr(link, "had_one"):
            raise LinkLost("the stream broke off")
        link.had_one = True
        return read(link)

    monkeypatch.setattr(FfmpegLink, "read", read_once)
    with NetworkCamera("rtsp", "--codec", "jpeg") as camera:
        source = open_source(camera.url, QUICK)
        drain = threading.Thread(target=lambda: [None for _ in source])
        drain.start()
        wait_until(lambda: source.reconnects >= 10, 60)
        files, threads, memory_mb = open_files(), len(list(Path("/proc/self/task").iterdir())), resident_mb()
        wait_until(lambda: source.reconnects >= 60, 120)
        assert open_files() <= files + 3  # the connection of this moment
        assert len(list(Path("/proc/self/task").iterdir())) <= threads + 3
        assert resident_mb() < memory_mb + 20
        source.close()
        drain.join(2)


PLAY = """
import cv2, sys, time
if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
    sys.exit(77)
from edge_runtime.sources import SourceOptions, open_source
source = open_source(sys.argv[1], SourceOptions(retry_first_s=0.05))
frames = iter(source)
while source.reconnects < 1:
    frame = next(frames)
print(source.size, frame.image_bgr_u8.shape, 0 <= time.monotonic_ns() - frame.t_capture_ns < 5e8)
source.close()
"""


@pytest.mark.slow
def test_a_real_pipeline_is_played_and_started_again_when_it_ends():
    pipeline = (
        "gst:videotestsrc is-live=true num-buffers=20 ! video/x-raw,width=320,height=240,framerate=30/1 "
        "! videoconvert ! video/x-raw,format=BGR ! appsink"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [PYTHON, "-c", PLAY, pipeline], env=environment, capture_output=True, text=True, timeout=60
    )
    if done.returncode == 77 or "No module named" in done.stderr:
        pytest.skip(f"{PYTHON} has no OpenCV with GStreamer: apt-get install python3-opencv")
    assert done.stdout == "(320, 240) (240, 320, 3) True\n"
