"""The parts of live sources by themselves: hiding of passwords, JPEG cutting, stream clocks, pipelines."""

import hashlib
import random
import re

import numpy as np
import pytest

from edge_runtime.imagefile import decode_image
from edge_runtime.sources import jpegs
from edge_runtime.sources.datagrams import description
from edge_runtime.sources.gstreamer import csi_pipeline, with_newest_only
from edge_runtime.sources.httpauth import authorization
from edge_runtime.sources.jpegs import JpegCutter
from edge_runtime.sources.redact import redact
from edge_runtime.sources.streamclock import StreamClock
from tests.edge_runtime.tcp_server import jpeg, part


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rtsp://admin:secret@host/live", "rtsp://***@host/live"),
        ("rtsp://admin:s%40cr%3Aet@host/live", "rtsp://***@host/live"),
        ("rtsp://admin:sec@ret@host/live", "rtsp://***@host/live"),
        ("rtsp://admin:sec/ret@host/live", "rtsp://***@host/live"),
        ("rtsp:/admin:secret@host", "rtsp:/***@host"),
        ("rtsp//admin:secret@host", "rtsp//***@host"),
        ("admin:secret@host/live", "***@host/live"),
        ("http://host/v?user=admin&pwd=secret&w=1", "http://host/v?user=***&pwd=***&w=1"),
        ("http://host/v?access_token=secret#x", "http://host/v?access_token=***#x"),
        ("http://host/v?api-key=secret", "http://host/v?api-key=***"),
        ("rtspsrc location=rtsp://a:b@h user-id='an admin' user-pw=b", "rtspsrc location=rtsp://***@h user-id=*** user-pw=***"),  # noqa: E501
        ("rtsp://host:554/live", "rtsp://host:554/live"),
        ("rtsp://[::1]:554/live?channel=1&subtype=0", "rtsp://[::1]:554/live?channel=1&subtype=0"),
        ("/data/flight 12.mp4", "/data/flight 12.mp4"),
    ],
)  # fmt: skip
def test_nothing_secret_is_shown(text, expected):
    assert redact(text) == expected
    assert redact(redact(text)) == expected


PICTURES = [jpeg(i * 20, side=16 + 8 * i) for i in range(6)]
EXIF = b"\xff\xd8\xff\xe1\x00\x10" + PICTURES[0][:6] + b"\xff\xd9 thumb\xff" + PICTURES[1][2:]


@pytest.mark.parametrize("step", [1, 7, 1000, 10**6])
@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        pytest.param(b"".join(map(part, PICTURES)), PICTURES, id="multipart"),
        pytest.param(b"".join(part(p, length=False) for p in PICTURES), PICTURES, id="without lengths"),
        pytest.param(b"".join(PICTURES), PICTURES, id="one behind the other"),
        pytest.param(part(EXIF) + PICTURES[2], [EXIF, PICTURES[2]], id="a thumbnail inside"),
        pytest.param(part(PICTURES[0])[:-200] + part(PICTURES[1]), [PICTURES[1]], id="one cut short"),
        pytest.param(b"\xff\xd8\xff\xff\xd8\xff\x00" + PICTURES[0], [PICTURES[0]], id="starts of nothing"),
        pytest.param(b"--cut\r\n\r\n" * 99 + PICTURES[0] + b"\xff" * 99, [PICTURES[0]], id="empty parts"),
    ],
)
def test_pictures_are_cut_out_of_a_stream_however_it_arrives(stream, expected, step):
    cutter = JpegCutter()
    found = [cut for at in range(0, len(stream), step) for cut in cutter.feed(stream[at : at + step])]
    assert [picture for picture, _ in found] == expected
    assert not cutter.in_picture or stream.endswith(b"\xff")


def test_the_text_before_a_picture_comes_with_it():
    cutter = JpegCutter()
    (_, first), (_, second) = cutter.feed(part(PICTURES[0], "X-Timestamp: 1.5") + part(PICTURES[1], "X: 2"))
    assert b"X-Timestamp: 1.5" in first
    assert b"X: 2" in second
    assert b"1.5" not in second


def test_garbage_is_survived_in_bounded_memory(monkeypatch):
    monkeypatch.setattr(jpegs, "MOST_BYTES", 100_000)
    cutter, noise = JpegCutter(), random.Random(4)
    for _ in range(60):
        cutter.feed(
            bytes(noise.choices(range(256), k=9_999)) + PICTURES[noise.randrange(6)][: noise.randrange(400)]
        )
        assert len(cutter._buffer) <= 100_000 + 20_000
    cutter.feed(b"\x00" * 100_000)
    assert cutter.feed(part(PICTURES[3]))[-1][0] == PICTURES[3]


def test_a_picture_too_large_to_be_meant_is_not_decoded():
    size = PICTURES[0].index(b"\xff\xc0") + 5
    bomb = PICTURES[0][:size] + b"\xff\xff\xff\xff" + PICTURES[0][size + 4 :]
    cutter = JpegCutter()
    assert [picture for picture, _ in cutter.feed(bomb + PICTURES[1])] == [PICTURES[1]]
    assert cutter.broken == 1


@pytest.mark.parametrize("seed", range(8))
def test_damaged_pictures_never_raise(seed):
    noise, damaged = random.Random(seed), bytearray(b"".join(map(part, PICTURES * 4)))
    for _ in range(60):
        damaged[noise.randrange(len(damaged))] = noise.randrange(256)
    for picture, _ in JpegCutter().feed(bytes(damaged)):
        image = decode_image(picture)
        assert image is None or image.dtype == np.uint8


MS = 1_000_000


def capture_times_ms(stamps_ms, arrivals_ms):
    """What a fresh clock makes of frames, with its verdict at the end."""
    clock = StreamClock()
    times = [clock.capture_ns(int(s * MS), int(a * MS)) for s, a in zip(stamps_ms, arrivals_ms)]
    return [None if t is None else t / MS for t in times], clock.runs_behind()


STAMPS = np.arange(0, 3000, 100.0)


@pytest.mark.parametrize(
    ("arrivals", "expected"),
    [
        pytest.param(STAMPS + 7000, STAMPS + 7000, id="no jitter"),
        pytest.param(STAMPS + 7000 + 30 * (STAMPS % 300 == 200), STAMPS + 7000, id="some frames late"),
        pytest.param(
            np.maximum(STAMPS + 7000, 8900.0 * (STAMPS > 900)), STAMPS + 7000, id="held back, then burst"
        ),
        pytest.param(STAMPS * 1.0005 + 7000, STAMPS * 1.0005 + 7000, id="a slow clock"),
        pytest.param(STAMPS * 0.9995 + 7000, STAMPS * 0.9995 + 7000, id="a fast clock"),
    ],
)
def test_a_frame_held_back_on_its_way_is_as_old_as_its_stamp_says(arrivals, expected):
    times, behind = capture_times_ms(STAMPS, arrivals)
    assert times[0] is None
    assert not behind
    assert times[2:] == pytest.approx(list(expected[2:]), abs=3.5)
    assert all(t <= a for t, a in zip(times[2:], arrivals[2:]))


def test_frames_out_of_a_servers_buffer_are_left_out():
    arrivals = np.maximum(STAMPS + 7000, 8000)  # at 8 s one second of pictures comes at once
    times, _ = capture_times_ms(STAMPS, arrivals)
    assert times[:11] == [None] * 11
    assert times[11:] == pytest.approx(list(STAMPS[11:] + 7000), abs=3.5)


@pytest.mark.parametrize(
    ("stamps", "arrivals", "behind"),
    [
        pytest.param(STAMPS * 0, STAMPS, False, id="no stamps at all"),
        pytest.param(
            np.where(STAMPS < 1000, STAMPS + 9000, STAMPS), STAMPS, False, id="its clock jumps back"
        ),
        pytest.param(np.where(STAMPS < 1000, STAMPS, STAMPS + 9000), STAMPS, False, id="its clock jumps on"),
        pytest.param(STAMPS, STAMPS * 4, True, id="slower and slower"),
    ],
)
def test_a_clock_that_cannot_be_followed_does_not_make_frames_old_for_ever(stamps, arrivals, behind):
    times, runs_behind = capture_times_ms(stamps, arrivals)
    assert runs_behind == behind
    if not behind:
        assert times[-1] == pytest.approx(arrivals[-1], abs=3.5)


@pytest.mark.parametrize(
    ("pipeline", "expected"),
    [
        ("a ! appsink", "a ! appsink drop=true max-buffers=1 sync=false"),
        ("a ! appsink drop=false", "a ! appsink drop=false max-buffers=1 sync=false"),
        ("a ! tee ! appsink name=x ! b", "a ! tee ! appsink name=x drop=true max-buffers=1 sync=false! b"),
        ("myappsink ! appsink", "myappsink ! appsink drop=true max-buffers=1 sync=false"),
    ],
)
def test_an_appsink_keeps_the_newest_frame_unless_told(pipeline, expected):
    assert with_newest_only(pipeline).replace(" !", "!") == expected.replace(" !", "!")


def test_a_csi_camera_is_a_pipeline():
    assert csi_pipeline(1, {"width": 1280, "height": 720, "fps": 29.97, "flip": 2, "mode": 4}) == (
        "nvarguscamerasrc sensor-id=1 sensor-mode=4 ! video/x-raw(memory:NVMM), width=(int)1280, "
        "height=(int)720, framerate=(fraction)29970/1000 ! nvvidconv flip-method=2 ! video/x-raw, "
        "format=(string)BGRx ! videoconvert ! video/x-raw, format=(string)BGR ! "
        "appsink drop=true max-buffers=1 sync=false"
    )
    assert "(memory:NVMM) ! nvvidconv flip-method=0" in csi_pipeline(0, {})


def test_an_rtp_stream_is_described():
    text = description("", 5600, "h265", 97)
    assert "c=IN IP4 0.0.0.0\n" in text
    assert text.endswith("m=video 5600 RTP/AVP 97\na=rtpmap:97 H265/90000\n")


def test_logins_are_answered_as_the_standards_say():
    assert authorization('Basic realm="x"', "GET", "/", "Aladdin", "open sesame") == (
        "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="  # RFC 7617, section 2
    )
    challenge = (
        'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={}, nonce="{}", opaque="FQhe"'
    )
    nonce = (
        "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"  # RFC 7616, section 3.9.1, but for the client's nonce
    )
    answer = authorization(
        challenge.format("SHA-256", nonce), "GET", "/dir/index.html", "Mufasa", "Circle of Life"
    )
    once = re.search(r'cnonce="(\w+)"', answer)[1]

    def sha256(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    secret = sha256("Mufasa:http-auth@example.org:Circle of Life")
    expected = sha256(f"{secret}:{nonce}:00000001:{once}:auth:{sha256('GET:/dir/index.html')}")
    assert f'response="{expected}"' in answer
    assert 'opaque="FQhe"' in answer
    assert "Circle" not in answer
